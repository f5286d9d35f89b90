"""Where the repository's own files are (configs, ckpt), for a working copy and for a folder one stands in."""

from __future__ import annotations

from pathlib import Path

from rapo_lightning.errors import InputError

__all__ = ["project_file"]


def project_file(name: str) -> Path:
    """A file of the repository, looked for in the current folder and beside the package.

    Raises:
        InputError: it is in neither.
    """
    folders = [Path.cwd(), Path(__file__).parents[1]]
    for folder in folders:
        if (folder / name).exists():
            return folder / name
    raise InputError(f"{name}: not found in {' or '.join(map(str, folders))}; run from a copy of the repository")
