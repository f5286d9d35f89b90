"""Scenes: what they state, how they are drawn from a seed, and which combinations are kept from training."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from rapo_lightning.shapes.scene import (
    ACTIONS,
    COLOURS,
    SHAPES,
    TRANSLATIONS,
    Item,
    Scene,
    held_out,
    mirrored,
    sample,
)

PAIR = Scene(
    items=(
        Item(shape="circle", colour="red", size="small", action="left", speed="fast"),
        Item(shape="square", colour="blue", size="large", action="still"),
    ),
    place="sea",
    atmosphere="fog",
    relation="above",
)


def test_attributes_are_flat_and_leave_out_what_is_unsaid() -> None:
    partial = Scene(items=(Item(shape="circle", colour="red"),), place="sea")
    assert partial.attributes() == {"count": "1", "1.shape": "circle", "1.colour": "red", "place": "sea"}
    assert PAIR.attributes()["1.speed"] == "fast"
    assert "2.speed" not in PAIR.attributes()
    assert PAIR.attributes()["relation"] == "above"


def test_mirroring_swaps_the_objects_and_turns_the_relation() -> None:
    turned = mirrored(PAIR)
    assert turned.items == PAIR.items[::-1]
    assert turned.relation == "below"
    assert mirrored(turned) == PAIR


def test_mirroring_leaves_one_object_and_an_unsaid_relation_alone() -> None:
    alone = Scene(items=PAIR.items[:1], place="sea")
    assert mirrored(alone) == alone
    assert mirrored(Scene(items=PAIR.items)).relation is None


def test_one_in_seven_triples_is_held_out_in_every_dimension() -> None:
    triples = [Item(shape=s, colour=c, action=a) for s, c, a in product(SHAPES, COLOURS, ACTIONS)]
    kept = [item for item in triples if held_out(item)]
    assert 0.08 < len(kept) / len(triples) < 0.22
    for name, values in (("shape", SHAPES), ("colour", COLOURS), ("action", ACTIONS)):
        assert {getattr(item, name) for item in triples if not held_out(item)} == set(values), name


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_samples_keep_to_their_split_and_to_the_rules(split: str) -> None:
    rng = np.random.default_rng(0)
    for scene in (sample(rng, split) for _ in range(300)):  # type: ignore[arg-type]
        assert any(map(held_out, scene.items)) == (split == "test")
        assert (scene.relation is None) == (len(scene.items) == 1)
        assert scene.place
        assert scene.atmosphere
        for item in scene.items:
            assert (item.speed is None) == (item.action not in TRANSLATIONS)
        if len(scene.items) == 2:
            first, second = scene.items
            assert first.shape != second.shape
            assert first.colour != second.colour


def test_samples_follow_the_seed_and_the_number_asked_for() -> None:
    def draw(seed: int, objects: int | None) -> list[Scene]:
        rng = np.random.default_rng(seed)
        return [sample(rng, objects=objects) for _ in range(200)]

    assert draw(1, None) == draw(1, None)
    assert draw(1, None) != draw(2, None)
    assert {len(scene.items) for scene in draw(1, 2)} == {2}
    alone = sum(len(scene.items) == 1 for scene in draw(1, None))
    assert 90 < alone < 150  # 0.6 of 200, five standard deviations


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown split 'dev'"):
        sample(np.random.default_rng(0), "dev")  # type: ignore[arg-type]
