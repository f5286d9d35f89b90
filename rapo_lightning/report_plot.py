"""The plot of a report: the best reward so far against the videos spent, over prompts, as coordinates for an inline SVG."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rapo_lightning.types import Candidate

__all__ = ["HEIGHT", "WIDTH", "Plot", "Tick", "best_so_far", "plot"]

WIDTH, HEIGHT = 720, 260
#: Room for the labels around the axes: left, right, top, bottom.
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 56, 12, 34


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A mark on an axis: where, in the SVG's units, and what it says."""

    at: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """SVG path data and labels: ``line`` is the mean over prompts, ``band`` the middle half of them."""

    line: str
    band: str
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    end: Tick
    end_x: float
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    bottom: float = HEIGHT - _BOTTOM
    width: int = WIDTH
    height: int = HEIGHT


def best_so_far(candidates: Sequence[Candidate], videos: int) -> list[float] | None:
    """The best reward after 1, 2, ..., ``videos`` videos of one prompt; None when nothing of it was scored.

    Before the first score stands that score. A prompt that stopped early keeps its best.
    """
    spent, best = 0, list[float]()
    for candidate in candidates:
        spent += len(candidate.videos)
        if candidate.reward is not None and spent:
            last = best[-1] if best else candidate.reward
            best += [last] * (min(spent, videos) - 1 - len(best))
            best = [*best[: spent - 1], max(last, candidate.reward)]
    return best + best[-1:] * (videos - len(best)) if best else None


def plot(prompts: Sequence[Sequence[Candidate]]) -> Plot | None:
    """The plot over all prompts, each given by its candidates in order; None when there is nothing to compare yet."""
    videos = max((sum(len(candidate.videos) for candidate in candidates) for candidates in prompts), default=0)
    curves = [curve for candidates in prompts if (curve := best_so_far(candidates, videos)) is not None]
    if not curves or videos < 2:
        return None
    table = np.asarray(curves)
    mean, (low, high) = table.mean(axis=0), np.percentile(table, (25, 75), axis=0)
    y_values = _ticks(float(min(low.min(), mean.min())), float(max(high.max(), mean.max())))
    bottom, top = y_values[0], y_values[-1]

    def x_of(count: float) -> float:
        return round(_LEFT + (count - 1) / (videos - 1) * (WIDTH - _LEFT - _RIGHT), 1)

    def y_of(reward: float) -> float:
        return round(HEIGHT - _BOTTOM - (reward - bottom) / (top - bottom) * (HEIGHT - _TOP - _BOTTOM), 1)

    def steps(values: Sequence[float], counts: Sequence[int]) -> str:
        return " ".join(f"{x_of(count)},{y_of(value)}" for count, value in zip(counts, values))

    counts = range(1, videos + 1)
    x_values = [value for value in _ticks(1, videos) if value == int(value) and 1 <= value <= videos]
    return Plot(
        line=f"M{steps(mean.tolist(), counts)}",
        band=f"M{steps(high.tolist(), counts)} L{steps(low.tolist()[::-1], counts[::-1])}Z",
        x_ticks=tuple(Tick(at=x_of(value), label=f"{value:g}") for value in sorted({1, *x_values})),
        y_ticks=tuple(Tick(at=y_of(value), label=f"{value:g}") for value in y_values),
        end=Tick(at=y_of(float(mean[-1])), label=f"{mean[-1]:.3f}"),
        end_x=x_of(videos),
    )


def _ticks(low: float, high: float) -> list[float]:
    """Four to seven round numbers that span ``low`` to ``high``."""
    span = max(high - low, 0.01)
    power = 10.0 ** math.floor(math.log10(span / 5))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= span)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * number, 10) for number in range(first, max(last, first + 1) + 1)]
