"""scores.csv and scores.parquet: one line per video and metric, and rows read back from them, bit for bit.

from evaluation.output.table import read_rows, write_tables
write_tables(folder, rows)
rows = read_rows(folder / "scores.csv")
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from evaluation.errors import InputError
from evaluation.output.files import write_atomic
from evaluation.rows import Row

__all__ = ["COLUMNS", "csv_text", "read_rows", "write_csv", "write_parquet", "write_tables"]

_TEXT, _WHOLE, _NUMBER, _FLAG, _JSON = "text", "whole", "number", "flag", "json"
#: Columns in their order, and what they hold. Numbers without a value are empty.
COLUMNS: dict[str, str] = {
    "video_path": _TEXT, "video_sha256": _TEXT, "prompt_id": _TEXT, "prompt": _TEXT, "variant": _TEXT, "seed": _WHOLE,
    "index": _WHOLE, "metric": _TEXT, "protocol": _TEXT, "value": _NUMBER, "status": _TEXT, "error_code": _TEXT,
    "error_message": _TEXT, "range_min": _NUMBER, "range_max": _NUMBER, "higher_is_better": _FLAG, "n_frames": _WHOLE,
    "fps": _NUMBER, "height": _WHOLE, "width": _WHOLE, "frame_policy": _TEXT, "backbone": _TEXT, "weights_revision": _TEXT,
    "weights_sha256": _TEXT, "dtype": _TEXT, "details": _JSON, "code_version": _TEXT, "seconds": _NUMBER,
    "total": _NUMBER, "count": _NUMBER, "last": _NUMBER, "position": _WHOLE,
}  # fmt: skip
_ONLY_OF_ERRORS = ("error_code", "error_message")
_STATUS = ("ok", "left_out", "error")
_OPTIONAL = {"seed", "value", "range_min", "range_max", "n_frames", "fps", "height", "width"}


def write_tables(folder: str | Path, rows: Sequence[Row]) -> list[Path]:
    """``scores.csv``, and ``scores.parquet`` if pyarrow is installed, in a folder; the files that were written.

    Raises:
        InputError: a file cannot be written, or a row holds NaN, infinity, or details that are no JSON.
    """
    written = [write_csv(Path(folder) / "scores.csv", rows)]
    if find_spec("pyarrow") is not None:
        written.append(write_parquet(Path(folder) / "scores.parquet", rows))
    return written


def write_csv(path: str | Path, rows: Sequence[Row]) -> Path:
    """One line a row, UTF-8, RFC 4180; numbers as Python's repr writes them, so that nothing is lost.

    Raises:
        InputError: as `write_tables`.
    """
    return write_atomic(path, csv_text(rows))


def csv_text(rows: Sequence[Row]) -> str:
    """The text of `write_csv`."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([_cell(value, COLUMNS[name]) for name, value in _values(row).items()])
    return out.getvalue()


def write_parquet(path: str | Path, rows: Sequence[Row]) -> Path:
    """The same columns, typed; what is no valid Unicode in a text is written as ``\\udc80``, as Parquet holds none.

    Raises:
        InputError: as `write_tables`.
    """
    import pyarrow as pa
    from pyarrow import parquet

    kinds = {_TEXT: pa.string(), _JSON: pa.string(), _WHOLE: pa.int64(), _NUMBER: pa.float64(), _FLAG: pa.bool_()}
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in rows:
        for name, value in _values(row).items():
            columns[name].append(value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value)
    seeds = [seed for seed in columns["seed"] if seed is not None]
    wide = pa.decimal128(20, 0) if min(seeds, default=0) < 0 else pa.uint64()
    large = max(seeds, default=0) > 2**63 - 1
    fields = [(name, wide if name == "seed" and large else kinds[kind]) for name, kind in COLUMNS.items()]
    sink = pa.BufferOutputStream()
    try:
        parquet.write_table(pa.table(columns, schema=pa.schema(fields)), sink)
    except (pa.ArrowException, OverflowError) as error:
        raise InputError(f"{path}: {error}") from error
    return write_atomic(path, sink.getvalue().to_pybytes())


