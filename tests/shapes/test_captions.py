"""Captions name everything in one style; user prompts say what is stated, in any words, and nothing else."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from rapo_lightning.shapes.captions import SYNONYMS, caption, details, state, user_prompt, varied
from rapo_lightning.shapes.scene import (
    ATMOSPHERES,
    COLOURS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    SPEEDS,
    Item,
    Scene,
    sample,
)

PAIR = Scene(
    items=(
        Item(shape="circle", colour="red", size="small", action="left", speed="fast"),
        Item(shape="square", colour="blue", size="large", action="bounce"),
    ),
    place="sea",
    atmosphere="fog",
    relation="above",
)


def says(text: str, words: tuple[str, ...]) -> bool:
    return any(re.search(rf"\b{re.escape(word)}\b", text.lower()) for word in words)


def test_captions_have_one_style() -> None:
    assert caption(PAIR) == (
        "A smooth animated clip of a calm sea in thick fog. "
        "Two objects are in view, a small red circle at the top and a large blue square at the bottom. "
        "The small red circle moves to the left at a fast pace. The large blue square bounces up and down."
    )
    alone = replace(PAIR, items=PAIR.items[1:], relation=None)
    assert "One object is in view, a large blue square." in caption(alone)
    assert caption(alone, ("It ends.",)).endswith("bounces up and down. It ends.")


def test_different_scenes_have_different_captions() -> None:
    rng = np.random.default_rng(0)
    scenes = {tuple(scene.attributes().items()): scene for scene in (sample(rng) for _ in range(500))}
    assert len({caption(scene) for scene in scenes.values()}) == len(scenes)


def test_varied_captions_say_the_same_in_the_same_order() -> None:
    rng = np.random.default_rng(1)
    texts = {varied(PAIR, rng) for _ in range(50)}
    assert len(texts) > 45
    for text in texts:
        subject = r"Two objects are in view, an? [^.]+ at the top and an? [^.]+ at the bottom\."
        assert re.fullmatch(rf"A smooth animated clip of [^.]+\. {subject} The [^.]+\. The [^.]+\.", text)
        for word in ("small", "red", "circle", "large", "blue", "square", "sea", "fog", "fast"):
            assert says(text, SYNONYMS[word]), (text, word)


def test_details_state_single_attributes() -> None:
    said = details(PAIR)
    assert set(said) == set(PAIR.attributes()) - {"count"}
    assert said["relation"] == "The circle is above the square."
    assert said["1.speed"] == "The pace of the circle is fast."
    assert all(sentence.endswith(".") for sentence in said.values())


def test_every_word_is_among_its_own_synonyms() -> None:
    assert set(SYNONYMS) == {*SHAPES, *COLOURS, *SIZES, *PLACES, *ATMOSPHERES, *SPEEDS, *RELATIONS}
    nouns = [*SHAPES, *COLOURS, *SIZES, *PLACES, *RELATIONS]
    assert all(word in SYNONYMS[word] for word in nouns if word not in ("left of", "right of"))
    for group in (SHAPES, COLOURS, SIZES, PLACES, ATMOSPHERES, SPEEDS, RELATIONS):
        words = [synonym for word in group for synonym in SYNONYMS[word]]
        assert len(words) == len(set(words))


def test_a_user_states_part_of_the_scene_and_never_anything_else() -> None:
    rng = np.random.default_rng(0)
    complete = 0
    for _ in range(300):
        scene = sample(rng)
        stated = state(scene, rng).attributes()
        assert stated.items() <= scene.attributes().items()
        complete += len(stated) == len(scene.attributes())
        for number in range(1, len(scene.items) + 1):
            assert {f"{number}.shape", f"{number}.colour"} <= set(stated)
            assert f"{number}.action" in stated or f"{number}.speed" not in stated
    assert complete < 60


@pytest.mark.parametrize("seed", range(4))
def test_a_user_prompt_says_what_is_stated_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    for _ in range(150):
        stated = state(sample(rng), rng)
        text = re.sub("becom(es|ing) tiny", "", user_prompt(stated, rng))  # an action, not a size
        values = set(stated.attributes().values())
        for group in (SHAPES, COLOURS, SIZES, PLACES, ATMOSPHERES, SPEEDS):
            for word in group:
                assert says(text, SYNONYMS[word]) == (word in values), (text, word)
        if stated.relation:
            assert says(text, SYNONYMS[stated.relation]), text


def test_user_prompts_vary_and_follow_the_seed() -> None:
    texts = {user_prompt(PAIR, np.random.default_rng(seed)) for seed in range(50)}
    assert len(texts) == 50
    assert user_prompt(PAIR, np.random.default_rng(7)) == user_prompt(PAIR, np.random.default_rng(7))
