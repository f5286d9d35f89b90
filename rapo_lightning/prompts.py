"""Prompt files: what users bring, read into `Prompt`s with an error that names the file and line for everything that is wrong.

===========  ==========================================================================================
``.txt``     one prompt a line; blank lines are ignored
``.csv``     a header; the prompt's column is ``prompt``, ``text``, ``captions`` or ``caption``, or the one named
``.jsonl``   one object a line with the same keys, or a plain string
``.json``    a list of such objects or strings
===========  ==========================================================================================

The columns ``id``, ``physical_rule`` (or ``phys_law``) and ``locked`` (words that every rewrite keeps, separated by ``;`` or a
JSON list) are understood; all others are kept in the prompt's context.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rapo_lightning.errors import InputError
from rapo_lightning.records import parse_json
from rapo_lightning.types import Prompt, prompt_id

__all__ = ["given", "load_placed", "load_prompts"]

TEXT_COLUMNS = ("prompt", "text", "captions", "caption")
RULE_COLUMNS = ("physical_rule", "phys_law")

#: Where a row stands, for messages (``prompts.csv:3``), and its values.
Row = tuple[str, Mapping[str, Any]]


def given(text: str, where: str) -> str:
    """A prompt of the command line without blanks around it. Errors: `InputError`, if it is empty or not UTF-8."""
    if not text.strip():
        raise InputError(f"{where}: the prompt is empty")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{where}: not UTF-8") from error
    return text.strip()


def load_prompts(path: str | os.PathLike[str], text_column: str | None = None, rule_column: str | None = None) -> list[Prompt]:
    """The prompts of a UTF-8 file, in its order; rows with the same text and no id get the ids ``<id>``, ``<id>-2``, ``<id>-3``.

    An unreadable or empty file, a missing column, an empty prompt, a repeated or unusable id raise `InputError`.
    """
    return [prompt for _, prompt in load_placed(path, text_column, rule_column)]


def load_placed(
    path: str | os.PathLike[str], text_column: str | None = None, rule_column: str | None = None
) -> list[tuple[str, Prompt]]:
    """As `load_prompts`, each prompt with where it stands, e.g. ``prompts.csv:3``."""
    name = os.fspath(path)
    ids = _Ids()
    try:
        prompts = [(place, _prompt(place, row, text_column, rule_column, ids)) for place, row in _rows(name, text_column)]
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error
    if not prompts:
        raise InputError(f"{name}: holds no prompts")
    return prompts


def _rows(name: str, text_column: str | None) -> Iterator[Row]:
    match Path(name).suffix.lower():
        case ".txt":
            return ((place, {text_column or "prompt": line.strip()}) for place, line in _lines(name) if line.strip())
        case ".csv":
            return _csv_rows(name)
        case ".jsonl":
            return (_json_row(place, line, text_column) for place, line in _lines(name) if line.strip())
        case ".json":
            return _json_list(name, text_column)
        case suffix:
            raise InputError(f"{name}: prompt files end in .txt, .csv, .jsonl or .json, not {suffix or 'without a suffix'!r}")


def _lines(name: str) -> Iterator[tuple[str, str]]:
    with Path(name).open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                text = line.decode()
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{name}:{number}: not UTF-8: byte 0x{line[error.start]:02x} at column {error.start + 1}"
                ) from error
            yield f"{name}:{number}", text.removeprefix("\ufeff") if number == 1 else text


def _csv_rows(name: str) -> Iterator[Row]:
    reader = csv.reader((line for _, line in _lines(name)), strict=True)
    header: list[str] | None = None
    place = f"{name}:1"
    try:
        for values in reader:
            if values and header is None:
                header = [column.strip() for column in values]
                if repeated := sorted({column for column in header if header.count(column) > 1}):
                    raise InputError(f"{place}: column {repeated[0]!r} stands twice in the header")
            elif values and header is not None:
                if len(values) != len(header):
                    raise InputError(f"{place}: {len(values)} values for {len(header)} columns")
                yield place, dict(zip(header, values))
            place = f"{name}:{reader.line_num + 1}"
    except csv.Error as error:
        raise InputError(f"{place}: {error}") from error


def _json_row(place: str, text: str, text_column: str | None) -> Row:
    try:
        return _object(place, parse_json(text), text_column)
    except ValueError as error:
        raise InputError(f"{place}: not JSON: {error}") from error


def _json_list(name: str, text_column: str | None) -> Iterator[Row]:
    try:
        items = parse_json("".join(line for _, line in _lines(name)))
    except ValueError as error:
        raise InputError(f"{name}: not JSON: {error}") from error
    if not isinstance(items, list):
        raise InputError(f"{name}: must hold a list of prompts")
    for number, item in enumerate(items, start=1):
        yield _object(f"{name}: item {number}", item, text_column)


def _object(place: str, item: object, text_column: str | None) -> Row:
    if isinstance(item, str):
        return place, {text_column or "prompt": item}
    if isinstance(item, dict):
        return place, item
    raise InputError(f"{place}: must be an object or a string")


def _prompt(place: str, row: Mapping[str, Any], text_column: str | None, rule_column: str | None, ids: _Ids) -> Prompt:
    text_key = _column(row, TEXT_COLUMNS if text_column is None else (text_column,))
    if text_key is None:
        wanted = " or ".join(TEXT_COLUMNS) if text_column is None else text_column
        raise InputError(f"{place}: no column {wanted} among {', '.join(row) or 'none'}; name the right one with text_column")
    rule_key = _column(row, RULE_COLUMNS if rule_column is None else (rule_column,))
    if rule_key is None and rule_column is not None:
        raise InputError(f"{place}: no column {rule_column} among {', '.join(row)}")
    text = row[text_key]
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{place}: the prompt ({text_key}) must be text and not empty")
    if "\0" in text:
        raise InputError(f"{place}: a zero byte in the prompt; is the file UTF-16?")
    context = {key: value for key, value in row.items() if key not in {text_key, rule_key, "id", "locked"}}
    if rule_key is not None and row[rule_key]:
        context["physical_rule"] = row[rule_key]
    if locked := _locked(place, row.get("locked")):
        context["locked"] = locked
    try:
        return Prompt(id=ids.take(place, row.get("id"), text.strip()), text=text.strip(), context=context)
    except ValueError as error:
        raise InputError(f"{place}: {error}") from error


def _column(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


class _Ids:
    """The ids given so far, with their places; hands out the next."""

    def __init__(self) -> None:
        self._places: dict[str, str] = {}
        self._repeats: Counter[str] = Counter()

    def take(self, place: str, given: object, text: str) -> str:
        if given is None or given == "":
            id = self._from_text(text)
        elif isinstance(given, bool) or not isinstance(given, str | int):
            raise InputError(f"{place}: the id must be text")
        elif (id := str(given).strip()) in self._places:
            raise InputError(f"{place}: id {id!r} was given before, at {self._places[id]}")
        self._places[id] = place
        return id

    def _from_text(self, text: str) -> str:
        first = prompt_id(text)
        while True:
            self._repeats[first] += 1
            id = first if self._repeats[first] == 1 else f"{first}-{self._repeats[first]}"
            if id not in self._places:
                return id


def _locked(place: str, value: object) -> list[str]:
    words = value.split(";") if isinstance(value, str) else [] if value is None else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InputError(f"{place}: locked must be words separated by ';', or a list of words")
    return [word.strip() for word in words if word.strip()]
