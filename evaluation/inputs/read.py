"""Any input by its look: a manifest, a run folder, a list of prompts with videos, a benchmark's folder, videos of one's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from evaluation.errors import InputError
from evaluation.inputs.custom import read_custom
from evaluation.inputs.full_info import read_full_info
from evaluation.inputs.manifest import Found, read_manifest
from evaluation.paths import is_there

__all__ = ["read_input"]

MANIFEST = "manifest.jsonl"


def read_input(
    path: str | Path,
    *,
    suite: str | None = None,
    suite_path: str | Path | None = None,
    dimensions: Iterable[str] = (),
    every: bool = False,
    prompt: str | None = None,
    prompt_file: str | Path | None = None,
) -> Found:
    """The records of an input.

    Args:
        path: a ``.jsonl`` file, or a folder that holds ``manifest.jsonl``: a manifest; ``.json``: a list of prompts with their
            videos; with ``suite`` a folder of videos that are named as that benchmark wants it; else videos of one's own.
        suite: a benchmark's name; suite_path: its prompts, where they are not bundled.
        dimensions: metrics that are asked of the suite; every: and others, of every video.
        prompt, prompt_file: of videos of one's own (`read_custom`).

    Raises:
        InputError: there is nothing, or nothing to evaluate in it.
    """
    path = Path(path)
    if not is_there(path):
        raise InputError(f"{path}: no such file or folder")
    own_prompts = prompt is not None or prompt_file is not None
    if suite is not None:
        from evaluation.inputs.suite import read_suite
        from evaluation.suites.prompts import PromptSuite

        if own_prompts:
            raise InputError(f"{path}: {suite} has its own prompts")
        return read_suite(path, PromptSuite(suite, suite_path), dimensions=dimensions, every=every)
    if path.suffix not in (".jsonl", ".json") and not (path / MANIFEST).is_file():
        return read_custom(path, prompt=prompt, prompt_file=prompt_file)
    if own_prompts:
        raise InputError(f"{path}: has its own prompts")
    if path.suffix == ".json":
        return read_full_info(path)
    found = read_manifest(path / MANIFEST if path.is_dir() else path)
    if not found.records:
        raise InputError(f"{path}: the manifest holds no video")
    return found
