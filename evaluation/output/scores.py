"""The value of each metric over a set of videos, with the interval that its prompts give it.

from evaluation.output.scores import metric_scores, ordered
scores = metric_scores([row for row in ordered(rows) if row.variant == "original"], Header())
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from evaluation.dimensions import DIMENSIONS
from evaluation.errors import InputError
from evaluation.output.header import Header
from evaluation.reduction import Part, reduce, rule
from evaluation.rows import Row
from evaluation.statistics import PERCENTILES, RESAMPLES

__all__ = ["Interval", "by_metric", "interval", "is_scored", "metric_names", "metric_scores", "ordered", "variant_names"]

#: Lower and upper bound of 95 %, or None where there are fewer than two prompts.
Interval = tuple[float, float] | None
#: Drawn values held in memory at once.
_BLOCK = 2**22


def ordered(rows: Iterable[Row]) -> list[Row]:
    """The rows in the manifest's order, those of a video by metric: nothing depends on the order in which they were found.

    Raises:
        InputError: a metric has two rows for one video, or a value that is not finite.
    """
    found: dict[tuple[int, str], Row] = {}
    for row in rows:
        if found.setdefault((row.position, row.metric), row) is not row:
            raise InputError(f"{row.metric} has two rows for video {row.position} of the manifest, {row.video_path}")
        if not all(map(math.isfinite, (row.value or 0.0, row.total, row.count, row.last))):
            raise InputError(f"{row.video_path}: {row.metric} is {row.value}")
    return sorted(found.values(), key=lambda row: (row.position, row.metric))


def metric_names(rows: Iterable[Row], header: Header) -> list[str]:
    """The metrics that were asked for, and then those of the rows."""
    return list(dict.fromkeys([*header.metrics, *(row.metric for row in rows)]))


def variant_names(rows: Iterable[Row], header: Header) -> list[str]:
    """The variants as the manifest has them, "original" first."""
    names = dict.fromkeys([*(row.variant for row in rows), *(variant for variant, _ in header.asked)])
    return sorted(names, key=lambda name: name != "original")


def by_metric(rows: Iterable[Row], metrics: Iterable[str]) -> dict[str, list[Row]]:
    """The rows of each of these metrics; none for a metric without."""
    groups: dict[str, list[Row]] = {name: [] for name in metrics}
    for row in rows:
        if row.metric in groups:
            groups[row.metric].append(row)
    return groups


def is_scored(row: Row) -> bool:
    """Whether the row enters the value of its set."""
    return row.status == "ok" and row.value is not None and row.count > 0


def metric_scores(rows: Sequence[Row], header: Header, variant: str | None = None) -> dict[str, dict[str, Any]]:
    """What ``summary.json`` says of each metric, from the ordered rows of one variant.

    ``n_videos`` and ``n_prompts`` are those that enter the value; ``n_left_out`` videos have none, and no error; ``n_missing``
    were asked for and have no row.
    """
    groups = by_metric(rows, metric_names(rows, header))
    return {name: _score(name, group, header, variant) for name, group in groups.items()}


def interval(groups: Iterable[tuple[Hashable, float, float]], scale: float = 1.0) -> Interval:
    """The 95 % percentile bootstrap interval of ``sum of totals / sum of weights / scale`` when groups are drawn anew.

    Args:
        groups: (group, total, weight) of each video; all of a group are drawn together. Weights are above 0.
        scale: that the value is divided by.

    2000 resamples from a fixed seed: equal groups give equal bounds. Source: Efron and Tibshirani, An Introduction to the
    Bootstrap, chapter 13; clusters are drawn, not their members (Davison and Hinkley, Bootstrap Methods, section 3.8).
    """
    totals: dict[Hashable, list[float]] = {}
    weights: dict[Hashable, list[float]] = {}
    for group, total, weight in groups:
        totals.setdefault(group, []).append(total)
        weights.setdefault(group, []).append(weight)
    size = len(totals)
    if size < 2:
        return None
    total_of = np.array([math.fsum(values) for values in totals.values()])
    weight_of = np.array([math.fsum(values) for values in weights.values()])
    generator = np.random.default_rng(0)
    step = max(1, _BLOCK // size)
    drawn = []
    for start in range(0, RESAMPLES, step):
        chosen = generator.integers(size, size=(min(step, RESAMPLES - start), size))
        drawn.append(total_of[chosen].sum(axis=1) / weight_of[chosen].sum(axis=1))
    low, high = np.percentile(np.concatenate(drawn), PERCENTILES) / scale
    return float(low), float(high)


def _score(name: str, rows: Sequence[Row], header: Header, variant: str | None) -> dict[str, Any]:
    scored = [row for row in rows if is_scored(row)]
    how = rule(name, header.reduction)
    parts = [Part(value=row.value or 0.0, total=row.total, count=row.count, last=row.last) for row in scored]
    asked = header.asked.get((variant, name), 0) if variant is not None else 0
    bounds = interval(((row.prompt_id, *_share(part, how.how)) for row, part in zip(scored, parts)), how.scale)
    return {
        "value": reduce(parts, how),
        "ci95": None if bounds is None else list(bounds),
        "n_videos": len(scored),
        "n_prompts": len({row.prompt_id for row in scored}),
        "n_errors": sum(row.status == "error" for row in rows),
        "n_missing": max(0, asked - len(rows)),
        "n_left_out": sum(row.status != "error" for row in rows) - len(scored),
        **_nature(name, rows),
    }


def _nature(name: str, rows: Sequence[Row]) -> Mapping[str, Any]:
    """Range, direction, and whether the number is VBench's: a bare name of VBench's has its backbone, weights and protocol."""
    scale = rule(rows[0].metric).scale if rows else 1.0
    ends = [end if end is None else end / scale for end in (rows[0].range_min, rows[0].range_max)] if rows else [None, None]
    return {
        "range": None if ends == [None, None] else ends,
        "higher_is_better": rows[0].higher_is_better if rows else True,
        "exact": name in DIMENSIONS,
    }


def _share(part: Part, how: Literal["micro", "macro", "last"]) -> tuple[float, float]:
    """What a video adds to the two sums whose quotient is the value of the set."""
    if how == "micro":
        return part.total, part.count
    return (part.value if how == "macro" else part.last), 1.0
