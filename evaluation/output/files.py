"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from evaluation.errors import InputError

__all__ = ["parse_json", "read_json", "write_atomic", "write_json"]

#: No fault of who names the file.
_FAILS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def write_atomic(path: str | Path, content: str | bytes) -> Path:
    """Replace a file at once: a reader, and a run that is killed, see the old file or the new one. Its folder is made.

    Text is UTF-8; what is no valid Unicode in it (a lone surrogate, as a file name may hold) is kept by "surrogatepass".

    Raises:
        InputError: it cannot be written there; what was there before still is.
        OSError: the disk is full or fails; likewise.
    """
    path = Path(path)
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".part")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # noqa: PTH101
        os.replace(temporary, path)  # noqa: PTH105
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if error.errno in _FAILS:
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from error
    return path


def write_json(path: str | Path, value: Any, indent: int = 2) -> Path:
    """Write JSON in ASCII, which holds any text.

    Raises:
        InputError: it cannot be written, or holds NaN or infinity.
    """
    try:
        text = json.dumps(value, indent=indent, allow_nan=False)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    return write_atomic(path, text + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        InputError: the file cannot be read, or is no JSON; NaN and infinity are none.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return parse_json(content, str(path))


def parse_json(content: str | bytes, source: str) -> Any:
    """The value of a JSON text from ``source``.

    Raises:
        InputError: it is no JSON; NaN and infinity are none.
    """
    try:
        return json.loads(content, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{source}: no JSON: {error}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _umask() -> int:
    """The process's mask; it can be read only by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
