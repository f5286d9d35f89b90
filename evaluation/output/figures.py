"""Numbers and texts as people read them: as many digits as tell something, and nothing that steers a terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

__all__ = ["NONE", "bounds", "decimals", "figure", "is_clear", "plain", "share", "signed"]

#: What stands where there is no number.
NONE = "–"


def decimals(value: float | None) -> int:
    """Places after the point for a metric of this size: four significant ones below 1, fewer above 10."""
    size = abs(value or 0.0)
    if size >= 10:
        return max(0, 3 - math.floor(math.log10(size)))
    return 4 if size == 0 or size >= 0.1 else min(8, 3 - math.floor(math.log10(size)))


def figure(value: float | None, places: int | None = None) -> str:
    """A value, or a dash."""
    return NONE if value is None else _fixed(value, decimals(value) if places is None else places)


def signed(value: float | None, places: int = 4) -> str:
    """A difference with its sign; one that rounds to nothing has none."""
    if value is None:
        return NONE
    text = _fixed(value, places)
    return text if float(text) <= 0 else f"+{text}"


def bounds(interval: Sequence[float] | None, places: int, *, sign: bool = False) -> str:
    """The two ends of an interval."""
    if interval is None:
        return NONE
    return " to ".join(signed(end, places) if sign else _fixed(end, places) for end in interval)


def share(value: float | None) -> str:
    """A fraction of 1 in per cent."""
    return NONE if value is None else f"{100 * value:.0f} %"


def is_clear(difference: Any) -> str:
    """ "better" or "worse" where the 95 % interval of a paired difference leaves 0 out, else empty."""
    low, high = difference["ci95"] or (0.0, 0.0)
    return "better" if low > 0 else "worse" if high < 0 else ""


def plain(text: str, length: int | None = None) -> str:
    """Text of others on one line, without control characters, lone surrogates, or what turns the direction of writing."""
    kept = "".join(character if character.isprintable() or character == "\u200d" else " " for character in text)
    line = " ".join(kept.split())
    return line if length is None or len(line) <= length else f"{line[: length - 1]}…"


def _fixed(value: float, places: int) -> str:
    text = f"{value:.{places}f}"
    return text.removeprefix("-") if float(text) == 0 else text
