"""A generator that takes its time, so that a test can interrupt it."""

from __future__ import annotations

import time
from collections.abc import Sequence

from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.types import Failure, Video

__all__ = ["SlowGenerator"]


class SlowGenerator:
    """`FakeGenerator`, ``seconds`` a video."""

    def __init__(self, journal: str, seconds: float) -> None:
        self.seconds = seconds
        self._fake = FakeGenerator(journal=journal)

    def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        """One video after the other."""
        videos: list[Video | Failure] = []
        for job in zip(texts, seeds, paths, strict=True):
            time.sleep(self.seconds)
            videos += self._fake.generate(*([value] for value in job))
        return videos
