"""The record of rows that were left out, ``skipped.jsonl``: file, row and reason, each once however often its file is read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import final

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
        self.reasons: Counter[str] = Counter()
        self.failed = 0
        self.first: Skipped | None = None

    def add(self, row: Skipped) -> None:
        """Note a row; it is on disk after some more, or after `flush`."""
        self.first = self.first or row
        self.reasons[row.reason] += 1
        self.failed += row.failed
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


def _written(path: Path) -> Iterator[int]:
    """A number for each row of a record; lines that say no place and reason are passed over."""
    if path.is_file():
        with path.open("rb") as file:
            for line in file:
                with suppress(ValueError, TypeError, KeyError):
                    row = records.parse_json(line)
                    yield hash((row["place"], row["reason"]))
