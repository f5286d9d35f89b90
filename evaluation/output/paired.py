"""The same prompts and seeds in two variants: what the candidate gains on the baseline, metric by metric.

from evaluation.output.paired import paired
paired(baseline_rows, candidate_rows, "original", "optimised", metrics)
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from evaluation.output.scores import by_metric, interval, is_scored
from evaluation.reduction import rule
from evaluation.rows import Row

__all__ = ["Pair", "match", "paired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two videos of one prompt and seed, both scored; ``gain`` is above 0 where the candidate is better, in the unit of the
    metric's value over a set."""

    baseline: Row
    candidate: Row
    gain: float


def match(baseline: Iterable[Row], candidate: Iterable[Row]) -> tuple[list[Pair], int]:
    """The pairs of one metric's rows, in the baseline's order, and how many videos have no counterpart with a value.

    Two rows are a pair if they have the same prompt_id and seed or, without a seed, the same index. Several of the same are
    paired in their order. One that is left out on both sides, as the metric does not ask about it, is not counted.
    """
    sides = [_keyed(rows) for rows in (baseline, candidate)]
    pairs, unpaired = [], 0
    for key in dict.fromkeys([*sides[0], *sides[1]]):
        before, after = sides[0].get(key), sides[1].get(key)
        if before is not None and after is not None and is_scored(before) and is_scored(after):
            pairs.append(Pair(baseline=before, candidate=after, gain=_gain(before, after)))
        elif any(row is None or row.status == "error" or is_scored(row) for row in (before, after)):
            unpaired += 1
    return pairs, unpaired


def paired(
    baseline: Sequence[Row], candidate: Sequence[Row], baseline_name: str, candidate_name: str, metrics: Sequence[str]
) -> dict[str, Any]:
    """``paired`` of ``summary.json``: mean gain over pairs with its interval over prompts, and who wins how often.

    ``delta`` is a mean of videos, for metrics too that are otherwise a mean of frames; it is negated where lower is better, so
    that above 0 is a gain everywhere. None without a pair.
    """
    before, after = by_metric(baseline, metrics), by_metric(candidate, metrics)
    return {
        "baseline": baseline_name,
        "candidate": candidate_name,
        "metrics": {name: _difference(before[name], after[name]) for name in metrics},
    }


def _difference(baseline: Sequence[Row], candidate: Sequence[Row]) -> dict[str, Any]:
    pairs, unpaired = match(baseline, candidate)
    wins, losses = sum(pair.gain > 0 for pair in pairs), sum(pair.gain < 0 for pair in pairs)
    ties = len(pairs) - wins - losses
    bounds = interval((pair.baseline.prompt_id, pair.gain, 1.0) for pair in pairs)
    return {
        "delta": math.fsum(pair.gain for pair in pairs) / len(pairs) if pairs else None,
        "ci95": None if bounds is None else list(bounds),
        "win_rate": (wins + ties / 2) / len(pairs) if pairs else None,
        "wins": wins,
        "ties": ties,
        "losses": losses,
        "n_pairs": len(pairs),
        "n_prompts": len({pair.baseline.prompt_id for pair in pairs}),
        "n_unpaired": unpaired,
    }


def _keyed(rows: Iterable[Row]) -> dict[Hashable, Row]:
    seen: Counter[Hashable] = Counter()
    keyed: dict[Hashable, Row] = {}
    for row in rows:
        key = (row.prompt_id, "index", row.index) if row.seed is None else (row.prompt_id, "seed", row.seed)
        keyed[*key, seen[key]] = row
        seen[key] += 1
    return keyed


def _gain(before: Row, after: Row) -> float:
    gain = ((after.value or 0.0) - (before.value or 0.0)) / rule(before.metric).scale
    return gain if before.higher_is_better else 0.0 - gain
