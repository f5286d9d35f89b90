"""What has been found so far, line by line on disk: an evaluation that was killed goes on where it stood.

Each process appends to a file of its own, ``findings-<rank>.jsonl``, a line a question to a file; a torn last line is left aside.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self, TextIO, final

from evaluation.errors import InputError
from evaluation.rows import Row
from evaluation.video.record import Record

__all__ = ["Finding", "FindingLog", "read_findings", "read_hashes", "row_of", "told_by"]

SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A row, and the question that it answers (`Measure.asked`)."""

    asked: str
    row: Row

    @property
    def key(self) -> tuple[str, str, str, str, str]:
        """Equal keys, equal answers: the file's content (its path, if it has none), the question, and how it was answered."""
        row = self.row
        return (row.video_sha256 or row.video_path, self.asked, row.dtype, row.protocol, row.code_version)


@final
@dataclass(slots=True)
class FindingLog:
    """Appends findings to a file; each call is on disk when it returns."""

    path: Path
    _file: TextIO = field(init=False)

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n") and self.path.stat().st_size
        self._file = self.path.open("a", encoding="utf-8")
        if torn:
            self._file.write("\n")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        with contextlib.suppress(OSError) if kind else contextlib.nullcontext():  # what could not be written still cannot
            self._file.close()

    def append(self, findings: Iterable[Finding]) -> None:
        """Write them.

        Raises:
            OSError: the disk is full or fails.
        """
        lines = [
            json.dumps({"schema": SCHEMA, "asked": f.asked, **asdict(f.row)}, allow_nan=False)  # ASCII, which holds any text
            for f in findings
        ]
        try:
            self._file.write("".join(f"{line}\n" for line in lines))
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise OSError(error.errno, error.strerror, str(self.path)) from error


def read_findings(folder: Path) -> dict[tuple[str, str, str, str, str], Finding]:
    """The answer to each question that a folder holds; an error only where there is no answer.

    Raises:
        InputError: a file is of a newer version.
    """
    found: dict[tuple[str, str, str, str, str], Finding] = {}
    for finding in _all(folder):
        if finding.row.status != "error" or _is_error(found.get(finding.key)):
            found[finding.key] = finding
    return found


def read_hashes(folder: Path) -> dict[str, str]:
    """The content of each path that a folder's findings speak of, as it was when it was last scored; empty if unreadable."""
    return {finding.row.video_path: finding.row.video_sha256 for finding in _all(folder)}


def _all(folder: Path) -> Iterator[Finding]:
    """Every finding, those of the file last written to at the end."""
    for path in sorted(folder.glob("findings-*.jsonl"), key=lambda path: (path.stat().st_mtime_ns, path.name)):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if (finding := _finding(line, path)) is not None:
                yield finding


def _is_error(finding: Finding | None) -> bool:
    return finding is None or finding.row.status == "error"


def row_of(finding: Finding, record: Record) -> Row:
    """The answer as the row of one of the manifest's lines."""
    return replace(finding.row, **told_by(record))


def told_by(record: Record) -> dict[str, Any]:
    """The fields of a row that come from the manifest's line."""
    return {
        "position": record.index,
        "video_path": record.video,
        "prompt_id": record.prompt_id,
        "prompt": record.prompt,
        "variant": record.variant,
        "seed": record.seed,
        "index": record.sample,
    }


def _finding(line: str, path: Path) -> Finding | None:
    try:
        data = json.loads(line)
        schema, asked = data.pop("schema"), data.pop("asked")
    except (ValueError, KeyError, AttributeError):
        return None  # torn by a kill
    if schema > SCHEMA:
        raise InputError(f"{path}: written by a newer version (schema {schema})")
    try:
        return Finding(asked=asked, row=Row(**data))
    except TypeError:
        return None
