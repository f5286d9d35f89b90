"""Where a variant gains and loses: by metric with its spread, and by prompt over all metrics.

from evaluation.output.gains import effects, prompt_gains
found = effects(baseline_rows, candidate_rows, metrics)
best = prompt_gains(baseline_rows, candidate_rows, metrics)[:8]
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from evaluation.output.paired import Pair, match
from evaluation.output.scores import Interval, by_metric, interval, is_scored
from evaluation.reduction import rule
from evaluation.rows import Row

__all__ = ["Effect", "PromptGain", "effects", "prompt_gains", "prompt_levels"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A metric's mean gain over pairs, its 95 % interval over prompts and the standard deviation of the pairs' gains, all in
    the metric's own unit; above 0 is better."""

    metric: str
    gain: float
    ci95: Interval
    spread: float

    def in_spreads(self, number: float) -> float:
        """A gain in standard deviations; where all pairs gain the same, 1, 0 or -1."""
        return number / self.spread if self.spread else math.copysign(1.0, number) if number else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptGain:
    """One prompt.

    Attributes:
        level: mean over metrics of the prompt's gain (or value) in standard deviations of that metric.
        parts: of each metric, (name, level, mean gain or value in its own unit), those that make the level what it is first.
        videos: (baseline, candidate) of each seed; without a baseline (None, video).
    """

    prompt_id: str
    prompt: str
    level: float
    parts: tuple[tuple[str, float, float], ...]
    videos: tuple[tuple[Row | None, Row], ...]


def effects(baseline: Sequence[Row], candidate: Sequence[Row], metrics: Sequence[str]) -> list[Effect]:
    """The effect of each metric that has a pair."""
    found = []
    for metric, pairs in _pairs(baseline, candidate, metrics).items():
        if pairs:
            gains = [pair.gain for pair in pairs]
            bounds = interval((pair.baseline.prompt_id, pair.gain, 1.0) for pair in pairs)
            found.append(Effect(metric=metric, gain=math.fsum(gains) / len(gains), ci95=bounds, spread=_spread(gains)))
    return found


def prompt_gains(baseline: Sequence[Row], candidate: Sequence[Row], metrics: Sequence[str]) -> list[PromptGain]:
    """Every prompt with a pair, the largest gain first."""
    values: dict[str, dict[str, list[float]]] = {}
    videos: dict[str, dict[tuple[int, int], tuple[Row | None, Row]]] = defaultdict(dict)
    for metric, pairs in _pairs(baseline, candidate, metrics).items():
        values[metric] = defaultdict(list)
        for pair in pairs:
            key = pair.baseline.prompt_id
            values[metric][key].append(pair.gain)
            videos[key].setdefault((pair.baseline.position, pair.candidate.position), (pair.baseline, pair.candidate))
    return _ranked(values, dict.fromkeys(values, 0.0), {key: list(found.values()) for key, found in videos.items()})


def prompt_levels(rows: Sequence[Row], metrics: Sequence[str]) -> list[PromptGain]:
    """Every prompt of one variant with a value, the best first: how far its values are from the metrics' means."""
    values: dict[str, dict[str, list[float]]] = {}
    videos: dict[str, dict[int, tuple[Row | None, Row]]] = defaultdict(dict)
    for metric, group in by_metric(rows, metrics).items():
        values[metric] = defaultdict(list)
        for row in filter(is_scored, group):
            value = (row.value or 0.0) / rule(metric).scale
            values[metric][row.prompt_id].append(value if row.higher_is_better else -value)
            videos[row.prompt_id].setdefault(row.position, (None, row))
    means = {metric: _mean([value for prompt in found.values() for value in prompt]) for metric, found in values.items() if found}
    return _ranked(values, means, {key: list(found.values()) for key, found in videos.items()})


def _ranked(
    values: Mapping[str, Mapping[str, list[float]]],
    means: Mapping[str, float],
    videos: Mapping[str, Sequence[tuple[Row | None, Row]]],
) -> list[PromptGain]:
    spreads = {metric: _spread([value for prompt in found.values() for value in prompt]) for metric, found in values.items()}
    gains = []
    for key, films in videos.items():
        parts = [
            (metric, (_mean(found[key]) - means[metric]) / spreads[metric], _mean(found[key]))
            for metric, found in values.items()
            if key in found and spreads[metric]
        ]
        level = _mean([part[1] for part in parts]) if parts else 0.0
        parts.sort(key=lambda part: -math.copysign(1.0, level) * part[1])
        prompt = films[0][1].prompt
        gains.append(PromptGain(prompt_id=key, prompt=prompt, level=level, parts=tuple(parts), videos=tuple(films)))
    return sorted(gains, key=lambda gain: -gain.level)


def _pairs(baseline: Iterable[Row], candidate: Iterable[Row], metrics: Sequence[str]) -> dict[str, list[Pair]]:
    before, after = by_metric(baseline, metrics), by_metric(candidate, metrics)
    return {metric: match(before[metric], after[metric])[0] for metric in metrics}


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _spread(values: Sequence[float]) -> float:
    """Standard deviation, 0 for rounding errors of equal values."""
    if len(values) < 2:
        return 0.0
    mean = _mean(values)
    spread = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return spread if spread > 1e-12 * max(map(abs, values), default=0.0) else 0.0
