"""Paths and places: each action moves as named, objects stay in the frame, keep apart and hold their relation."""

from __future__ import annotations

import numpy as np
import pytest

from rapo_lightning.shapes.layout import FRAMES, RADIUS, SIDE, TRAVEL, paths, place_items
from rapo_lightning.shapes.scene import ACTIONS, RELATIONS, SIZES, TRANSLATIONS, Item, Scene, sample

AHEAD = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}


def item(action: str, size: str = "small", speed: str | None = None) -> Item:
    return Item(shape="circle", colour="red", size=size, action=action, speed=speed)


@pytest.mark.parametrize("action", TRANSLATIONS)
@pytest.mark.parametrize("speed", ["slow", "fast"])
def test_a_translation_travels_straight_and_as_far_as_its_speed(action: str, speed: str) -> None:
    path = paths(item(action, speed=speed))
    np.testing.assert_allclose(path[-1, :2], np.multiply(AHEAD[action], TRAVEL[speed]), atol=1e-5)
    np.testing.assert_allclose(np.diff(path[:, :2], axis=0, n=2), 0, atol=1e-5)
    np.testing.assert_allclose(path[:, 2], RADIUS["small"])


def test_still_does_not_move() -> None:
    path = paths(item("still", "large"))
    assert path.shape == (FRAMES, 3)
    assert not path[:, :2].any()
    np.testing.assert_allclose(path[:, 2], RADIUS["large"])


def test_bouncing_rises_twice_and_lands_where_it_began() -> None:
    y = paths(item("bounce"))[:, 1]
    np.testing.assert_allclose(y[[0, FRAMES // 2, -1]], 0, atol=1e-4)
    assert y.max() <= 1e-4
    lowest = (y[1:-1] < y[:-2]) & (y[1:-1] < y[2:])
    assert lowest.sum() == 2


@pytest.mark.parametrize("size", SIZES)
def test_growing_and_shrinking_mirror_each_other_about_the_named_size(size: str) -> None:
    growing, shrinking = paths(item("grow", size))[:, 2], paths(item("shrink", size))[:, 2]
    np.testing.assert_allclose(growing, shrinking[::-1], rtol=1e-5)
    assert (np.diff(growing) > 0).all()
    assert growing.mean() == pytest.approx(RADIUS[size], rel=1e-5)


def test_everything_stays_in_the_frame_apart_and_in_relation() -> None:
    rng = np.random.default_rng(0)
    placed, seen = 0, set()
    for _ in range(400):
        scene = sample(rng)
        path = place_items(scene, rng)
        if path is None:
            continue
        placed += 1
        seen |= {one.action for one in scene.items} | {scene.relation}
        x, y, radius = np.moveaxis(path, -1, 0)
        for axis in (x, y):
            assert (axis - radius >= 0).all()
            assert (axis + radius <= SIDE).all()
        if len(scene.items) == 2:
            across, down = x[1] - x[0], y[1] - y[0]
            assert (np.hypot(across, down) > radius.sum(axis=0)).all()
            ahead = {"left of": across, "right of": -across, "above": down, "below": -down}[str(scene.relation)]
            aside = down if scene.relation in ("left of", "right of") else across
            assert (ahead > np.abs(aside)).all()
    assert placed > 200
    assert seen >= {*ACTIONS, *RELATIONS}


def test_one_object_always_fits() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        assert place_items(sample(rng, objects=1), rng) is not None


def test_a_scene_that_cannot_fit_is_told() -> None:
    towards = (item("right", "large", "fast"), item("left", "large", "fast"))
    assert place_items(Scene(items=towards, relation="left of"), np.random.default_rng(0)) is None


def test_places_follow_the_seed() -> None:
    scene = Scene(items=(item("still"),))
    first, again, other = (place_items(scene, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
