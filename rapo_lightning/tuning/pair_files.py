"""Pairs from files: records of this suite, or JSONL and parquet with TRL's columns; and which of them are kept for validation."""

from __future__ import annotations

import hashlib
import math
from codecs import BOM_UTF8
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.phrases import key
from rapo_lightning.types import PromptPair

__all__ = ["read_pairs", "split", "unique"]

#: A column's names: TRL calls an answer ``completion`` beside a prompt, and ``chosen`` beside a rejected one.
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "prompt": ("prompt",),
    "completion": ("completion", "chosen"),
    "rejected": ("rejected",),
    "gain": ("gain",),
}


def read_pairs(path: Path, *, may_be_empty: bool = False) -> list[PromptPair]:
    """The pairs of a file, JSONL or parquet. Columns besides `PromptPair`'s, and TRL's ``chosen``, are passed over.

    Raises:
        InputError: it cannot be read, or a row has no text in prompt or completion; names file and row.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    rows = _parquet(path) if path.suffix == ".parquet" else _jsonl(path)
    pairs = [_pair(row, f"{path}:{number}") for number, row in rows]
    if not pairs and not may_be_empty:
        raise InputError(f"{path}: holds no pairs")
    return pairs


def unique(pairs: Sequence[PromptPair]) -> list[PromptPair]:
    """The pairs without those that say the same as an earlier one, but for blanks and case."""
    seen: dict[tuple[str, ...], PromptPair] = {}
    for pair in pairs:
        seen.setdefault((key(pair.prompt), key(pair.completion), key(pair.rejected or "")), pair)
    return list(seen.values())


def split(pairs: Sequence[PromptPair], share: float, seed: int) -> tuple[list[PromptPair], list[PromptPair]]:
    """Pairs to learn from and pairs to validate on, a ``share`` of the prompts, drawn by their text: no prompt is in both.

    A prompt falls on the same side whatever else the file holds; but where one side would be empty though there are two prompts
    or more, the prompt nearest to it goes there.
    """

    def place(prompt: str) -> float:
        digest = hashlib.sha256(f"{seed}:{key(prompt)}".encode()).digest()
        return int.from_bytes(digest[:8], "big") / 2**64

    places = {key(pair.prompt): place(pair.prompt) for pair in pairs}
    if share > 0 and len(places) > 1:
        share = min(max(share, math.nextafter(min(places.values()), 1)), max(places.values()))
    learn = [pair for pair in pairs if places[key(pair.prompt)] >= share]
    return learn, [pair for pair in pairs if places[key(pair.prompt)] < share]


def _jsonl(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        lines = path.read_bytes().removeprefix(BOM_UTF8).split(b"\n")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield number, records.parse_json(line)
        except ValueError as error:
            raise InputError(f"{path}:{number}: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: reading parquet needs pyarrow: pip install 'rapo-lightning[parquet]'") from error
    try:
        known = {name for names in _COLUMNS.values() for name in names}
        columns = [name for name in parquet.read_schema(path).names if name in known]
        rows = parquet.read_table(path, columns=columns).to_pylist()
    except (ArrowException, OSError, ValueError, KeyError) as error:
        raise InputError(f"{path}: cannot be read: {str(error).partition(chr(10))[0]}") from error
    yield from enumerate(rows, start=1)


def _pair(row: Any, place: str) -> PromptPair:
    if not isinstance(row, dict):
        raise InputError(f"{place}: not an object with a prompt and a completion")
    values: dict[str, Any] = {}
    for field, names in _COLUMNS.items():
        values[field] = next((row[name] for name in names if row.get(name) is not None), None)
    for field in ("prompt", "completion", "rejected"):
        value = values[field]
        if value is None and field == "rejected":
            continue
        if not isinstance(value, str) or not value.strip():
            says = "is missing" if value is None else "must be text that is not empty"
            hint = " (a conversational form? write its text)" if isinstance(value, list) else ""
            raise InputError(f"{place}: {' or '.join(_COLUMNS[field])} {says}{hint}")
    gain = values["gain"]
    return PromptPair(
        prompt=values["prompt"],
        completion=values["completion"],
        rejected=values["rejected"],
        gain=_number(gain),
    )


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None
