"""Where a trajectory stands, read off its candidates alone, so that a resumed run knows what an uninterrupted one knows.

Kinds of candidates: *tried* ones reached the generator (they have videos, or feedback that says why not); the others were
refused by the guard, or the part that should write them failed. A later round is spent after one tried candidate or after
`TRIES` others.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import replace

from rapo_lightning.errors import RunFolderError
from rapo_lightning.protocols import Selection
from rapo_lightning.sspo.options import LoopOptions, StopReason
from rapo_lightning.types import Candidate, Cost, Prompt, Trajectory

__all__ = ["TRIES", "extend", "failed", "needs", "next_round", "stop_reason", "take_up", "tried"]

#: How often a rewriter is asked in one round before the round is spent without a video.
TRIES = 2


def tried(candidate: Candidate) -> bool:
    """Whether the candidate reached the generator."""
    return bool(candidate.videos or candidate.feedback)


def failed(candidate: Candidate) -> bool:
    """Whether anything of the candidate failed: its text, a video, or a judge's answer."""
    return candidate.error is not None or any(feedback.error is not None for feedback in candidate.feedback)


def needs(trajectory: Trajectory, *, augmented: bool) -> tuple[bool, bool]:
    """Whether round 0 still lacks the user's own prompt, and whether it lacks the augmenter's."""
    origins = {candidate.origin for candidate in trajectory.candidates if candidate.round == 0}
    return "user" not in origins, augmented and not origins - {"user"}


def next_round(trajectory: Trajectory, *, augmented: bool) -> int:
    """The first round that is not spent."""
    if any(needs(trajectory, augmented=augmented)):
        return 0
    number = 1
    while True:
        own = [candidate for candidate in trajectory.candidates if candidate.round == number]
        if not any(map(tried, own)) and len(own) < TRIES:
            return number
        number += 1


def stop_reason(trajectory: Trajectory, options: LoopOptions, *, augmented: bool) -> StopReason | None:
    """Why the trajectory gets no further round by its own merits (budgets aside); None: it goes on."""
    number = next_round(trajectory, augmented=augmented)
    if number == 0:
        return None
    best = trajectory.best
    if options.good_enough is not None and best and best.reward is not None and best.reward >= options.good_enough:
        return "good_enough"
    if number > options.rounds:
        return "rounds"
    age = number - 1 - (best.round if best else 0)
    return "patience" if age >= (math.inf if options.patience is None else options.patience) else None


def extend(trajectory: Trajectory, candidates: Sequence[Candidate], selection: Selection) -> Trajectory:
    """The trajectory with ``candidates`` at their places (by round, the user's own first) and its best chosen anew."""
    ordered = list(trajectory.candidates)
    for candidate in candidates:
        insort(ordered, candidate, key=lambda c: (c.round, c.origin != "user"))
    chosen = selection.select(ordered)
    return replace(trajectory, candidates=tuple(ordered), best=None if chosen is None else ordered[chosen])


def take_up(prompt: Prompt, recorded: Sequence[Candidate], *, retry_errors: bool) -> tuple[list[Candidate], list[Candidate]]:
    """What is kept of a prompt's recorded candidates, and, with ``retry_errors``, which are to be rendered and judged again.

    Failures whose text was fine are done again with the same text (videos that are on disk stay); the others are forgotten,
    which opens their round again.

    Raises:
        RunFolderError: the prompt's text is not the one that was recorded.
    """
    for candidate in recorded:
        if candidate.origin == "user" and candidate.text != prompt.text:
            raise RunFolderError(f"prompt {prompt.id!r} has another text than in the run's record; give it another id or folder")
    if not retry_errors:
        return list(recorded), []
    kept = [candidate for candidate in recorded if not failed(candidate)]
    again = [
        replace(candidate, videos=(), feedback=(), reward=None, cost=Cost(tokens=candidate.cost.tokens), error=None)
        for candidate in recorded
        if failed(candidate) and tried(candidate)
    ]
    return kept, again
