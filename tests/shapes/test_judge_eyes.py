"""The labels of the judge's cells agree with the pixels, cell by cell."""

from __future__ import annotations

import torch

from rapo_lightning.shapes.dataset import arranged_scenes
from rapo_lightning.shapes.judge_eyes import cell_labels
from rapo_lightning.shapes.judge_model import CELLS, PAIRS
from rapo_lightning.shapes.scene import COLOURS, SHAPES

DATA = arranged_scenes(60, "train", 4)
LABELS = cell_labels(DATA.batch)


def test_an_object_is_where_pixels_are_covered() -> None:
    covered = DATA.frames(slice(None))[1]
    first = torch.tensor([0, 4, 8, 12, 16])
    cells = covered[:, first].unflatten(-1, (CELLS, -1)).unflatten(2, (CELLS, -1)).mean(dim=(3, 5)).flatten(1)  # B P*G
    there = LABELS.colour < len(COLOURS)
    assert torch.equal(there, LABELS.shape < len(SHAPES))
    assert there[cells > 0.2].all()
    assert not there[cells == 0].float().mean() > 0.02  # it may have moved in within the pair


def test_colours_and_shapes_are_those_of_the_scene() -> None:
    for scene, colours, shapes in zip(DATA.scenes, LABELS.colour, LABELS.shape, strict=True):
        seen = {(COLOURS[int(c)], SHAPES[int(s)]) for c, s in zip(colours, shapes, strict=True) if c < len(COLOURS)}
        assert seen == {(item.colour, item.shape) for item in scene.items}


def test_measures_tell_direction_and_growth_and_the_last_pair_stands_still() -> None:
    for scene, colours, measures in zip(DATA.scenes, LABELS.colour, LABELS.measures, strict=True):
        by_pair, where = measures.unflatten(0, (PAIRS, -1)), (colours < len(COLOURS)).unflatten(0, (PAIRS, -1))
        assert by_pair[-1][where[-1]][:, 3:].abs().max() == 0
        if len(scene.items) == 1:
            right, down, growth = by_pair[0][where[0]][:, 3:].mean(dim=0).sign().int().tolist()
            known = {"right": (1, 0, 0), "left": (-1, 0, 0), "down": (0, 1, 0), "up": (0, -1, 0), "still": (0, 0, 0)}
            known |= {"bounce": (0, -1, 0), "grow": (0, 0, 1), "shrink": (0, 0, -1)}
            assert (right, down, growth) == known[str(scene.items[0].action)]
