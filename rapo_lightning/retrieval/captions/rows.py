"""Files of captions other than CSV, row by row: text, JSON lines and parquet; and the record of a row that was skipped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapo_lightning.errors import InputError, first_line
from rapo_lightning.records import parse_json

__all__ = ["Row", "Skipped", "json_lines", "parquet_columns", "parquet_rows", "readable", "text_fault", "text_lines"]

#: Where a row stands, e.g. ``captions.jsonl:3``, and its values by column, or the reason why it cannot be read.
Row = tuple[str, "Mapping[str, Any] | str"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A row or caption that was left out: its ``place`` (``captions.csv:12``) and the ``reason``.

    ``failed``: not for its own fault, but because a model failed on it; asking again may help.
    """

    place: str
    reason: str
    failed: bool = False


@contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn what the system says when a file cannot be read into an `InputError` that names the file."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{name}: {error.strerror or error}") from error


def text_fault(text: str) -> str | None:
    """What is wrong with text that was decoded with ``surrogateescape``; None when its bytes were UTF-8 and none of them 0."""
    if "\0" in text:
        return "a zero byte in it; is the file UTF-16?"
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = ord(text[error.start])
        return f"not UTF-8: byte 0x{code & 0xFF:02x}" if 0xDC80 <= code <= 0xDCFF else f"half a character in it: \\u{code:04x}"
    return None


def text_lines(name: str, column: str) -> Iterator[Row]:
    """One row a line, blank lines left out."""
    for number, line in _lines(name):
        if line.strip():
            reason = text_fault(line)
            yield f"{name}:{number}", {column: line} if reason is None else reason


def json_lines(name: str, column: str) -> Iterator[Row]:
    """One row a line: an object, or a string that is taken as the ``column``; blank lines left out."""
    for number, line in _lines(name):
        if line.strip():
            yield f"{name}:{number}", _json_row(line, column)


def parquet_columns(name: str) -> list[str]:
    """The names of a parquet file's columns. Errors: `InputError`, also when pyarrow is missing."""
    with _parquet(name) as file:
        names = list(file.schema_arrow.names)
    if twice := [one for one in dict.fromkeys(names) if names.count(one) > 1]:
        raise InputError(f"{name}: several columns {', '.join(twice)}")
    return names


def parquet_rows(name: str, columns: list[str], batch_size: int = 4096) -> Iterator[Row]:
    """One row a row, of the columns named; placed by the row's number, from 1."""
    import pyarrow

    number = 0
    with _parquet(name) as file:
        try:
            for batch in file.iter_batches(batch_size=batch_size, columns=columns):
                values = [_values(batch.column(column)) for column in columns]
                for cells in zip(*values):
                    number += 1
                    bad = next((str(cell) for cell in cells if isinstance(cell, UnicodeDecodeError)), None)
                    reason = None if bad is None else f"not UTF-8: {bad}"
                    yield f"{name}: row {number}", dict(zip(columns, cells)) if reason is None else reason
        except (pyarrow.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{name}: cannot be read behind row {number}: {first_line(error)}") from error


def _lines(name: str) -> Iterator[tuple[int, str]]:
    with readable(name), Path(name).open(encoding="utf-8-sig", errors="surrogateescape") as file:
        yield from enumerate(file, start=1)


def _json_row(line: str, column: str) -> Mapping[str, Any] | str:
    if (reason := text_fault(line)) is not None:
        return reason
    try:
        value = parse_json(line)
    except UnicodeEncodeError as error:
        return f"half a character in it: \\u{ord(error.object[error.start]):04x}"
    except ValueError as error:
        return f"not JSON: {error}"
    if isinstance(value, str):
        return {column: value}
    return value if isinstance(value, dict) else "neither a JSON object nor a string"


def _parquet(name: str) -> Any:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(f'{name}: parquet files need pyarrow: pip install "rapo-lightning[parquet]"') from None
    try:
        return pyarrow.parquet.ParquetFile(name)
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{name}: not a readable parquet file: {first_line(error)}") from error


def _values(column: Any) -> list[Any]:
    """A column's Python values; the error in place of a value whose bytes are not UTF-8."""
    try:
        values: list[Any] = column.to_pylist()
    except UnicodeDecodeError:
        values = [_value(scalar) for scalar in column]
    return values


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError as error:
        return error
