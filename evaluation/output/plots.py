"""Pictures of an evaluation as SVG text, for a page or a file of their own; drawn by hand, no library needed.

from evaluation.output.plots import bars, radar
svg = radar({"original": {"scene": 0.4, ...}, "optimised": {...}})

Colours are those of Okabe and Ito, which people with colour vision deficiencies can tell apart; shapes and dashes say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from evaluation.dimensions import DIMENSIONS
from evaluation.output.figures import bounds, decimals, plain, signed
from evaluation.output.gains import Effect

__all__ = ["COLOURS", "bars", "mark", "normalised", "radar", "wrapped"]

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
DASHES = ("none", "7 4", "2 3", "9 3 2 3", "12 4", "4 2")
GREY = "#767d86"
FONT = "system-ui, -apple-system, Segoe UI, Roboto, Noto Sans, sans-serif"
#: Width of a character of the font, at most, in shares of its size: to know what fits.
_WIDE = 0.6
_LINE = 15


def normalised(values: Mapping[str, float | None]) -> dict[str, float]:
    """VBench's dimensions as the totals stretch them, 0 to 1 between the least and the most that VBench has; proxies too."""
    found = {}
    for name, value in values.items():
        dimension = DIMENSIONS.get(name.partition(".")[0])
        if dimension is not None and value is not None:
            found[name] = (value - dimension.minimum) / (dimension.maximum - dimension.minimum)
    return found


def radar(series: Mapping[str, Mapping[str, float]], *, title: str = "Dimensions of VBench, normalised") -> str | None:
    """One line a variant over the axes that any of them has; values beyond 0 and 1 are drawn at the end of their axis.

    None with fewer than three axes, which no radar can show. A variant without a value on an axis has a gap there.
    """
    axes = list(dict.fromkeys(name for values in series.values() for name in values))
    if len(axes) < 3:
        return None
    width, radius, middle = 760, 190, 380
    names = [wrapped(name, 20) for name in axes]
    centre_y = radius + 22 + _LINE * max(map(len, names))
    legend_y = centre_y + radius + 40 + _LINE * max(map(len, names))
    legend, rows = _legend(list(series), width, legend_y)
    angles = [2 * math.pi * place / len(axes) for place in range(len(axes))]

    def point(place: int, share: float) -> tuple[float, float]:
        return middle + radius * share * math.sin(angles[place]), centre_y - radius * share * math.cos(angles[place])

    parts = []
    for ring in (0.25, 0.5, 0.75, 1.0):
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in (point(place, ring) for place in range(len(axes))))
        parts.append(f'<polygon points="{corners}" fill="none" stroke="{GREY}" stroke-opacity="{0.35 if ring < 1 else 0.7}"/>')
    for place, lines in enumerate(names):
        x, y = point(place, 1)
        parts.append(f'<path d="M{middle},{centre_y} L{x:.1f},{y:.1f}" stroke="{GREY}" stroke-opacity="0.35"/>')
        parts.append(_axis_name(lines, *point(place, 1 + 14 / radius), angles[place]))
    for number, (name, values) in enumerate(series.items()):
        spots = [point(p, min(1, max(0, values[axis]))) if axis in values else None for p, axis in enumerate(axes)]
        told = ", ".join(f"{axis} {values[axis]:.3f}" for axis in axes if axis in values)
        parts.append(f"<g><title>{_text(f'{name}: {told}')}</title>{_outline(spots, number)}</g>")
    for ring in (0.25, 0.5, 0.75, 1.0):
        x, y = (sum(ends) / 2 for ends in zip(point(0, ring), point(1, ring)))
        parts.append(_words(f"{ring:g}", x, y + 11, middle=True, size=11, fill=GREY))
    return _svg(title, width, legend_y + 22 * rows, [*parts, *legend])


