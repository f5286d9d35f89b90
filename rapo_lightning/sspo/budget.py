"""Keeps a run's limits of videos and hours, and shares the videos fairly among the prompts still to come."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import final

__all__ = ["Budget"]


@final
class Budget:
    """The limits of one process of a run.

    Args:
        prompts: how many prompts this process has in all.
        max_videos: videos for these prompts, those recorded by earlier runs included; None: no limit.
        max_hours: hours from now; None: no limit.
        recorded: number of recorded videos by prompt id.
        clock: seconds.

    Each batch may use its prompts' equal share of what the batches before it left over. Videos are counted per prompt, so
    that a resumed run has what an uninterrupted one would have had.
    """

    def __init__(
        self,
        prompts: int,
        max_videos: int | None = None,
        max_hours: float | None = None,
        *,
        recorded: Mapping[str, int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._waiting = prompts
        self._left = max_videos
        self._videos = dict(recorded or {})
        self._clock = clock
        self._deadline = None if max_hours is None else clock() + 3600 * max_hours
        self._batch: Collection[str] = ()
        self._share = 0

    def begin(self, prompt_ids: Collection[str]) -> None:
        """A batch of prompts starts; the one before it is over."""
        if self._left is not None:
            self._left -= self._spent()
            self._share = max(0, self._left) * len(prompt_ids) // max(self._waiting, len(prompt_ids), 1)
        self._waiting -= len(prompt_ids)
        self._batch = prompt_ids

    def spend(self, prompt_id: str, videos: int) -> None:
        """So many videos were recorded for a prompt."""
        self._videos[prompt_id] = self._videos.get(prompt_id, 0) + videos

    def allows(self, videos: int) -> bool:
        """Whether the batch may render so many videos now."""
        in_time = self._deadline is None or self._clock() < self._deadline
        return in_time and (self._left is None or self._spent() + videos <= self._share)

    def _spent(self) -> int:
        return sum(self._videos.get(key, 0) for key in self._batch)
