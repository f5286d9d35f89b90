"""Captions files, row by row in bounded memory: plain captions, or captions with the phrases that stand in them.

The published form is a CSV file with the header ``Input,Output,verb_obj_word,scenario_word,place`` (RAPO++ section 3.1): the
caption, the extractor's raw reply (not used), and lists of actions, of subjects and atmosphere together, and of scenes. Our own
form separates the kinds. Both sets of names are understood in every kind of file:

==============  ======================================  ================================================
our name        published name                          values
==============  ======================================  ================================================
``caption``     ``Input``                               text; ``captions``, ``text``, ``prompt``, too
``scenes``      ``place``                               a list of strings; in CSV as a Python literal
``actions``     ``verb_obj_word``                       the same
``atmosphere``  ``scenario_word``                       the same; ``atmosphere_word``, too
``subjects``    none                                    the same; ``subject_word``, too
==============  ======================================  ================================================

Plain captions come one a line (``.txt``) or from a column (``.csv``, ``.jsonl``, ``.parquet``).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, TypeVar, final

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.captions.csv_file import csv_header, read_csv
from rapo_lightning.retrieval.captions.list_cells import distinct, read_list
from rapo_lightning.retrieval.captions.phrase_blocks import PhraseBlocks
from rapo_lightning.retrieval.captions.rows import (
    Row,
    Skipped,
    json_lines,
    parquet_columns,
    parquet_rows,
    readable,
    text_fault,
    text_lines,
)
from rapo_lightning.types import CaptionPhrases

__all__ = ["CaptionFile", "Skipped", "open_captions", "unusable"]

T = TypeVar("T")
CAPTION_COLUMNS = ("caption", "captions", "text", "prompt", "Input")
#: The columns that a list of phrases may come from; several add up.
COLUMNS = {
    "scenes": ("scenes", "place"),
    "subjects": ("subjects", "subject_word"),
    "actions": ("actions", "verb_obj_word"),
    "atmosphere": ("atmosphere", "scenario_word", "atmosphere_word"),
}
KINDS = ("subjects", "actions", "atmosphere")
#: How many lines of a JSONL file may be broken before its first good one, which tells the form.
BROKEN_AT_FIRST = 1000
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_MISSING = object()


def unusable(phrases: CaptionPhrases) -> str | None:
    """Why phrases cannot enter a graph, which takes a scene and a modifier; None when they can."""
    if not phrases.scenes:
        return "no scene"
    return None if phrases.subjects or phrases.actions or phrases.atmosphere else "a scene, but nothing said about it"


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionFile:
    """A captions file whose form is known: its ``name``, its ``columns``, which of them is the ``caption``, and of which
    columns each list of phrases is made (``lists``, empty for plain captions)."""

    name: str
    columns: tuple[str, ...]
    caption: str
    lists: Mapping[str, tuple[str, ...]]

    @property
    def has_phrases(self) -> bool:
        """Whether the rows bring their phrases, so that nothing need be extracted."""
        return bool(self.lists)

    def phrases(self) -> Iterator[CaptionPhrases | Skipped]:
        """Each row's phrases, or why it was skipped, in the file's order.

        Rows with a scene and at least one modifier are kept; phrases are tidied, and empty and repeated ones dropped.

        Raises:
            InputError: the file holds plain captions or no rows (told at once), or can no longer be read.
        """
        if not self.has_phrases:
            raise InputError(f"{self.name}: holds captions without phrases; these must be extracted first")
        if not self._is_csv:
            return self._not_empty(_converted(self._rows(), lambda place, row: self._phrases(row)))
        blocks = PhraseBlocks(columns=self.columns, caption=self.caption, lists=self.lists, row=self._phrases)
        read = functools.partial(blocks.read, self.name)
        return self._not_empty(read_csv(self.name, lambda place, row: self._phrases(row), read))

    def captions(self) -> Iterator[tuple[str, str] | Skipped]:
        """Each row's place and caption, or why it was skipped, in the file's order. Errors: as `phrases`."""
        if self._is_csv:
            return self._not_empty(read_csv(self.name, lambda place, row: (place, self._caption(row))))
        return self._not_empty(_converted(self._rows(), lambda place, row: (place, self._caption(row))))

    @property
    def _is_csv(self) -> bool:
        return self.name.lower().endswith(".csv")

    def _not_empty(self, rows: Iterator[T]) -> Iterator[T]:
        if (first := next(rows, None)) is None:
            raise InputError(f"{self.name}: holds no captions")
        return chain([first], rows)

    def _rows(self) -> Iterator[Row]:
        match Path(self.name).suffix.lower():
            case ".txt":
                return text_lines(self.name, self.caption)
            case ".jsonl":
                return json_lines(self.name, self.caption)
            case _:
                return parquet_rows(self.name, [self.caption, *chain.from_iterable(self.lists.values())])

    def _caption(self, row: Mapping[str, Any]) -> str:
        value = row.get(self.caption, _MISSING)
        if not isinstance(value, str):
            raise ValueError(f"{self.caption}: {'missing' if value is _MISSING else 'not text'}")
        if (reason := text_fault(value) if value.strip() else "empty") is not None:
            raise ValueError(f"{self.caption}: {reason}")
        return value.strip()

    def _phrases(self, row: Mapping[str, Any]) -> CaptionPhrases:
        caption = self._caption(row)
        lists = {kind: distinct(chain(*(_list(row, column) for column in columns))) for kind, columns in self.lists.items()}
        found = CaptionPhrases(caption=caption, **lists)
        if (reason := unusable(found)) is not None:
            raise ValueError(reason)
        return found


def open_captions(path: str | os.PathLike[str], column: str | None = None) -> CaptionFile:
    """Look at a file's name and header, or a JSONL file's first row, and tell its form; ``column`` names the caption's column.

    Raises:
        InputError: the file cannot be read, is empty, of another kind, or lacks a column; or pyarrow is missing for parquet.
    """
    name = os.fspath(path)
    if (reason := text_fault(name)) is not None:
        raise InputError(f"{os.fsencode(name).decode(errors='backslashreplace')}: the file's name: {reason}; rename it")
    with readable(name), Path(name).open("rb") as file:
        if file.read(2) in _UTF_16:
            raise InputError(f"{name}:1: UTF-16; captions files are UTF-8")
    match Path(name).suffix.lower():
        case ".txt" if column is not None:
            raise InputError(f"{name}: a text file has no column {column!r}")
        case ".txt":
            columns = ["caption"]
        case ".csv":
            columns = csv_header(name)
        case ".jsonl":
            columns = _first_keys(name, column or "caption")
        case ".parquet":
            columns = parquet_columns(name)
        case suffix:
            raise InputError(f"{name}: captions files end in .txt, .csv, .jsonl or .parquet, not {suffix or 'in nothing'}")
    return _form(name, columns, column, free=name.lower().endswith(".jsonl"))


def _form(name: str, columns: Sequence[str], column: str | None, *, free: bool) -> CaptionFile:
    """The form that the columns tell; where keys are ``free`` to be absent, only the caption's must be there."""
    found = f"; found {', '.join(columns) or 'none'}"
    caption = next((known for known in ((column,) if column else CAPTION_COLUMNS) if known in columns), None)
    if caption is None:
        raise InputError(f"{name}: no column {column or ' or '.join(CAPTION_COLUMNS)}{found}")
    lists = {kind: tuple(c for c in names if c in columns and c != caption) for kind, names in COLUMNS.items()}
    signs = {c for names in lists.values() for c in names} - ({"place"} if "Input" not in columns else set())
    if not signs:
        return CaptionFile(name=name, columns=tuple(columns), caption=caption, lists={})
    published = any(c.endswith("_word") or c == "place" for c in signs)
    missing = [] if lists["scenes"] else ["place" if published else "scenes"]
    if published:
        missing += [] if lists["actions"] else ["verb_obj_word"]
        missing += [] if lists["subjects"] or lists["atmosphere"] else ["scenario_word"]
    elif not any(lists[kind] for kind in KINDS):
        missing += [" or ".join(KINDS)]
    if missing and not free:
        raise InputError(f"{name}: no column {' and '.join(missing)}{found}")
    return CaptionFile(name=name, columns=tuple(columns), caption=caption, lists=lists)


def _converted(rows: Iterator[Row], convert: Callable[[str, Mapping[str, Any]], T]) -> Iterator[T | Skipped]:
    for place, row in rows:
        if isinstance(row, str):
            yield Skipped(place=place, reason=row)
            continue
        try:
            yield convert(place, row)
        except ValueError as error:
            yield Skipped(place=place, reason=str(error))


def _first_keys(name: str, column: str) -> list[str]:
    reason = "empty"
    for place, row in islice(json_lines(name, column), BROKEN_AT_FIRST):
        if not isinstance(row, str):
            return list(row)
        reason = reason if reason != "empty" else f"no row can be read, the first because: {place}: {row}"
    raise InputError(f"{name}: {reason}")


def _list(row: Mapping[str, Any], column: str) -> Sequence[str]:
    value = row.get(column)
    try:
        if isinstance(value, str):
            return read_list(value)
        if value is None:
            return ()
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise ValueError(f"not a list of strings: {str(value)[:60]!r}")
        if (reason := text_fault("".join(value))) is not None:
            raise ValueError(reason)
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None
    return value
