"""A judge without a model, for tests and for trying out other parts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

from rapo_lightning.types import Feedback, Prompt, Video

__all__ = ["FakeJudge"]


@final
class FakeJudge:
    """Scores by a hash of the video file, the user's prompt and its own name: arbitrary, but always the same.

    Args:
        name: the judge's name.
        score: scores instead of the hash; None from it means that the video could not be judged.
    """

    def __init__(self, name: str = "fake", score: Callable[[Video, Prompt], float | None] | None = None) -> None:
        self.name = name
        self.score = score

    def judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[Feedback]:
        """One feedback a video; a file that cannot be read is an error."""
        return [self._one(video, prompt) for video, prompt in zip(videos, prompts, strict=True)]

    def _one(self, video: Video, prompt: Prompt) -> Feedback:
        try:
            score = (self.score or self._hash)(video, prompt)
        except OSError as error:
            return Feedback(judge=self.name, error=f"{video.path}: {error.strerror}", seed=video.seed)
        if score is None:
            return Feedback(judge=self.name, error="the fake judge gave no score", seed=video.seed)
        return Feedback(judge=self.name, score=score, critique=f"{self.name} saw {score:.2f}", seed=video.seed)

    def _hash(self, video: Video, prompt: Prompt) -> float:
        seen = hashlib.sha256(f"{self.name} {prompt.text} ".encode() + Path(video.path).read_bytes())
        return int.from_bytes(seen.digest()[:4], "big") / 2**32
