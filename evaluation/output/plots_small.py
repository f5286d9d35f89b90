"""Small pictures within a table: the values of several variants with their intervals, on one scale of their own.

from evaluation.output.plots_small import intervals
svg = intervals([(0.61, (0.60, 0.62)), (0.63, (0.61, 0.65))])
"""

from __future__ import annotations

from collections.abc import Sequence

from evaluation.output.plots import COLOURS, GREY, mark

__all__ = ["intervals"]

_WIDTH, _ROW, _EDGE = 150, 14, 8


def intervals(
    values: Sequence[tuple[float | None, Sequence[float] | None]], within: Sequence[float | None] | None = None
) -> str | None:
    """A line a variant: (value, 95 % interval); the picture tells nothing that the table does not say.

    Several are drawn from the lowest to the highest of all; one alone, which would fill such a scale, from end to end of
    ``within``, the metric's range. None without a value, or without such ends.
    """
    ends = [number for value, bounds in values if value is not None for number in (value, *(bounds or ()))]
    if len(values) == 1:
        ends += [end for end in within or () if end is not None]
        if within is None or None in within:
            return None
    if not ends:
        return None
    low, high = min(ends), max(ends)
    height = _ROW * len(values) + 4

    def at(number: float) -> float:
        return _WIDTH / 2 if high == low else _EDGE + (number - low) / (high - low) * (_WIDTH - 2 * _EDGE)

    parts = []
    for number, (value, bounds) in enumerate(values):
        y = 2 + _ROW * (number + 0.5)
        parts.append(f'<path d="M0,{y} H{_WIDTH}" stroke="{GREY}" stroke-opacity="0.25"/>')
        if value is not None and bounds is not None:
            line = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="3" stroke-opacity="0.55"'
            parts.append(f'<path d="M{at(bounds[0]):.1f},{y} H{at(bounds[1]):.1f}" {line}/>')
        if value is not None:
            parts.append(mark(at(value), y, number))
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" class="small-plot" {size} aria-hidden="true">{"".join(parts)}</svg>'
