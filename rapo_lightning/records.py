"""Records on disk: the nouns of `rapo_lightning.types` as JSON objects, one a line, each with a ``"schema"`` field.

A log is append-only and survives a kill at any byte: `append` writes a line at once and syncs it, `read` drops a torn last line
and nothing else, and the next `append` removes it. Any dataclass made of plain JSON values, other dataclasses and tuples of them
can be a record; its schema is its name in snake case and a version, e.g. ``candidate/1``.
"""

from __future__ import annotations

import functools
import json
import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import IO, Any, NoReturn, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from rapo_lightning.errors import RecordError, StorageError

__all__ = ["append", "decode", "encode", "parse_json", "read", "schema", "write", "write_text_atomic"]

Record = TypeVar("Record")


def schema(kind: type) -> str:
    """The schema of a record type: its name in snake case, a slash, its ``SCHEMA_VERSION`` (1 when the type names none)."""
    return f"{re.sub(r'(?<!^)(?=[A-Z])', '_', kind.__name__).lower()}/{getattr(kind, 'SCHEMA_VERSION', 1)}"


def encode(record: object) -> str:
    """One line of JSON without its line end. NaN, infinity and what JSON cannot hold raise `RecordError`."""
    try:
        line = json.dumps(
            {"schema": schema(type(record)), **_fields(record)}, default=_fields, allow_nan=False, ensure_ascii=False
        )
        line.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError(f"a {type(record).__name__} cannot be written as JSON: {error}") from error
    return line


def decode(line: str | bytes, kind: type[Record]) -> Record:
    """The record of one line. Another kind or version, a missing, extra or wrong value raises `RecordError`."""
    try:
        payload = parse_json(line)
        if not isinstance(payload, dict):
            raise ValueError("not a JSON object")
        _check_schema(payload.pop("schema", None), schema(kind))
        record: Record = _adapter(cast(Any, kind)).validate_json(line, strict=True)
        if (difference := _difference(payload, _plain(record))) is not None:
            raise ValueError(f"{difference}: not a key of {schema(kind)}, or missing")
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecordError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except ValueError as error:
        raise RecordError(str(error)) from error
    return record


def parse_json(text: str | bytes) -> Any:
    """Standard JSON only: NaN, infinity, lone surrogates, invalid UTF-8 and bottomless nesting raise `ValueError`."""
    try:
        text = text.decode() if isinstance(text, bytes) else text
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def append(path: str | os.PathLike[str], *batch: object) -> None:
    """Add records to a log in one write, synced to disk before it returns; the log and its folder are made when missing.

    A torn line that a kill left at the end is removed first. A write that fails (disk full) leaves the log as it was and
    raises `StorageError`. One process writes a log at a time.
    """
    lines = b"".join(encode(record).encode() + b"\n" for record in batch)
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        is_new = not path.exists()
        with path.open("a+b", buffering=0) as log:
            end, lead = _whole_end(log)
            log.truncate(end)
            try:
                if log.write(lead + lines) != len(lead + lines):
                    raise OSError("written in part: no space left?")
                os.fsync(log.fileno())
            except OSError:
                log.truncate(end)
                raise
        if is_new:
            _sync_folder(path.parent)
    except OSError as error:
        raise StorageError.of(path, error) from error


def read(path: str | os.PathLike[str], kind: type[Record]) -> Iterator[Record]:
    """The records of a log in order, without a torn last line. Anything else that is wrong raises `RecordError` at its line."""
    try:
        with Path(path).open("rb") as log:
            for number, line in enumerate(log, start=1):
                if not line.endswith(b"\n") and not _is_whole(line):
                    return
                try:
                    record = decode(line, kind)
                except RecordError as error:
                    raise RecordError(f"{os.fspath(path)}:{number}: {error}") from error
                yield record
    except OSError as error:
        raise RecordError(f"{os.fspath(path)}: cannot be read: {error.strerror or error}") from error


def write(path: str | os.PathLike[str], records: Iterable[object]) -> None:
    """Replace a file of records at once: readers see the old file or the new one, never a part of it."""
    write_text_atomic(path, "".join(encode(record) + "\n" for record in records))


def write_text_atomic(path: str | os.PathLike[str], text: str) -> None:
    """Replace a UTF-8 text file at once, synced to disk; its folder is made when missing. Errors: `StorageError`."""
    path = Path(path)
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with aside.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise StorageError.of(path, error) from error


@functools.cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _fields(value: object) -> dict[str, Any]:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def _plain(record: object) -> Any:
    return json.loads(json.dumps(record, default=_fields))


def _check_schema(found: object, expected: str) -> None:
    kind, _, version = found.rpartition("/") if isinstance(found, str) else ("", "", "")
    expected_kind, _, expected_version = expected.rpartition("/")
    if kind != expected_kind or not version.isdecimal():
        raise ValueError(f"schema {found!r} where {expected!r} was expected")
    if int(version) > int(expected_version):
        raise ValueError(f"schema {found!r} was written by a newer release; this one reads {expected!r}")
    if version != expected_version:
        raise ValueError(f"schema {found!r} is not known; this release reads {expected!r}")


def _difference(found: Any, expected: Any, path: str = "") -> str | None:
    """The dotted name of the first key that one of two plain JSON values has and the other has not, or that differs."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in [*found, *expected]:
            here = f"{path}.{key}" if path else str(key)
            if key not in found or key not in expected:
                return here
            if (deeper := _difference(found[key], expected[key], here)) is not None:
                return deeper
        return None
    if isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        deeper_of = (_difference(a, b, f"{path}.{index}") for index, (a, b) in enumerate(zip(found, expected)))
        return next((deeper for deeper in deeper_of if deeper is not None), None)
    return None if found == expected else path


def _whole_end(log: IO[bytes]) -> tuple[int, bytes]:
    """Where the whole lines of a log end, and what must come before the next: a line end when only that was torn off."""
    end = log.seek(0, os.SEEK_END)
    tail, start = b"", end
    while start and b"\n" not in tail:
        step = min(start, 65536)
        start = log.seek(start - step)
        tail = log.read(step) + tail
    tail = tail[tail.rfind(b"\n") + 1 :]
    return (end, b"\n") if tail and _is_whole(tail) else (end - len(tail), b"")


def _is_whole(line: bytes) -> bool:
    """Whether a line without its line end is a complete record: a JSON object cut anywhere is no JSON."""
    try:
        return isinstance(parse_json(line), dict)
    except ValueError:
        return False


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _sync_folder(folder: Path) -> None:
    """Make a new or renamed entry of a folder last a power cut, where the system allows to open a folder."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
