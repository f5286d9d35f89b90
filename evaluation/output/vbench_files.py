"""The JSON objects of a file or of a zip, in the places where VBench's script looks for them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.errors import InputError
from evaluation.output.files import parse_json, read_json

__all__ = ["read_documents"]

#: A results file of all of VBench has some 3 MB; more is no results file.
LARGEST = 2**28


def read_documents(path: str | Path) -> list[tuple[str, Mapping[str, Any]]]:
    """Where each JSON object comes from, and the object; lists, such as ``*_full_info.json``, are passed over.

    A zip is read as `scripts/cal_final_score.py` does: JSON files at its top or one folder down, hidden ones passed over, in
    the order of their names, a later one over an earlier.

    Raises:
        InputError: it cannot be read, or is no JSON.
    """
    path = Path(path)
    try:
        is_zip = zipfile.is_zipfile(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    found = _zipped(path) if is_zip else [(str(path), read_json(path))]
    return [(name, document) for name, document in found if isinstance(document, dict)]


def _zipped(path: Path) -> list[tuple[str, Any]]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist() if _is_looked_at(info.filename)]
            if sum(archive.getinfo(name).file_size for name in names) > LARGEST:
                raise InputError(f"{path}: its JSON files are larger than {LARGEST // 2**20} MiB together")
            return [(f"{path}/{name}", parse_json(archive.read(name), f"{path}/{name}")) for name in sorted(names)]
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: no zip that can be read: {error}") from error


def _is_looked_at(name: str) -> bool:
    parts = name.split("/")
    return name.endswith("json") and len(parts) <= 2 and not parts[0].startswith((".", "__"))
