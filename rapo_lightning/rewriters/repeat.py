"""The rewriter of the best-of-N control: the user's own text again, to be rendered from fresh noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from rapo_lightning.types import Failure, Reply, Trajectory

__all__ = ["RepeatPrompt"]


@final
class RepeatPrompt:
    """Writes nothing: each round renders the user's prompt again. Use with ``LoopOptions(fresh_seeds=True)``.

    At an equal number of videos this is the control that a gain by rewriting must beat: choosing the best of N renderings
    of one prompt also raises the best score.
    """

    def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        """The user's own text of each trajectory."""
        return [Reply(text=trajectory.prompt.text) for trajectory in trajectories]
