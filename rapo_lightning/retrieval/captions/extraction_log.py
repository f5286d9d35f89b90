"""The log of an extraction: what a language model found in each caption, one JSON record a line, appended a batch at a time.

The first record names the template and the model; a log of another template or model is refused. A kill at any byte costs the
batch that was being written at most: a torn last line is dropped when the log is opened again. In memory, a caption takes
16 bytes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, final

import numpy as np

from rapo_lightning import records
from rapo_lightning.errors import InputError, RecordError, StorageError
from rapo_lightning.types import CaptionPhrases

__all__ = ["Extracted", "ExtractionHeader", "ExtractionLog"]

#: So many of the newest captions are found through a dict before they move to the arrays.
NEWEST = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtractionHeader:
    """What made a log: the ``template``'s name, its hash, and the ``model``'s name."""

    template: str
    template_hash: str
    model: str

    def __str__(self) -> str:
        return f"template {self.template!r} ({self.template_hash}) and model {self.model!r}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Extracted:
    """What was found in a caption, which stood at ``place``: its phrases, or the ``reason`` why there are none.

    ``dropped`` are the phrases of the reply that were not taken, each with why, e.g. ``invented: a dog``.
    """

    place: str
    phrases: CaptionPhrases
    reason: str | None = None
    dropped: tuple[str, ...] = ()


@final
class ExtractionLog:
    """An open log; one process writes a log at a time.

    Raises:
        InputError: the log was made by another template or model.
        RecordError: a line of it, other than a torn last one, cannot be read.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path, header: ExtractionHeader) -> None:
        self.path = path
        self._keys = np.empty(0, np.int64)
        self._offsets = np.empty(0, np.int64)
        self._newest: dict[int, int] = {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file: IO[bytes] = path.open("a+b", buffering=0)
            self._reader: IO[bytes] = path.open("rb")
        except OSError as error:
            raise StorageError.of(path, error) from error
        try:
            self._end = self._scan(header)
            self._file.truncate(self._end)
            if not self._end:
                self._write([records.encode(header)])
        except OSError as error:
            self.close()
            raise StorageError.of(path, error) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> ExtractionLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the files; what was appended is on disk already."""
        self._file.close()
        self._reader.close()

    def find(self, caption: str) -> Extracted | None:
        """What was found in a caption, letter by letter the same, before; None when it was not asked about."""
        if (offset := self._offset(_key(caption))) is None:
            return None
        self._reader.seek(offset)
        try:
            found = records.decode(self._reader.readline(), Extracted)
        except RecordError as error:
            raise RecordError(f"{self.path}: byte {offset}: {error}") from error
        return found if found.phrases.caption == caption else None

    def missing(self, caption: str) -> int | None:
        """The number of a caption that was not asked about, equal for equal ones; None for others. Nothing is read from disk."""
        number = _key(caption)
        return number if self._offset(number) is None else None

    def append(self, batch: Sequence[Extracted]) -> None:
        """Add records in one write, synced to disk before this returns. A write that fails leaves the log as it was."""
        offsets = self._write([records.encode(record) for record in batch])
        self._newest.update(zip((_key(record.phrases.caption) for record in batch), offsets))
        if len(self._newest) >= NEWEST:
            self._settle()

    def _write(self, lines: Sequence[str]) -> list[int]:
        encoded = [line.encode() + b"\n" for line in lines]
        offsets = [self._end]
        for line in encoded:
            offsets.append(offsets[-1] + len(line))
        try:
            try:
                if self._file.write(b"".join(encoded)) != offsets[-1] - self._end:
                    raise OSError("written in part: no space left?")
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(self._end)
                raise
        except OSError as error:
            raise StorageError.of(self.path, error) from error
        self._end = offsets[-1]
        return offsets[:-1]

    def _scan(self, header: ExtractionHeader) -> int:
        """Note where every caption stands; returns where the whole lines end."""
        end = 0
        for number, line in enumerate(self._reader, start=1):
            if not line.endswith(b"\n"):
                if number == 1 and not records.encode(header).encode().startswith(line):
                    raise InputError(f"{self.path}: not the log of an extraction")
                break
            try:
                if number == 1:
                    self._check(records.decode(line, ExtractionHeader), header)
                else:
                    self._newest[_key(_caption(line))] = end
            except (ValueError, KeyError, TypeError, RecordError) as error:
                raise RecordError(f"{self.path}:{number}: not a record of an extraction: {error}") from error
            end += len(line)
            if len(self._newest) >= NEWEST:
                self._settle()
        self._settle()
        return end

    def _check(self, found: ExtractionHeader, wanted: ExtractionHeader) -> None:
        if found != wanted:
            raise InputError(f"{self.path}: made by {found}, not by {wanted}; name another log, or delete this one")

    def _settle(self) -> None:
        """Move the newest captions to the arrays."""
        keys = np.concatenate([self._keys, np.fromiter(self._newest.keys(), np.int64, len(self._newest))])
        offsets = np.concatenate([self._offsets, np.fromiter(self._newest.values(), np.int64, len(self._newest))])
        order = np.argsort(keys, kind="stable")
        self._keys, self._offsets = keys[order], offsets[order]
        self._newest.clear()

    def _offset(self, key: int) -> int | None:
        if (newest := self._newest.get(key)) is not None:
            return newest
        index = int(np.searchsorted(self._keys, key, side="right")) - 1
        return int(self._offsets[index]) if index >= 0 and int(self._keys[index]) == key else None


def _key(caption: str) -> int:
    return int.from_bytes(hashlib.blake2b(caption.encode(), digest_size=8).digest(), "little", signed=True)


def _caption(line: bytes) -> str:
    caption = records.parse_json(line)["phrases"]["caption"]
    if not isinstance(caption, str):
        raise TypeError("its caption is not text")
    return caption
