"""lpips_adj: how far apart neighbouring frames are to people; a diagnosis only, it follows their judgement of videos little."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from evaluation.backbones.lpips import SMALLEST_SIDE, Lpips
from evaluation.errors import ClipError
from evaluation.metrics.base import Score
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["LpipsAdjacent", "lpips_adjacent"]

#: Pairs at once.
BATCH = 8


def lpips_adjacent(frames_TCHW: Tensor, backbone: Lpips, batch: int = BATCH) -> Tensor:
    """LPIPS of every uint8 frame and the next, (T - 1,), at native size."""
    values = []
    for start in range(0, len(frames_TCHW) - 1, batch):
        values.append(backbone.distances(frames_TCHW[start : start + batch + 1].float() / 127.5 - 1))
    return torch.cat(values)


@final
class LpipsAdjacent(OnTower[Lpips]):
    """`lpips_adjacent`, the mean over pairs; lower is calmer, a still has 0; in practice below 1."""

    id = "lpips_adj"
    exact = False
    higher_is_better = False
    tower = "lpips"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs."""
        height, width = clip.frames_THWC.shape[1:3]
        if min(height, width) < SMALLEST_SIDE:
            raise ClipError("too_small", f"{clip.path}: {width}x{height}; LPIPS needs sides of {SMALLEST_SIDE} pixels")
        return Score.of_frames(lpips_adjacent(clip.on(self.backbone.device), self.backbone, self.batch))
