"""What a run ran on, for its record: versions of Python and of the libraries that results depend on, and the suite's commit."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["environment"]

_DISTRIBUTIONS = ("rapo-lightning", "torch", "lightning", "diffusers", "transformers", "peft")


def environment() -> dict[str, Any]:
    """Plain JSON values; imports none of the libraries."""
    versions = {}
    for name in _DISTRIBUTIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"python": platform.python_version(), "system": platform.system(), "versions": versions, "git": _commit()}


def _commit() -> str | None:
    """The commit of the working copy that this package runs from, ``-dirty`` with local changes; None: installed elsewhere."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        answer = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
