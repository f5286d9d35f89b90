"""temporal_flickering: how little pixels change from frame to frame."""

from __future__ import annotations

from itertools import pairwise
from typing import final

import torch
from torch import Tensor

from evaluation.metrics.base import Score, VideoMetric
from evaluation.video.clip import Clip, Record

__all__ = ["TemporalFlickering", "temporal_flickering"]


def temporal_flickering(frames_TCHW: Tensor) -> float:
    """``(255 - mean over pairs of (mean over pixels of |difference|)) / 255`` of uint8 frames (T, 3, H, W), T >= 2.

    1 is a still picture. Source: VBench, temporal_flickering.py:30-49.
    """
    pairs = [(after.to(torch.int16) - before.to(torch.int16)).abs().double().mean() for before, after in pairwise(frames_TCHW)]
    return float((255 - torch.stack(pairs).mean()) / 255)


@final
class TemporalFlickering(VideoMetric):
    """`temporal_flickering`; needs no weights."""

    id = "temporal_flickering"

    def score(self, clip: Clip, record: Record) -> Score:
        """The video's value."""
        return Score.of_video(temporal_flickering(clip.on(self.device)))
