"""flow_stats: how fast things move and how steadily, by optical flow at about eight frames a second.

Speeds are in shorter sides of the frame a second, whatever the resolution and the frame rate: 1 crosses the shorter side in a
second. The flow is dynamic_degree's own, computed once for both.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import final

from evaluation.backbones.raft import Flow
from evaluation.errors import ClipError
from evaluation.metrics.base import Score
from evaluation.metrics.flows import PAIRS, PairMotion, motion, require_sides
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["FlowStatsFast", "FlowStatsJolt", "FlowStatsMean", "FlowStatsReversal", "jolts", "reversal", "speeds"]

WANTED_FPS = 8.0


def speeds(pixels: Sequence[float], fps: float, height: int, width: int) -> list[float]:
    """Lengths in pixels from one sampled frame to the next, as shorter sides a second; ``fps`` is the video's."""
    rate = fps / max(1, round(fps / WANTED_FPS))
    return [length * rate / min(height, width) for length in pixels]


def reversal(pairs: Sequence[PairMotion]) -> float | None:
    """Of the vectors that move in two pairs on end, the share that turned by more than a right angle; None if none moves."""
    moving = sum(pair.moving for pair in pairs)
    return sum(pair.reversed for pair in pairs) / moving if moving else None


def jolts(values: Sequence[float]) -> list[float]:
    """``|v[t-1] - 2 v[t] + v[t+1]|`` for every value between two others."""
    return [abs(before - 2 * value + after) for before, value, after in zip(values, values[1:], values[2:])]


class _FlowStat(OnTower[Flow]):
    """One number of a video's `motion`; abstract."""

    exact = False
    #: Sampled frames that it needs.
    needed = 2
    tower = "raft"
    at_once = PAIRS

    def score(self, clip: Clip, record: Record) -> Score:
        """The video's number, and what it comes from."""
        height, width = require_sides(clip, self.backbone)
        pairs = list(motion(clip, self.backbone, self.batch))
        if len(pairs) < self.needed - 1:
            raise ClipError("too_short", f"{clip.path}: {self.id} needs {self.needed} frames at eight a second")
        return self.of(pairs, speeds([pair.mean for pair in pairs], clip.fps, height, width), clip)

    @abstractmethod
    def of(self, pairs: Sequence[PairMotion], mean_speeds: Sequence[float], clip: Clip) -> Score:
        """The score of a video; ``mean_speeds`` in shorter sides a second."""


@final
class FlowStatsMean(_FlowStat):
    """Mean speed of all pixels; shorter sides a second."""

    id = "flow_stats.mean"
    range = (0.0, float("inf"))

    def of(self, pairs: Sequence[PairMotion], mean_speeds: Sequence[float], clip: Clip) -> Score:
        """The mean over pairs."""
        return Score.of_video(sum(mean_speeds) / len(mean_speeds), {"speeds": list(mean_speeds)})


@final
class FlowStatsFast(_FlowStat):
    """Mean speed of the fastest 5 % of the pixels of each pair, which dynamic_degree looks at; shorter sides a second."""

    id = "flow_stats.top5"
    range = (0.0, float("inf"))

    def of(self, pairs: Sequence[PairMotion], mean_speeds: Sequence[float], clip: Clip) -> Score:
        """The mean over pairs."""
        fast = speeds([pair.fast for pair in pairs], clip.fps, *clip.frames_THWC.shape[1:3])
        return Score.of_video(sum(fast) / len(fast), {"speeds": fast})


@final
class FlowStatsReversal(_FlowStat):
    """How often motion turns back: `reversal`, 0 to 1, lower is steadier.

    Vectors shorter than a 256th of the shorter side count as still; a video in which nothing moves has no value.
    """

    id = "flow_stats.reversal"
    higher_is_better = False
    needed = 3

    def of(self, pairs: Sequence[PairMotion], mean_speeds: Sequence[float], clip: Clip) -> Score:
        """The share over all pairs."""
        rate, details = (
            reversal(pairs),
            {"moving": [pair.moving for pair in pairs], "reversed": [pair.reversed for pair in pairs]},
        )
        return Score.left_out(details) if rate is None else Score.of_video(rate, details)


@final
class FlowStatsJolt(_FlowStat):
    """The highest peak of the mean speed's second difference: the strongest jolt, in shorter sides a second; lower is steadier.

    ``details`` has the whole series, to find where it stutters.
    """

    id = "flow_stats.jolt"
    higher_is_better = False
    range = (0.0, float("inf"))
    needed = 4

    def of(self, pairs: Sequence[PairMotion], mean_speeds: Sequence[float], clip: Clip) -> Score:
        """The largest of `jolts`."""
        series = jolts(mean_speeds)
        return Score.of_video(max(series), {"jolts": series, "speeds": list(mean_speeds)})
