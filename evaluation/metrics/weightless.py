"""Metrics of motion on optical flow that needs no weights: the same formulas, another flow, the suffix ``.dis``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

from evaluation.metrics.base import VideoMetric
from evaluation.metrics.dynamic_degree import DynamicDegree
from evaluation.metrics.flow_stats import FlowStatsFast, FlowStatsJolt, FlowStatsMean, FlowStatsReversal
from evaluation.metrics.warping_error import WarpingError
from evaluation.options import Options
from evaluation.towers import Towers

__all__ = ["OnDis", "degree", "error", "jolt", "mean", "reversal", "top5"]


@final
@dataclass(frozen=True, slots=True)
class OnDis:
    """How a metric on RAFT becomes one on dense inverse search."""

    metric: type[DynamicDegree | FlowStatsFast | FlowStatsJolt | FlowStatsMean | FlowStatsReversal | WarpingError]

    def build(self, towers: Towers, options: Options) -> VideoMetric:
        """The metric on the evaluation's `DisFlow`."""
        metric = self.metric(towers.dis, reduction=options.reduction)
        metric.id = f"{metric.id}.dis"
        metric.exact = False
        return metric


degree, error = OnDis(DynamicDegree), OnDis(WarpingError)
mean, top5, reversal, jolt = (OnDis(cls) for cls in (FlowStatsMean, FlowStatsFast, FlowStatsReversal, FlowStatsJolt))
