"""ssim_adj: how alike neighbouring frames are in structure; a diagnosis only, it follows people's judgement little."""

from __future__ import annotations

from typing import Literal, Self, final

import torch
from torch import Tensor

from evaluation.errors import ClipError
from evaluation.metrics.base import Score, VideoMetric
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["SsimAdjacent", "ssim_adjacent"]

#: Side of the window, in pixels; frames must not be smaller.
WINDOW = 11
#: Pairs at once.
BATCH = 8


def ssim_adjacent(frames_TCHW: Tensor, batch: int = BATCH) -> Tensor:
    """SSIM (Wang et al. 2004: Gaussian window of 1.5 pixels, k 0.01 and 0.03) of every uint8 frame and the next, (T - 1,).

    Over RGB, without the margin where the window does not fit.
    """
    from torchmetrics.functional.image.ssim import structural_similarity_index_measure

    values = []
    for start in range(0, len(frames_TCHW) - 1, batch):
        frames = frames_TCHW[start : start + batch + 1].float()
        value = structural_similarity_index_measure(frames[1:], frames[:-1], reduction="none", data_range=255.0)
        assert isinstance(value, Tensor)
        values.append(value.reshape(-1))
    return torch.cat(values)


@final
class SsimAdjacent(VideoMetric):
    """`ssim_adjacent` at native size; the mean over pairs; -1 to 1, a still has 1. Needs no weights."""

    id = "ssim_adj"
    exact = False
    range = (-1.0, 1.0)

    def __init__(self, *, reduction: Literal["single", "multi"] = "single", batch: int = BATCH) -> None:
        super().__init__(reduction=reduction)
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's device."""
        return cls(reduction=options.reduction, batch=options.batch or BATCH).to(towers.device)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs."""
        height, width = clip.frames_THWC.shape[1:3]
        if min(height, width) < WINDOW:
            raise ClipError("too_small", f"{clip.path}: {width}x{height}; SSIM needs sides of {WINDOW} pixels")
        return Score.of_frames(ssim_adjacent(clip.on(self.device), self.batch))
