"""What lies at a path: nothing, for one that no file can have, where pathlib raises (too long a name, a NUL)."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_file", "is_folder", "is_there"]


def is_there(path: str | Path) -> bool:
    """Whether anything is; a link to nothing is nothing."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: str | Path) -> bool:
    """Whether it is a regular file: no pipe or device, which could be read without end."""
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: str | Path) -> bool:
    """Whether it is a folder."""
    return os.path.isdir(path)  # noqa: PTH112
