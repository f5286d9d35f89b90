"""List cells of the published caption CSV: Python list literals of strings, read without ever running what they hold.

Cells as ``repr`` writes them are read by a pattern; all others go through ``ast.literal_eval``, with the same result.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable

from rapo_lightning.retrieval.phrases import tidy

__all__ = ["distinct", "read_list"]

_PLAIN = re.compile(r"\['([^'\\\n\r\0]*(?:', '[^'\\\n\r\0]*)*)'\]")
_STRING = re.compile(r"""'[^'\\\n\r\0]*'|"[^"\\\n\r\0]*\"""")
_MIXED = re.compile(rf"\[(?:{_STRING.pattern})(?:, (?:{_STRING.pattern}))*\]")
_SHOWN = 60


def read_list(cell: str) -> list[str]:
    """The strings of a cell such as ``['at sea', "a dog's life"]``, as they stand.

    Raises:
        ValueError: it is no list of strings; the message says so and shows the cell's beginning.
    """
    if plain := _PLAIN.fullmatch(cell):
        return plain[1].split("', '")
    if _MIXED.fullmatch(cell):
        return [token[1:-1] for token in _STRING.findall(cell)]
    shown = repr(cell if len(cell) <= _SHOWN else cell[:_SHOWN] + "...")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unknown escape such as \d stands for itself
            value = ast.literal_eval(cell)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise ValueError(f"a malformed list: {shown}") from None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError(f"not a list of strings: {shown}")
    if any("\0" in item for item in value):
        raise ValueError(f"a list with a zero byte in it: {shown}")
    try:
        "".join(value).encode()
    except UnicodeEncodeError:
        raise ValueError(f"a list with half a character in it: {shown}") from None
    return value


def distinct(phrases: Iterable[str]) -> tuple[str, ...]:
    """The phrases tidied, without empty ones and, where two differ in case and blanks only, without the later."""
    tidied = [tidy(phrase) for phrase in phrases]
    if all(tidied) and len(set(map(str.casefold, tidied))) == len(tidied):
        return tuple(tidied)
    found: dict[str, str] = {}
    for phrase in filter(None, tidied):
        found.setdefault(phrase.casefold(), phrase)
    return tuple(found.values())
