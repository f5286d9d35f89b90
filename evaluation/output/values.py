"""The metrics' values of a result file, whoever wrote it: VBench's, or this package's summary."""

from __future__ import annotations

from pathlib import Path

from evaluation.errors import InputError
from evaluation.output.summary import read_summary
from evaluation.output.vbench import read_values

__all__ = ["values_of"]


def values_of(path: str | Path, variant: str | None = None) -> dict[str, float | None]:
    """Values by metric, of ``summary.json``, an evaluation's folder, or VBench's ``*_eval_results.json`` or zip.

    Args:
        path: file or folder.
        variant: of a summary with several; None: the one that it shows.

    Raises:
        InputError: it cannot be read, or has no such variant.
    """
    path = Path(path)
    path = path / "summary.json" if path.is_dir() else path
    if path.name != "summary.json":
        return dict(read_values(path))
    summary = read_summary(path)
    if variant is not None and variant not in summary["variants"]:
        raise InputError(f"{path}: no variant {variant}; there is {', '.join(summary['variants']) or 'none'}")
    held = summary if variant is None else summary["variants"][variant]
    return {name: score["value"] for name, score in held["metrics"].items()}