def read_rows(path: str | Path) -> list[Row]:
    """The rows of a ``.csv`` or ``.parquet`` that `write_csv` or `write_parquet` has written.

    Raises:
        InputError: it cannot be read, columns are missing, or a line is wrong; the file and the line are named.
    """
    path = Path(path)
    try:
        table = list(_read_parquet(path) if path.suffix.lower() == ".parquet" else _read_csv(path))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    rows = []
    for number, line in enumerate(table, 2):
        try:
            rows.append(_row(line))
        except (TypeError, ValueError) as error:
            raise InputError(f"{path}: row {number}: {error}") from error
    return rows


def _values(row: Row) -> dict[str, Any]:
    """The row by column, its details as JSON."""
    values = {name: getattr(row, name) for name in COLUMNS}
    try:
        values["details"] = json.dumps(dict(row.details), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"{row.video_path}: {row.metric}: details that are no JSON: {error}") from error
    odd = [name for name, kind in COLUMNS.items() if kind == _NUMBER and not abs(values[name] or 0) < float("inf")]
    if odd:
        raise InputError(f"{row.video_path}: {row.metric}: {', '.join(f'{name} is {values[name]}' for name in odd)}")
    return values


def _cell(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == _FLAG:
        return "true" if value else "false"
    if kind == _NUMBER:
        return repr(value if isinstance(value, int) else float(value))
    return str(value)


def _read_csv(path: Path) -> Iterator[Mapping[str, Any]]:
    with _any_length(), path.open(encoding="utf-8", errors="surrogatepass", newline="") as file:
        lines = csv.reader(file, strict=True)
        header = next(lines, [])
        _check_columns(path, header)
        for line in lines:
            if len(line) != len(header):
                raise InputError(f"{path}: line {lines.line_num}: {len(line)} cells, not {len(header)}")
            yield dict(zip(header, line))


def _read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(f"{path}: reading it takes pyarrow: pip install 'rapo-lightning[parquet]'; or read the .csv") from error
    try:
        table = parquet.read_table(path)
    except pa.ArrowException as error:
        raise InputError(f"{path}: cannot be read: {error}") from error
    _check_columns(path, table.column_names)
    yield from table.to_pylist()


@contextmanager
def _any_length() -> Iterator[None]:
    """Details of long videos exceed the csv module's usual limit of a cell."""
    before = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_columns(path: Path, found: Sequence[str]) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise InputError(f"{path}: no table of scores: it has no column {', '.join(missing)}")


def _row(line: Mapping[str, Any]) -> Row:
    values = {name: _READ[kind](name, line[name]) for name, kind in COLUMNS.items()}
    if values["status"] not in _STATUS:
        raise ValueError(f"status is {values['status']!r}, not {', '.join(_STATUS)}")
    if values["status"] != "error":
        values |= {name: values[name] or None for name in _ONLY_OF_ERRORS}
    absent = [name for name in COLUMNS if values[name] is None and name not in (*_OPTIONAL, *_ONLY_OF_ERRORS)]
    if absent:
        raise ValueError(f"{', '.join(absent)}: empty")
    return Row(**values)


def _read_text(name: str, cell: Any) -> str | None:
    return None if cell is None else str(cell)


def _read_whole(name: str, cell: Any) -> int | None:
    return None if cell in (None, "") else int(cell)


def _read_number(name: str, cell: Any) -> float | None:
    if cell is None or cell == "":
        return None
    number = int(cell) if isinstance(cell, str) and cell.lstrip("-").isdigit() else float(cell)
    if not abs(number) < float("inf"):
        raise ValueError(f"{name} is {cell}")
    return number


def _read_flag(name: str, cell: Any) -> bool:
    if cell in ("true", "false"):
        return bool(cell == "true")
    if not isinstance(cell, bool):
        raise ValueError(f"{name} is {cell!r}, not true or false")
    return cell


def _read_json(name: str, cell: Any) -> Mapping[str, Any]:
    value = json.loads(cell)
    if not isinstance(value, dict):
        raise ValueError(f"{name} is no JSON object")
    return value


_READ: dict[str, Callable[[str, Any], Any]] = {
    _TEXT: _read_text, _WHOLE: _read_whole, _NUMBER: _read_number, _FLAG: _read_flag, _JSON: _read_json,
}  # fmt: skip
