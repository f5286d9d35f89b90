"""A rewriter without a model, for tests and for trying out other parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from rapo_lightning.types import Failure, Reply, Trajectory

__all__ = ["FakeRewriter"]


@final
class FakeRewriter:
    """Writes ``<the user's prompt>, version <n>`` as the n-th rewrite of a trajectory, or the n-th of given texts.

    Args:
        texts: what to answer instead; ``{prompt}`` in them stands for the user's prompt. When they run out the rewriter
            fails, which is an answer too.
    """

    def __init__(self, texts: Sequence[str] | None = None) -> None:
        self.texts = texts

    def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        """The next text of each trajectory; its tokens are its words."""
        return [self._next(trajectory) for trajectory in trajectories]

    def _next(self, trajectory: Trajectory) -> Reply | Failure:
        written = sum(candidate.origin == "rewrite" for candidate in trajectory.candidates)
        if self.texts is None:
            text = f"{trajectory.prompt.text}, version {written + 1}"
        elif written < len(self.texts):
            text = self.texts[written].replace("{prompt}", trajectory.prompt.text)
        else:
            return Failure(error=f"the fake rewriter has only {len(self.texts)} texts")
        return Reply(text=text, tokens=len(text.split()))
