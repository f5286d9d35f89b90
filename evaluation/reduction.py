"""How the values of videos become the value of a set: of rows just scored and of rows read back, in the same way.

from evaluation.reduction import Part, reduce, rule
reduce([Part(value=0.9, total=9.0, count=10, last=0.8)], rule("subject_consistency"))
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from evaluation.dimensions import DIMENSIONS, Reduction

__all__ = ["Part", "Rule", "reduce", "rule"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one video adds: its value, the sum over its frames, their number (0: it is left out), its last frame's value."""

    value: float
    total: float
    count: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """How videos are averaged (`Reduction`), and what the mean is divided by."""

    how: Reduction
    scale: float = 1.0


def rule(metric: str, reduction: Literal["single", "multi"] = "single") -> Rule:
    """VBench's rule for one of its dimensions, with any suffix; the mean of videos for every other metric."""
    dimension = DIMENSIONS.get(metric.partition(".")[0])
    if dimension is None:
        return Rule(how="macro")
    return Rule(how=dimension.single if reduction == "single" else dimension.multi, scale=dimension.scale)


def reduce(parts: Iterable[Part], by: Rule) -> float | None:
    """The value of a set, in float64, exactly summed: the order of ``parts`` does not matter. None without a value."""
    counted = [part for part in parts if part.count]
    if not counted:
        return None
    if by.how == "micro":
        return math.fsum(part.total for part in counted) / math.fsum(part.count for part in counted)
    return math.fsum(part.value if by.how == "macro" else part.last for part in counted) / len(counted) / by.scale
