"""The record of rows that were left out, ``skipped.jsonl``: file, row and reason, each once however often its file is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, final

from rapo_lightning import records
from rapo_lightning.retrieval.captions.rows import Skipped

__all__ = ["SkipRecord"]

#: Rows that wait to be written together.
_WAITING = 1000


@final
class SkipRecord:
    """Notes what is left out of a file, and counts it.

    Args:
        path: where the record lies or is made; rows that stand in it are counted, but not written again.

    Attributes:
        reasons: how many rows were left out since this began, by reason.
        failed: how many of them for a model's fault.
        first: the first of them.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting: list[Skipped] = []
        self._known: set[int] | None = None
        self._failed: set[tuple[str, str]] = set()
        self.reasons: Counter[str] = Counter()
        self.failed = 0
        self.first: Skipped | None = None

    def add(self, row: Skipped) -> None:
        """Note a row; it is on disk after some more, or after `flush`."""
        self.first = self.first or row
        self.reasons[row.reason] += 1
        self.failed += row.failed
        if row.failed:
            self._failed.add((row.place, row.reason))
        self._waiting.append(row)
        if len(self._waiting) >= _WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._waiting:
            return
        if self._known is None:
            self._known = set(_written(self._path))
        fresh = [row for row in self._waiting if hash((row.place, row.reason)) not in self._known]
        self._known.update(hash((row.place, row.reason)) for row in fresh)
        self._waiting.clear()
        if fresh:
            records.append(self._path, *fresh)

    def settle(self, name: str) -> None:
        """Call when the file ``name`` was read to its end: rows of it that a model failed on before, but not now, are over."""
        self.flush()
        lines = self._path.read_bytes().splitlines(keepends=True) if self._path.is_file() else []
        rows = ((line, _row(line)) for line in lines)
        kept = [line for line, row in rows if row is None or not self._is_over(row, name)]
        if not kept:
            self._path.unlink(missing_ok=True)
        elif len(kept) < len(lines):
            records.write_text_atomic(self._path, b"".join(kept).decode("utf-8", "replace"))
        self._known = None

    def _is_over(self, row: dict[str, Any], name: str) -> bool:
        place = str(row["place"])
        return row.get("failed") is True and place.startswith(f"{name}:") and (place, row["reason"]) not in self._failed


def _written(path: Path) -> Iterator[int]:
    """A number for each row of a record; lines that say no place and reason are passed over."""
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                if (row := _row(line)) is not None:
                    yield hash((row["place"], row["reason"]))


def _row(line: bytes) -> dict[str, Any] | None:
    """A line's values; None when it says no place and reason."""
    with suppress(ValueError):
        row = records.parse_json(line)
        if isinstance(row, dict) and {"place", "reason"} <= row.keys():
            return row
    return None
