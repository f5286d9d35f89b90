"""motion_smoothness: how well every second frame follows from the two around it."""

from __future__ import annotations

from typing import Literal, Self, final

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.interpolate import Interpolator, RaftWarp
from evaluation.backbones.raft import flow_batch
from evaluation.errors import ClipError
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.flows import require_sides
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record
from evaluation.video.sizes import pad_sides
from evaluation.video.warp import crop

__all__ = ["MotionSmoothness", "MotionSmoothnessRaftWarp", "motion_smoothness"]

#: Pairs of frames that an interpolator takes at once.
BATCH = 4


def motion_smoothness(frames_TCHW: Tensor, interpolator: Interpolator, batch: int = BATCH) -> Tensor:
    """``(255 - mean |frame - interpolated|) / 255`` for every odd frame between two even ones, (T // 2 or one less,), float64.

    Frames are uint8 (T, 3, H, W), T >= 3. Even frames go in as 0..1, padded to multiples of 16 with their borders; what comes out
    is cut back, multiplied by 255, held to 0..255 and truncated to whole numbers. Source: VBench, motion_smoothness.py:63-167.

    Raises:
        ValueError: fewer than three frames.
        FloatingPointError: an interpolated frame is not finite.
    """
    if len(frames_TCHW) < 3:
        raise ValueError(f"{len(frames_TCHW)} frames; three are needed")
    height, width = frames_TCHW.shape[-2:]
    sides = pad_sides(height, width, 16)
    odd = range(1, len(frames_TCHW) - 1, 2)
    step = flow_batch(height, width, batch)
    values = []
    for start in range(0, len(odd), step):
        numbers = torch.tensor(odd[start : start + step])
        first, last = (
            F.pad(frames_TCHW[numbers + side].to(interpolator.device).float() / 255, sides, mode="replicate") for side in (-1, 1)
        )
        middle = crop(interpolator.interp(first, last), height, width, 16)
        if not bool(torch.isfinite(middle).all()):
            raise FloatingPointError(f"an interpolated frame of {numbers.tolist()} is not finite")
        guessed = (middle * 255).clamp(0, 255).to(torch.uint8).to(torch.int16)
        missed = (guessed - frames_TCHW[numbers].to(interpolator.device).to(torch.int16)).abs()
        values.append((255 - missed.flatten(1).double().mean(1)) / 255)
    return torch.cat(values)


def _score(clip: Clip, interpolator: Interpolator, batch: int) -> Score:
    """The mean over odd frames; the metric's value is the video's, as VBench's."""
    if len(clip.frames_THWC) < 3:
        raise ClipError("too_short", f"{clip.path}: {len(clip.frames_THWC)} frames; motion_smoothness needs three")
    try:
        values = motion_smoothness(clip.frames_TCHW, interpolator, batch)
    except FloatingPointError as error:
        raise ClipError("non_finite", f"{clip.path}: {error}") from error
    return Score.of_frames(values)


@final
class MotionSmoothness(VideoMetric):
    """`motion_smoothness` with AMT-S, which the user has to bring; or with any `Interpolator`, and then no longer VBench's."""

    id = "motion_smoothness"

    def __init__(
        self, interpolator: Interpolator, *, reduction: Literal["single", "multi"] = "single", batch: int = BATCH
    ) -> None:
        super().__init__(reduction=reduction)
        self.interpolator = interpolator
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the user's AMT."""
        return cls(towers.amt_s, reduction=options.reduction, batch=options.batch or BATCH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over odd frames."""
        return _score(clip, self.interpolator, self.batch)


@final
class MotionSmoothnessRaftWarp(VideoMetric):
    """`motion_smoothness` with frames warped halfway along RAFT's flow. Values are near VBench's, and are not VBench's."""

    id = "motion_smoothness.raft_warp"
    exact = False

    def __init__(
        self, interpolator: Interpolator, *, reduction: Literal["single", "multi"] = "single", batch: int = BATCH
    ) -> None:
        super().__init__(reduction=reduction)
        self.interpolator = interpolator
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's RAFT."""
        return cls(RaftWarp(towers.raft), reduction=options.reduction, batch=options.batch or BATCH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over odd frames."""
        require_sides(clip, getattr(self.interpolator, "backbone", None))
        return _score(clip, self.interpolator, self.batch)
