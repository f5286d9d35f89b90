"""dynamic_degree: whether anything moves far enough often enough, by optical flow at about eight frames a second."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from evaluation.backbones.raft import Flow
from evaluation.errors import ClipError
from evaluation.metrics.base import Score
from evaluation.metrics.flows import PAIRS, motion, require_sides
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record
from evaluation.video.sampling import spaced

__all__ = ["DynamicDegree", "Motion", "moves"]


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


def moves(speeds: list[float], rule: Motion) -> bool | None:
    """Whether the pairs so far decide that the video moves; None while they do not. Asked after at least one pair."""
    return True if speeds and sum(speed > rule.threshold for speed in speeds) >= rule.hits else None


@final
class DynamicDegree(OnTower[Flow]):
    """1 where a video moves, else 0; stops at the pair that decides, and shares the flow with flow_stats.

    Source: VBench, dynamic_degree.py:42-93.
    """

    id = "dynamic_degree"
    tower = "raft"
    at_once = PAIRS

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1, the speeds that were looked at, and whether the rule had anything to decide."""
        height, width = require_sides(clip, self.backbone)
        count = len(spaced(clip.fps, len(clip.frames_THWC)))
        if count < 2:
            raise ClipError("too_short", f"{clip.path}: one frame at eight a second")
        rule = Motion.of(count, height, width)
        speeds: list[float] = []
        for pair in motion(clip, self.backbone, self.batch):
            speeds.append(pair.fast)
            if moves(speeds, rule):
                return _score(True, speeds, rule)
        return _score(False, speeds, rule)


def _score(dynamic: bool, speeds: list[float], rule: Motion) -> Score:
    details = {"speeds": speeds, "threshold": rule.threshold, "hits": rule.hits, "degenerate": rule.hits == 0}
    return Score.of_video(float(dynamic), details)
