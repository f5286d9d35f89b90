"""Parts for tests of the commands; class paths under ``tests`` need ``--allow tests``."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from rapo_lightning.errors import PartError
from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.types import Failure, Feedback, Message, ModelReference, Prompt, Reply, Trajectory, Video

__all__ = ["AdaptedRewriter", "BrokenJudge", "FlakyGenerator", "ShortGenerator", "SlowExtractor", "SlowGenerator"]


class SlowGenerator:
    """`FakeGenerator`, ``seconds`` a video, so that a test can interrupt it."""

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


class SlowExtractor:
    """A language model that finds a field and a fox in every caption, ``seconds`` each, and notes each in a file."""

    def __init__(self, journal: str, seconds: float) -> None:
        self.journal = journal
        self.seconds = seconds

    def chat(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Reply | Failure]:
        """One answer after the other."""
        found = {"scenes": ["a field"], "subjects": ["a fox"], "actions": [], "atmosphere": []}
        for conversation in conversations:
            time.sleep(self.seconds)
            with Path(self.journal).open("a") as file:
                file.write(f"{conversation[-1]['content'].splitlines()[0]}\n")
        return [Reply(text=json.dumps(found)) for _ in conversations]


class FlakyGenerator:
    """`FakeGenerator` that fails on texts with ``word`` for as long as the file ``while_there`` exists."""

    def __init__(self, journal: str, word: str, while_there: str) -> None:
        self.word = word
        self.while_there = while_there
        self.journal = journal

    def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        """Videos and failures."""
        word = self.word if Path(self.while_there).exists() else None
        return FakeGenerator(fail_on=word, journal=self.journal).generate(texts, seeds, paths)


class ShortGenerator:
    """`FakeGenerator` whose text encoder reads eight words."""

    def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        """Videos."""
        return FakeGenerator().generate(texts, seeds, paths)

    def tokens_over_limit(self, texts: Sequence[str]) -> list[int]:
        """Words beyond the eighth."""
        return [max(0, len(text.split()) - 8) for text in texts]


class AdaptedRewriter:
    """`FakeRewriter` that names a model and an adapter and loads neither."""

    def __init__(self, model: ModelReference, adapter: ModelReference) -> None:
        self.model = model
        self.adapter = adapter

    def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        """Rewrites."""
        return FakeRewriter().rewrite(trajectories)


class BrokenJudge:
    """A judge that raises: ``contract``, ``interrupt`` or anything else by name."""

    def __init__(self, how: str) -> None:
        self.how = how

    def judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[Feedback]:
        """Raises."""
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "contract":
            raise PartError("the judge lost its mind")
        raise ZeroDivisionError(self.how)
