"""What a run of the loop is made of: its parts and its options."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from rapo_lightning.protocols import Augmenter, Generator, Judge, Reward, Rewriter, Selection

__all__ = ["LoopOptions", "Parts", "StopReason"]

#: Why a trajectory got no further round: all rounds done, no new best, the reward reached, videos or time used up, or asked to.
StopReason = Literal["rounds", "patience", "good_enough", "budget", "interrupted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The parts that take turns in a round.

    ``judges`` go by the names they have here, which are the names that the reward and the selection weigh. ``augmenter`` is
    Stage 1, or a T2V model's own refiner; None: round 0 is the user's own prompt alone.
    """

    generator: Generator
    judges: Mapping[str, Judge]
    reward: Reward
    selection: Selection
    rewriter: Rewriter
    augmenter: Augmenter | None = None

    def __post_init__(self) -> None:
        if not self.judges:
            raise ValueError("the loop needs at least one judge")
        if "generator" in self.judges:
            raise ValueError("no judge can be named 'generator': failures of the generator are recorded under it")


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopOptions:
    """How long the loop goes on, and from what.

    Args:
        rounds: rounds after round 0 (the paper's physics runs: 4).
        patience: stop after this many rounds without a new best; None: never.
        good_enough: stop once the best reward is at least this; None: never.
        seeds: videos a candidate. All candidates of a prompt share their seeds, so that their rewards can be compared.
        start: what the next text is written from. ``best``: the best so far (accept or revert). ``last``: the newest, as in
            the paper; the rewriter is then told of no best.
        fresh_seeds: each round takes seeds of its own, and a rewriter may repeat a text: with `RepeatPrompt` this is
            best-of-N at an equal number of videos, the control that every gain must beat.
        run_seed: seed of the whole run.
    """

    rounds: int = 4
    patience: int | None = 2
    good_enough: float | None = None
    seeds: int = 1
    start: Literal["best", "last"] = "best"
    fresh_seeds: bool = False
    run_seed: int = 0

    def __post_init__(self) -> None:
        if self.rounds < 0:
            raise ValueError(f"rounds: {self.rounds} is below 0")
        if self.seeds < 1:
            raise ValueError(f"seeds: {self.seeds} is below 1")
        if self.patience is not None and self.patience < 1:
            raise ValueError(f"patience: {self.patience} is below 1 (null turns it off)")
        if self.start not in {"best", "last"}:
            raise ValueError(f"start: {self.start!r} is neither 'best' nor 'last'")
