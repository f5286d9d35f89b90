"""Rendering: areas, colours, muted backgrounds, and the same frames however they are batched."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from rapo_lightning.shapes.layout import FRAMES, SIDE
from rapo_lightning.shapes.render import (
    BACKGROUNDS,
    COLOUR_RGB,
    Batch,
    arrange,
    collate,
    draw,
    render,
    sample_arranged,
    shape_alpha,
)
from rapo_lightning.shapes.scene import ATMOSPHERES, COLOURS, PLACES, SHAPES, Item, Scene, held_out

STILL = Scene(items=(Item(shape="circle", colour="red", size="large", action="still"),), place="sea", atmosphere="day")


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("radius", [5.0, 12.0])
def test_a_shape_covers_the_area_of_its_circle_about_its_centre(shape: str, radius: float) -> None:
    axis = torch.arange(-32.0, 32.0) + 0.5
    alpha = shape_alpha(torch.tensor(SHAPES.index(shape)), axis, axis[:, None], torch.tensor(radius))
    assert alpha.shape == (64, 64)
    assert 0.0 <= float(alpha.min()) < float(alpha.max()) == 1.0
    assert float(alpha.sum()) == pytest.approx(math.pi * radius**2, rel=0.04)
    assert abs(float((alpha * axis).sum() / alpha.sum())) < 0.05
    assert abs(float((alpha * axis[:, None]).sum() / alpha.sum())) < 0.15


def test_objects_are_saturated_and_backgrounds_muted() -> None:
    colours = np.asarray([COLOUR_RGB[name] for name in COLOURS], float)
    assert np.ptp(colours, axis=1).min() > 130
    assert BACKGROUNDS.shape == (len(PLACES) * len(ATMOSPHERES), 2, 3)
    assert np.ptp(BACKGROUNDS, axis=-1).max() <= 46.01


def test_no_two_backgrounds_are_alike() -> None:
    flat = BACKGROUNDS.reshape(len(BACKGROUNDS), -1)
    apart = np.sqrt(np.square(flat[:, None] - flat).mean(axis=-1)) + 99 * np.eye(len(flat))
    assert apart.min() > 8.0


@pytest.mark.parametrize("colour", COLOURS)
def test_an_object_has_its_colour_where_it_covers_the_frame(colour: str) -> None:
    scene = replace(STILL, items=(replace(STILL.items[0], colour=colour),))
    placed, phase = arrange(scene, np.random.default_rng(3)) or pytest.fail("one object always fits")
    frames, covered = draw(collate([scene], [(placed, phase)]))
    assert frames.shape == (1, FRAMES, SIDE, SIDE, 3)
    assert covered.shape == (1, FRAMES, SIDE, SIDE)
    x, y, radius = placed[0, 0]
    np.testing.assert_allclose(frames[0, 0, int(y), int(x)] * 255, COLOUR_RGB[colour], atol=0.01)
    assert float(covered[0, 0].sum()) == pytest.approx(math.pi * radius**2, rel=0.03)
    away = covered[0] == 0
    assert float((frames[0][away].amax(-1) - frames[0][away].amin(-1)).max()) * 255 < 50


def test_renders_are_uint8_and_follow_the_seed() -> None:
    frames = render(STILL, 0)
    assert frames.dtype == np.uint8
    assert frames.shape == (FRAMES, SIDE, SIDE, 3)
    np.testing.assert_array_equal(frames, render(STILL, 0))
    assert not np.array_equal(frames, render(STILL, 1))
    np.testing.assert_array_equal(frames[0], frames[-1])


def test_a_scene_that_does_not_fit_is_refused_by_name() -> None:
    rush = Item(shape="circle", colour="red", size="large", action="right", speed="fast")
    towards = (rush, Item(shape="square", colour="blue", size="large", action="left", speed="fast"))
    with pytest.raises(ValueError, match="does not fit the frame"):
        render(Scene(items=towards, place="sea", atmosphere="day", relation="left of"), 0)


def test_frames_do_not_depend_on_the_batch() -> None:
    scenes, batch = sample_arranged(np.random.default_rng(0), 6)
    assert len(scenes) == 6
    together, _ = draw(batch)
    for index in range(6):
        alone, _ = draw(Batch(*(tensor[index : index + 1] for tensor in batch)))
        torch.testing.assert_close(alone[0], together[index])


def test_arranged_samples_keep_to_split_and_number() -> None:
    scenes, batch = sample_arranged(np.random.default_rng(0), 12, "test", 2)
    assert all(len(scene.items) == 2 and any(map(held_out, scene.items)) for scene in scenes)
    assert batch.paths_BKT3.shape == (12, 2, FRAMES, 3)
    assert bool((batch.paths_BKT3[..., 2] > 0).all())
    alone, batch = sample_arranged(np.random.default_rng(0), 4, "train", 1)
    assert not batch.paths_BKT3[:, 1].any()
    assert {len(scene.items) for scene in alone} == {1}
