"""dynamic_degree: whether anything moves far enough often enough, by optical flow at about eight frames a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self, final

from torch import Tensor

from evaluation.backbones.raft import SMALLEST_SIDE, Flow, flow_batch, flow_frames
from evaluation.errors import ClipError
from evaluation.metrics.base import Score, VideoMetric
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record
from evaluation.video.sampling import spaced

__all__ = ["DynamicDegree", "Motion", "fast_part", "moves"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Motion:
    """What decides whether a video moves.

    Attributes:
        threshold: in pixels; a pair whose fastest part exceeds it is a hit.
        hits: that make a video dynamic. 0, with two frames: every video is (VBench's rule, ``degenerate``).
    """

    threshold: float
    hits: int

    @classmethod
    def of(cls, frames: int, height: int, width: int) -> Motion:
        """For so many sampled frames of this size before padding."""
        return cls(threshold=6.0 * min(height, width) / 256.0, hits=round(4 * frames / 16))


def fast_part(flow_B2HW: Tensor) -> Tensor:
    """The mean length of the longest 5 % of the vectors, in pixels: (B,)."""
    lengths = flow_B2HW.square().sum(1).sqrt().flatten(1)
    return lengths.topk(max(1, int(lengths.shape[1] * 0.05)), dim=1).values.mean(1)


def moves(speeds: list[float], motion: Motion) -> bool | None:
    """Whether the pairs so far decide that the video moves; None while they do not. Asked after at least one pair."""
    return True if speeds and sum(speed > motion.threshold for speed in speeds) >= motion.hits else None


@final
class DynamicDegree(VideoMetric):
    """1 where a video moves, else 0; stops at the pair that decides. Source: VBench, dynamic_degree.py:42-93."""

    id = "dynamic_degree"

    def __init__(self, backbone: Flow, *, reduction: Literal["single", "multi"] = "single", batch: int = 8) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's RAFT."""
        return cls(towers.raft, reduction=options.reduction, batch=options.batch or 8)

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1, the speeds that were looked at, and whether the rule had anything to decide."""
        _, height, width, _ = clip.frames_THWC.shape
        if min(height, width) < SMALLEST_SIDE:
            raise ClipError("too_small", f"{clip.path}: {width}x{height}; optical flow needs sides of {SMALLEST_SIDE} pixels")
        chosen = clip.frames_TCHW[spaced(clip.fps, len(clip.frames_THWC))]
        if len(chosen) < 2:
            raise ClipError("too_short", f"{clip.path}: one frame at eight a second")
        motion = Motion.of(len(chosen), height, width)
        speeds: list[float] = []
        step = flow_batch(height, width, self.batch)
        for start in range(0, len(chosen) - 1, step):
            frames = flow_frames(chosen[start : start + step + 1].to(self.backbone.device))
            for speed in fast_part(self.backbone.flow(frames[:-1], frames[1:])).tolist():
                speeds.append(speed)
                if not speed < float("inf"):
                    raise ClipError("non_finite", f"{clip.path}: the optical flow is not finite")
                if moves(speeds, motion):
                    return _score(True, speeds, motion)
        return _score(False, speeds, motion)


def _score(dynamic: bool, speeds: list[float], motion: Motion) -> Score:
    details = {"speeds": speeds, "threshold": motion.threshold, "hits": motion.hits, "degenerate": motion.hits == 0}
    return Score.of_video(float(dynamic), details)
