"""The candidate log: ``candidates-<rank>.jsonl`` in the run folder, the truth that a run resumes from.

Each process appends to its own file and reads those of all. On disk the paths of videos are relative to the run folder, so
that it can be moved; in memory they are absolute.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import final

from rapo_lightning import records
from rapo_lightning.sspo.progress import failed
from rapo_lightning.types import Candidate

__all__ = ["CandidateLog", "read_all", "video_path"]


def video_path(folder: str | Path, prompt_id: str, candidate_id: str, seed: int) -> str:
    """Where a video belongs: ``<folder>/videos/<prompt id>/<candidate id>-<seed>.mp4``, absolute."""
    return str(Path(folder).absolute() / "videos" / prompt_id / f"{candidate_id}-{seed}.mp4")


@final
class CandidateLog:
    """The log of one process of a run."""

    def __init__(self, folder: str | Path, rank: int) -> None:
        self.folder = Path(folder).absolute()
        self.path = self.folder / f"candidates-{rank}.jsonl"

    def append(self, candidate: Candidate) -> None:
        """Write a candidate, synced to disk before this returns. Its videos must be there already.

        Raises:
            StorageError: the log cannot be written.
        """
        records.append(self.path, _with_paths(candidate, lambda path: Path(os.path.relpath(path, self.folder)).as_posix()))


def read_all(folder: str | Path) -> dict[str, list[Candidate]]:
    """Every process's candidates by prompt id, in the order of their rounds.

    A candidate that was recorded twice counts as it was first recorded without a failure, else as it was last recorded.

    Raises:
        RecordError: a log cannot be read.
    """
    folder = Path(folder).absolute()
    found: dict[str, dict[str, Candidate]] = {}
    for path in sorted(folder.glob("candidates-*.jsonl")):
        for candidate in records.read(path, Candidate):
            known = found.setdefault(candidate.prompt_id, {})
            if candidate.id not in known or failed(known[candidate.id]):
                known[candidate.id] = _with_paths(candidate, lambda relative: str(folder / relative))
    return {prompt_id: sorted(known.values(), key=lambda c: (c.round, c.origin != "user")) for prompt_id, known in found.items()}


def _with_paths(candidate: Candidate, change: Callable[[str], str]) -> Candidate:
    return replace(candidate, videos=tuple(replace(video, path=change(video.path)) for video in candidate.videos))