def bars(
    effects: Sequence[Effect], *, better: str, places: Mapping[str, int] | None = None, title: str = "Paired differences"
) -> str | None:
    """A line a metric: mean gain in standard deviations of the pairs, with its 95 % interval; what it is in the metric's unit
    stands beside it. A full mark: the interval leaves 0 out. None without a metric.

    Args:
        effects: in the order in which they are drawn.
        better: the variant that gains to the right.
        places: after the point, by metric; else as many as its spread is worth.
    """
    if not effects:
        return None
    names = [wrapped(effect.metric, 32) for effect in effects]
    left = 24 + max(_long(line, 13) for lines in names for line in lines)
    tops = [44 + sum(max(30, 14 + _LINE * len(lines)) for lines in names[:place]) for place in range(len(names) + 1)]
    ends = [abs(effect.in_spreads(end)) for effect in effects for end in (effect.gain, *(effect.ci95 or ()))]
    step = _step(max(ends))
    most = step * max(1, math.ceil(max(ends) / step - 1e-9))
    told = [_told(effect, places or {}) for effect in effects]
    wide, right = 340, 40 + max(_long(text, 12) for text in told)
    middle = left + wide / 2

    def at(number: float) -> float:
        return middle + number / most * wide / 2

    parts = []
    for number in (step * tick for tick in range(-round(most / step), round(most / step) + 1)):
        strong = "0.9" if number == 0 else "0.3"
        parts.append(f'<path d="M{at(number):.1f},36 V{tops[-1]}" stroke="{GREY}" stroke-opacity="{strong}"/>')
        parts.append(
            _words(signed(number, 1 if step < 1 else 0).replace("-", "−"), at(number), tops[-1] + 16, middle=True, size=12)
        )
    parts.append(_words("← worse", middle - 8, 22, end=True, size=12, fill=GREY))
    parts.append(_words("better →", middle + 8, 22, size=12, fill=GREY))
    parts.append(_words("gain [95 % interval]", left + wide + 20, 22, size=12, fill=GREY))
    parts.append(_words(f"gain of {plain(better, 40)}, in standard deviations", middle, tops[-1] + 36, middle=True, size=12))
    for place, (effect, lines, text) in enumerate(zip(effects, names, told)):
        parts.append(_bar(effect, lines, text, (tops[place] + tops[place + 1]) / 2, left, wide, at))
    return _svg(title, math.ceil(left + wide + right), tops[-1] + 46, parts)


def wrapped(name: str, most: int) -> list[str]:
    """A metric's name in lines of at most ``most`` characters, parted after its underscores and points where possible."""
    lines = [""]
    piece = ""
    for place, sign in enumerate(plain(name)):
        piece += sign
        if sign in "_. " or place == len(plain(name)) - 1 or len(piece) >= most:
            if len(lines[-1]) + len(piece) > most and lines[-1]:
                lines.append("")
            lines[-1] += piece
            piece = ""
    return lines


def _bar(
    effect: Effect, lines: Sequence[str], told: str, y: float, left: float, wide: float, at: Callable[[float], float]
) -> str:
    low, high = effect.ci95 or (0.0, 0.0)
    colour = COLOURS[0] if low > 0 else COLOURS[1] if high < 0 else GREY
    zero, end = at(0.0), at(effect.in_spreads(effect.gain))
    x, width = min(zero, end), abs(end - zero)
    parts = [f'<rect x="{x:.1f}" y="{y - 6:.1f}" width="{width:.1f}" height="12" fill="{colour}" fill-opacity="0.28"/>']
    if effect.ci95 is not None:
        from_x, to_x = (at(effect.in_spreads(bound)) for bound in effect.ci95)
        whisker = f"M{from_x:.1f},{y - 5:.1f} v10 M{from_x:.1f},{y:.1f} H{to_x:.1f} M{to_x:.1f},{y - 5:.1f} v10"
        parts.append(f'<path d="{whisker}" fill="none" stroke="{colour}" stroke-width="2"/>')
    fill = colour if low > 0 or high < 0 else "#ffffff"
    parts.append(f'<circle cx="{end:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="2"/>')
    first = y + 4.5 - _LINE * (len(lines) - 1) / 2
    parts += [_words(line, left - 14, first + _LINE * number, end=True) for number, line in enumerate(lines)]
    parts.append(_words(told, left + wide + 20, y + 4.5, size=12))
    return f"<g><title>{_text(f'{effect.metric}: {told}')}</title>{''.join(parts)}</g>"


def _told(effect: Effect, places: Mapping[str, int]) -> str:
    digits = places.get(effect.metric, max(0, decimals(effect.spread) - 1))
    text = f"{signed(effect.gain, digits)} [{bounds(effect.ci95, digits, sign=True)}]"
    return text.replace("-", "−").replace(" to ", ", ")


