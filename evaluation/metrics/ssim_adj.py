"""ssim_adj: how alike neighbouring frames are in structure; a diagnosis only, it follows people's judgement little."""

from __future__ import annotations

import math
from typing import final

import torch
from torch import Tensor

from evaluation.errors import ClipError
from evaluation.metrics.base import Score, VideoMetric
from evaluation.video.clip import Clip, Record

__all__ = ["SsimAdjacent", "ssim_adjacent"]

#: Side and deviation of the window, in pixels; frames must not be smaller than it.
WINDOW, SIGMA = 11, 1.5
#: What keeps quotients of dark or flat places finite (k 0.01 and 0.03, brightness in 0..1).
C1, C2 = 0.01**2, 0.03**2


def ssim_adjacent(frames_TCHW: Tensor) -> Tensor:
    """SSIM (Wang et al. 2004: Gaussian window of 1.5 pixels, k 0.01 and 0.03) of every uint8 frame and the next, (T - 1,).

    Over RGB, without the margin where the window does not fit. Each frame's own means and variances serve both of its pairs.
    """
    values: list[Tensor] = []
    before: tuple[Tensor, Tensor, Tensor] | None = None
    for frame in frames_TCHW:
        shifted = frame.float() / 255 - 0.5  # around 0, so that little is lost where squares are subtracted
        mean = _blurred(shifted)
        found = shifted, mean, _blurred(shifted * shifted) - mean * mean
        if before is not None:
            values.append(_ssim(before, found))
        before = found
    return torch.stack(values)


def _ssim(first: tuple[Tensor, Tensor, Tensor], second: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """The mean over places and colours, of (pixels - 0.5, their means, their variances) of two frames."""
    (a, mean_a, var_a), (b, mean_b, var_b) = first, second
    covariance = _blurred(a * b) - mean_a * mean_b
    one, other = mean_a + 0.5, mean_b + 0.5
    light = (2 * one * other + C1) / (one * one + other * other + C1)
    structure = (2 * covariance + C2) / (var_a + var_b + C2)
    return (light * structure).double().mean()


def _blurred(image_CHW: Tensor) -> Tensor:
    """Weighted by the window where it fits: sides become smaller by `WINDOW` - 1. Rows first, then columns."""
    height, width = (side - WINDOW + 1 for side in image_CHW.shape[1:])
    rows = image_CHW[:, :height] * _WEIGHTS[0]
    for place, weight in enumerate(_WEIGHTS[1:], 1):
        rows.add_(image_CHW[:, place : place + height], alpha=weight)
    both = rows[..., :width] * _WEIGHTS[0]
    for place, weight in enumerate(_WEIGHTS[1:], 1):
        both.add_(rows[..., place : place + width], alpha=weight)
    return both


def _window() -> list[float]:
    bell = [math.exp(-((place - WINDOW // 2) ** 2) / (2 * SIGMA**2)) for place in range(WINDOW)]
    return [height / math.fsum(bell) for height in bell]


_WEIGHTS = _window()


@final
class SsimAdjacent(VideoMetric):
    """`ssim_adjacent` at native size; the mean over pairs; -1 to 1, a still has 1. Needs no weights."""

    id = "ssim_adj"
    exact = False
    range = (-1.0, 1.0)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs."""
        height, width = clip.frames_THWC.shape[1:3]
        if min(height, width) < WINDOW:
            raise ClipError("too_small", f"{clip.path}: {width}x{height}; SSIM needs sides of {WINDOW} pixels")
        return Score.of_frames(ssim_adjacent(clip.on(self.device)))
