"""JSON of the published graph: small objects, read strictly, and matrices of up to gigabytes, read and written row by row.

A matrix is a list of lists of numbers. It is read in blocks of a megabyte straight into float32, so that no more than a block, a
row and the matrix itself lie in memory.
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rapo_lightning.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_matrix", "read_object", "write_matrix", "write_object"]

_BLOCK = 1 << 20
#: Bytes of a row's text that are waited for: 5,000 times a published row.
_LONGEST_ROW = 1 << 26
_BLANKS = re.compile(rb"[ \t\r\n]+")


def read_object(path: Path) -> dict[str, Any]:
    """A JSON object in the order of the file. A key that stands twice, a lone surrogate or broken JSON raises `InputError`."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            raise ValueError(f"{next(key for key in found if keys.count(key) > 1)!r} stands twice")
        return found

    try:
        value = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
        if isinstance(value, dict):
            "".join(value).encode()
            return value
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON, or cut off: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 (byte {error.start})") from error
    except UnicodeEncodeError as error:
        raise InputError(f"{path}: a text holds half a character: {error.object[error.start]!r}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    raise InputError(f"{path}: holds no JSON object")


def write_object(path: Path, value: dict[str, Any]) -> None:
    """As ``json.dump(value, file, indent=4)`` writes it."""
    with path.open("w", encoding="ascii", newline="\n") as file:
        json.dump(value, file, indent=4)


def read_matrix(path: Path, rows: int) -> NDArray[np.float32]:
    """The matrix of a JSON file, (rows, D) float32; without a row, (0, 0).

    Raises:
        InputError: not ``rows`` rows, rows of different lengths, what is no finite number, a file cut off; by row, from 0.
    """
    matrix = np.empty((0, 0), np.float32)
    row = -1
    try:
        for row, text in enumerate(_rows(path)):
            numbers = _numbers(text, f"{path}: row {row}")
            if row == rows:
                raise InputError(f"{path}: more than the {rows} rows there are texts for")
            if row == 0:
                held = path.stat().st_size // (2 * len(numbers))  # a number takes two bytes or more
                matrix = np.empty((min(rows, held), len(numbers)), np.float32)
            if len(numbers) != matrix.shape[1]:
                raise InputError(f"{path}: row {row}: {len(numbers)} numbers, but {matrix.shape[1]} in row 0")
            matrix[row] = numbers
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    if row + 1 < rows:
        raise InputError(f"{path}: {row + 1} rows for {rows} texts")
    return matrix


def write_matrix(path: Path, matrix: NDArray[np.float32]) -> None:
    """As ``json.dump(matrix.tolist(), file, indent=4)`` writes it, a row at a time; ``matrix`` is (N, D), D > 0."""
    with path.open("w", encoding="ascii", newline="\n") as file:
        file.write("[")
        for row, numbers in enumerate(matrix):
            text = ",\n        ".join(map(repr, numbers.tolist()))
            file.write(f"{',' if row else ''}\n    [\n        {text}\n    ]")
        file.write("\n]" if len(matrix) else "]")


def _rows(path: Path) -> Iterator[bytes]:
    """What stands between the brackets of each row."""
    rest, row, closed = b"", 0, False
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            *pieces, rest = (rest + block).split(b"]")
            if len(rest) > _LONGEST_ROW:
                raise InputError(f"{path}: row {row} does not end within {_LONGEST_ROW:,} bytes")
            for piece in pieces:
                before, bracket, numbers = piece.rpartition(b"[")
                before = _BLANKS.sub(b"", before)
                if not closed and bracket and before == (b"," if row else b"["):
                    yield numbers
                    row += 1
                elif not closed and _BLANKS.sub(b"", piece) == (b"" if row else b"["):
                    closed = True
                else:
                    raise InputError(f"{path}: row {row}: not a list of lists of numbers")
    if not closed:
        raise InputError(f"{path}: ends within row {row} or before the list is closed: cut off?")
    if _BLANKS.sub(b"", rest):
        raise InputError(f"{path}: goes on after the end of its list")


def _numbers(text: bytes, where: str) -> NDArray[np.float32]:
    text = text.strip(b" \t\r\n")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DeprecationWarning)
            numbers = np.fromstring(text if text[-1:].isdigit() else b"nan", dtype=np.float32, sep=",")
        if np.isfinite(numbers).all():
            return numbers
    except (ValueError, DeprecationWarning):
        pass
    raise InputError(f"{where}: not a list of finite numbers")