def _outline(spots: Sequence[tuple[float, float] | None], number: int) -> str:
    """Lines between neighbours that have both a value, and a mark at each."""
    colour, dash = COLOURS[number % len(COLOURS)], DASHES[number % len(DASHES)]
    line = f'stroke="{colour}" stroke-width="2.2" stroke-dasharray="{dash}" stroke-linejoin="round"'
    whole = [spot for spot in spots if spot is not None]
    if len(whole) == len(spots):
        corners = " ".join(f"{x:.1f},{y:.1f}" for x, y in whole)
        drawn = f'<polygon points="{corners}" fill="{colour}" fill-opacity="0.08" {line}/>'
    else:
        sides = [(a, b) for a, b in zip(spots, [*spots[1:], spots[0]]) if a is not None and b is not None]
        path = " ".join(f"M{a[0]:.1f},{a[1]:.1f} L{b[0]:.1f},{b[1]:.1f}" for a, b in sides)
        drawn = f'<path d="{path}" fill="none" {line}/>' if path else ""
    return drawn + "".join(mark(x, y, number) for x, y in whole)


def mark(x: float, y: float, number: int) -> str:
    """The sign of a variant: circle, square or triangle, in its colour."""
    colour = COLOURS[number % len(COLOURS)]
    shapes = (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}"/>',
        f'<rect x="{x - 3.8:.1f}" y="{y - 3.8:.1f}" width="7.6" height="7.6" fill="{colour}"/>',
        f'<path d="M{x:.1f},{y - 5:.1f} l5,8.5 h-10 z" fill="{colour}"/>',
    )
    return shapes[number % len(shapes)]


def _axis_name(lines: Sequence[str], x: float, y: float, angle: float) -> str:
    side, up = math.sin(angle), math.cos(angle)
    first = y + 4.5 - _LINE * (len(lines) - 1) * (1 + up) / 2 - 2 * up
    is_middle, at_end = abs(side) < 0.1, side <= -0.1
    return "".join(_words(line, x, first + _LINE * n, middle=is_middle, end=at_end) for n, line in enumerate(lines))


def _legend(names: Sequence[str], width: float, y: float) -> tuple[list[str], int]:
    """Signs and names, centred, in as many rows as they need; and the number of rows."""
    rows: list[list[tuple[int, str, float]]] = [[]]
    for number, name in enumerate(names):
        shown = plain(name, 40)
        room = 62 + _long(shown, 13)
        if rows[-1] and sum(item[2] for item in rows[-1]) + room > width:
            rows.append([])
        rows[-1].append((number, shown, room))
    parts = []
    for line, items in enumerate(rows):
        x, at = (width - sum(item[2] for item in items)) / 2 + 8, y + 22 * line
        for number, shown, room in items:
            stroke = f'stroke="{COLOURS[number % len(COLOURS)]}" stroke-width="2.2"'
            parts.append(f'<path d="M{x:.1f},{at} h30" {stroke} stroke-dasharray="{DASHES[number % len(DASHES)]}"/>')
            parts += [mark(x + 15, at, number), _words(shown, x + 38, at + 4.5)]
            x += room
    return parts, len(rows)


def _step(span: float) -> float:
    """A round number that goes two to four times into ``span``."""
    power = 10.0 ** math.floor(math.log10(max(span, 0.1) / 3))
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor * 4 >= max(span, 0.1))


def _words(
    text: str, x: float, y: float, *, middle: bool = False, end: bool = False, size: int = 13, fill: str = "currentColor"
) -> str:
    anchor = ' text-anchor="middle"' if middle else ' text-anchor="end"' if end else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{fill}"{anchor}>{_text(text)}</text>'


def _long(text: str, size: float) -> float:
    """At most how long a text is; wide signs, such as Chinese ones, are as long as their size."""
    return sum(size * (1.0 if sign > "\u2e7f" else _WIDE) for sign in text)


def _text(text: str) -> str:
    return escape(plain(text))


def _svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    size = f'viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" height="{height:.0f}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" class="plot" {size} role="img" font-family="{FONT}">'
    return f"{head}<title>{_text(title)}</title>{''.join(parts)}</svg>"
