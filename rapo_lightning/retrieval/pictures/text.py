"""Lines of text for a picture drawn without a browser at hand: widths are estimated, lines broken and, past a limit, elided.

Nobody knows which font a viewer has, so widths are those of DejaVu Sans, the widest of the usual ones: other fonts leave room.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

__all__ = ["clean", "is_right_to_left", "text_width", "wrap"]

ELLIPSIS = "…"
#: Bold letters are wider than plain ones by this factor.
BOLD = 1.14
#: Advance widths in em of Latin letters and signs, rounded up.
_WIDTHS = {
    character: width
    for characters, width in (
        (" \N{NARROW NO-BREAK SPACE}',./:;IJ\\ijl|", 0.34),
        ("!()-[]frt", 0.42),
        ('"*?_`csz', 0.56),
        ("$0123456789EFLPSTYabdeghknopquvxy{}", 0.64),
        ("ABCKNRUVXZ", 0.73),
        ("#&+<=>DGHOQ^w~−", 0.84),
        ("M%@Wm…—", 1.0),
    )
    for character in characters
}
#: What may not begin a line: closing signs of Latin, Chinese and Japanese text.
_CLOSING = set("、。，．！？：；）」』】〉》〕］｝・ー,.!?:;)]}%…")
_JOINERS = "\u200c\u200d"


def clean(text: str) -> str:
    """``text`` on one line, with nothing in it that XML forbids or that would turn the direction of what stands beside it.

    Controls become blanks, half characters U+FFFD, and invisible format characters go, but for the two joiners that scripts need.
    """
    kept = []
    for character in text:
        category = unicodedata.category(character)
        if character in _JOINERS:
            kept.append(character)
        elif category == "Cs" or ord(character) & 0xFFFE == 0xFFFE:
            kept.append("\ufffd")
        else:
            kept.append({"Cc": " ", "Zl": " ", "Zp": " ", "Cf": ""}.get(category, character))
    return " ".join("".join(kept).split())


def is_right_to_left(text: str) -> bool:
    """Whether the first letter with a direction is written from right to left."""
    kinds = (unicodedata.bidirectional(character) for character in text)
    return next((kind in {"R", "AL"} for kind in kinds if kind in {"L", "R", "AL"}), False)


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """How wide a line of ``text`` is at most, in the units of the font's ``size``."""
    em = sum(max(map(_em, cluster)) for cluster in _clusters(text))
    return em * size * (BOLD if bold else 1.0)


def wrap(text: str, width: float, size: float, *, lines: int, bold: bool = False) -> tuple[str, ...]:
    """``text`` broken into at most ``lines`` lines of ``width``, at blanks where it can be, between letters where it must.

    If there is more, the last line ends in an ellipsis. There is always one line, empty where the text is.
    """
    found: list[str] = []
    line = ""
    for unit in _units(text):
        if len(found) > lines:
            break
        if text_width((line + unit).rstrip(), size, bold=bold) <= width:
            line += unit
            continue
        if line.strip():
            found.append(line.rstrip())
            line = ""
        for cluster in _clusters(unit):
            if line and text_width((line + cluster).rstrip(), size, bold=bold) > width:
                found.append(line)
                line = ""
            line += cluster
    if line.strip() or not found:
        found.append(line.rstrip())
    if len(found) <= lines:
        return tuple(found)
    last = _clusters(found[lines - 1])
    while last and text_width("".join(last) + ELLIPSIS, size, bold=bold) > width:
        last.pop()
    return (*found[: lines - 1], "".join(last).rstrip() + ELLIPSIS)


def _em(character: str) -> float:
    """The width of one character in em; of scripts not measured, that of their wider letters."""
    if (known := _WIDTHS.get(character)) is not None:
        return known
    category = unicodedata.category(character)
    if category in {"Mn", "Me"} or character in _JOINERS:
        return 0.0
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1.3 if category == "So" else 1.04
    return {"Lu": 0.82, "Lm": 0.6, "Mc": 0.4, "So": 1.3, "Po": 0.6}.get(category, 0.7)


def _clusters(text: str) -> list[str]:
    """The characters as a reader sees them: marks, joined emoji and halves of flags stay with what they belong to."""
    found: list[str] = []
    for character in text:
        joined = (
            unicodedata.category(character).startswith("M") or character in _JOINERS or "\U0001f3fb" <= character <= "\U0001f3ff"
        )
        if found and (
            joined or found[-1][-1] == "\u200d" or (_is_flag(character) and len(found[-1]) == 1 and _is_flag(found[-1]))
        ):
            found[-1] += character
        else:
            found.append(character)
    return found


def _is_flag(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _units(text: str) -> list[str]:
    """What stays on one line: a word with the blank after it; in scripts without blanks, a letter with what closes it."""
    found: list[str] = []
    for word in re.findall(r"\S+\s*|\s+", text):
        clusters = _clusters(word)
        unit = clusters[0]
        for before, after in pairwise(clusters):
            wide = any(unicodedata.east_asian_width(part[0]) in {"W", "F"} for part in (before, after))
            if wide and after[0] not in _CLOSING and not after.isspace():
                found.append(unit)
                unit = after
            else:
                unit += after
        found.append(unit)
    return found
