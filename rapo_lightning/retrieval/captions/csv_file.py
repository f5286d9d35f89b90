"""CSV files of captions, read in blocks of whole lines: true line numbers, bad rows told one by one, bounded memory.

Line ends of any kind count as one and are read as ``\\n``. A row that breaks the rules of CSV costs its first line only: reading
goes on with the next line, so that a quote that is never closed does not swallow the rows behind it.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TextIO, TypeVar

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.captions.rows import Skipped, readable, text_fault

__all__ = ["csv_header", "read_csv"]

T = TypeVar("T")
#: Characters read at a time.
BLOCK = 7 << 14
#: The longest row, and what is searched for the end of one that may be broken.
LONGEST = 1 << 20


def csv_header(name: str) -> list[str]:
    """The names of a file's columns. Errors: `InputError` for an empty or unreadable file and a header that is no header."""
    with readable(name), _open(name) as file:
        return _header(name, file)[0]


def read_csv(
    name: str,
    row: Callable[[str, Mapping[str, str]], T],
    block: Callable[[str, int], Sequence[T | Skipped] | None] | None = None,
) -> Iterator[T | Skipped]:
    """What ``row`` makes of each row, given its place and its cells by column, in the file's order.

    Args:
        name: the file.
        row: raises `ValueError` with the reason for a row that is to be skipped.
        block: a faster way for text of whole lines that begins at the given line number; it returns None for text in which not
            every line is one well-formed row, which is then read row by row.
    """
    with readable(name), _open(name) as file:
        header, lines = _header(name, file)
        number, rest, more = lines + 1, "", True
        while more:
            text = file.read(BLOCK)
            more = bool(text)
            rest += text
            end = rest.rfind("\n") + 1
            if not more and end < len(rest):
                rest, end = rest + "\n", len(rest) + 1
            if len(rest) - end > LONGEST:
                raise InputError(f"{name}:{number}: no end of line in {LONGEST} characters: is this a file of captions?")
            if not end:
                continue
            whole, rest, tail = rest[:end], rest[end:], ""
            fast = block is not None and len(whole) <= csv.field_size_limit() and _is_clean(whole)
            if fast and block is not None and (done := block(whole, number)) is not None:
                yield from done
            else:
                tail = yield from _rows(name, header, whole, number, more, row)
            number += whole.count("\n") - tail.count("\n")
            rest = tail + rest


def _open(name: str) -> TextIO:
    return Path(name).open(encoding="utf-8-sig", errors="surrogateescape")


def _header(name: str, file: TextIO) -> tuple[list[str], int]:
    """The column names and how many lines they, and blank lines before them, take."""
    reader = csv.reader(iter(lambda: file.readline(LONGEST), ""), strict=True)
    try:
        header = next(([cell.strip() for cell in cells] for cells in reader if any(cells)), None)
    except csv.Error as error:
        raise InputError(f"{name}:1: the header is not CSV: {error}") from error
    if header is None:
        raise InputError(f"{name}: empty, not even a header")
    if (reason := text_fault("".join(header))) is not None:
        raise InputError(f"{name}:{reader.line_num}: the header: {reason}")
    if repeated := [column for column in header if header.count(column) > 1]:
        raise InputError(f"{name}:{reader.line_num}: column {repeated[0]!r} stands twice in the header")
    return header, reader.line_num


def _rows(
    name: str, header: list[str], text: str, number: int, more: bool, row: Callable[[str, Mapping[str, str]], T]
) -> Generator[T | Skipped, None, str]:
    """The rows of text that begins at a line number, one by one; returns the beginning of a row that goes on behind it."""
    lines = io.StringIO(text).readlines()
    start = 0
    while start < len(lines):
        base, reader = start, csv.reader(lines[start:], strict=True)
        place = f"{name}:{number + start}"
        try:
            for cells in reader:
                here, start = start, base + reader.line_num
                place = f"{name}:{number + here}"
                if len(cells) == len(header):
                    yield _one(place, header, cells, row)
                elif any(map(str.strip, cells)):
                    yield Skipped(place=place, reason=f"{len(cells)} cells for {len(header)} columns")
                    if start > here + 1:
                        start = here + 1
                        break
        except csv.Error as error:
            tail = lines[start:]
            if more and "unexpected end" in str(error) and sum(map(len, tail)) <= LONGEST:
                return "".join(tail)
            reason = "a quote that is not closed" if "unexpected end" in str(error) else f"not CSV: {error}"
            yield Skipped(place=f"{name}:{number + start}", reason=reason)
            start += 1
    return ""


def _one(place: str, header: list[str], cells: list[str], row: Callable[[str, Mapping[str, str]], T]) -> T | Skipped:
    for column, cell in zip(header, cells):
        if (reason := text_fault(cell)) is not None:
            return Skipped(place=place, reason=f"{column}: {reason}")
    try:
        return row(place, dict(zip(header, cells)))
    except ValueError as error:
        return Skipped(place=place, reason=str(error))


def _is_clean(text: str) -> bool:
    return "\0" not in text if text.isascii() else text_fault(text) is None
