"""What the tiny judge's vision tower learns first: to say of each cell of the picture what is there and how it moves.

A judge taught by replies alone learns their form long before it looks at the video. Labels of each cell come with every rendered
scene, so the tower learns to see in a minute, as the towers of the large models do before they meet their language model.

Legend of shapes: B videos, K objects, P = 5 pairs of frames, G = 16 cells of 16 x 16 pixels, row by row.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from rapo_lightning.shapes.judge_model import CELLS, FRAMES, PAIRS, Tower
from rapo_lightning.shapes.layout import SIDE
from rapo_lightning.shapes.render import BACKGROUNDS, Batch
from rapo_lightning.shapes.scene import COLOURS, SHAPES

__all__ = ["CellLabels", "Eyes", "cell_labels"]

_REACH = 0.85  # radii from its centre within which an object fills a cell well enough to be read there
_RADIUS, _STEP, _GROWTH = 10.0, 3.0, 0.5  # pixels: typical radius, movement and growth within a pair
_MEASURES = 6  # offset (2), radius, movement (2), growth


class CellLabels(NamedTuple):
    """What each cell shows, (B, P * G) each; where no object is, colour and shape are one above the last."""

    colour: Tensor  # int64, index into COLOURS
    shape: Tensor  # int64, index into SHAPES
    background: Tensor  # int64, index into BACKGROUNDS: that of the whole video
    measures: Tensor  # float32 (B, P * G, 6): offset x, y (cells), radius, movement x, y, growth, each near 1 in size


def cell_labels(batch: Batch) -> CellLabels:
    """The labels of a batch of scenes as the judge sees them: every other frame, two a pair."""
    seen = [2 * min(frame, FRAMES - 1) for frame in range(2 * PAIRS)]
    pairs = batch.paths_BKT3[:, :, seen].unflatten(2, (PAIRS, 2))  # B K P 2 3
    middle, change = pairs.mean(dim=3), pairs[:, :, :, 1] - pairs[:, :, :, 0]  # B K P 3
    side = SIDE / CELLS
    axis = (torch.arange(CELLS, device=middle.device) + 0.5) * side
    cells = torch.stack([axis.repeat(CELLS), axis.repeat_interleave(CELLS)], dim=1)  # G 2: x, y
    offset = middle[..., None, :2] - cells  # B K P G 2
    radius = middle[..., 2, None]  # B K P 1
    outside = (offset.abs() - side / 2).clamp(min=0).norm(dim=-1)  # B K P G
    here = (outside < _REACH * radius) & (radius > 0)
    nearest = torch.where(here, offset.norm(dim=-1) / radius.clamp(min=1e-3), torch.inf).argmin(dim=1)  # B P G
    empty = ~here.any(dim=1)

    def of_nearest(value_BKPG: Tensor) -> Tensor:
        return value_BKPG.gather(1, nearest[:, None])[:, 0]

    whole = here.shape
    measures = [offset[..., 0] / side, offset[..., 1] / side, (radius / _RADIUS).expand(whole)]
    measures += [(change[..., i, None] / scale).expand(whole) for i, scale in enumerate((_STEP, _STEP, _GROWTH))]
    named = [
        torch.where(empty, len(names), of_nearest(index[:, :, None, None].expand(whole)))
        for names, index in ((COLOURS, batch.colour_BK), (SHAPES, batch.shape_BK))
    ]
    stacked = torch.stack([of_nearest(value) for value in measures], dim=-1)
    background = batch.background_B[:, None].expand(-1, PAIRS * CELLS**2)
    return CellLabels(named[0].flatten(1), named[1].flatten(1), background, stacked.flatten(1, 2))


class Eyes(nn.Module):
    """The tower with one linear layer that reads the labels off its output; the layer is thrown away afterwards."""

    def __init__(self, tower: Tower, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.sizes = [len(COLOURS) + 1, len(SHAPES) + 1, len(BACKGROUNDS), _MEASURES]
        self.read = nn.Linear(width, sum(self.sizes))

    def forward(self, patches: Tensor, labels: CellLabels) -> Tensor:
        """The loss: cross-entropies, and the absolute error of the measures where an object is."""
        said = self.read(self.tower(patches, len(labels.colour)).float())
        *names, measures = said.split(self.sizes, dim=-1)
        there = (labels.colour < len(COLOURS))[..., None]
        loss = sum(cross_entropy(logits.flatten(0, 1), right.flatten()) for logits, right in zip(names, labels[:3], strict=True))
        error = (measures - labels.measures).abs() * there
        return torch.as_tensor(loss + error.sum() / (there.sum() * _MEASURES).clamp(min=1))
