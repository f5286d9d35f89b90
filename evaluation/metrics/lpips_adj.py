"""lpips_adj: how far apart neighbouring frames are to people; a diagnosis only, it follows their judgement of videos little."""

from __future__ import annotations

from typing import Literal, Self, final

import torch
from torch import Tensor

from evaluation.backbones.lpips import SMALLEST_SIDE, Lpips
from evaluation.errors import ClipError
from evaluation.metrics.base import Score, VideoMetric
from evaluation.options import Options
from evaluation.towers import Towers
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
class LpipsAdjacent(VideoMetric):
    """`lpips_adjacent`, the mean over pairs; lower is calmer, a still has 0; in practice below 1."""

    id = "lpips_adj"
    exact = False
    higher_is_better = False

    def __init__(self, backbone: Lpips, *, reduction: Literal["single", "multi"] = "single", batch: int = BATCH) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's LPIPS."""
        return cls(towers.lpips, reduction=options.reduction, batch=options.batch or BATCH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs."""
        height, width = clip.frames_THWC.shape[1:3]
        if min(height, width) < SMALLEST_SIDE:
            raise ClipError("too_small", f"{clip.path}: {width}x{height}; LPIPS needs sides of {SMALLEST_SIDE} pixels")
        return Score.of_frames(lpips_adjacent(clip.on(self.backbone.device), self.backbone, self.batch))
