"""Parts and a run of the loop, small enough that a test says only what it is about."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.judges.fake import FakeJudge
from rapo_lightning.protocols import Augmenter, Generator, Judge, Reward, Rewriter
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.sspo.log import video_path
from rapo_lightning.sspo.loop import optimize
from rapo_lightning.sspo.options import LoopOptions, Parts, StopReason
from rapo_lightning.sspo.selection import HighestReward, WeightedMean
from rapo_lightning.types import Candidate, Failure, Prompt, Reply, Trajectory, Video, candidate_id

BALL, CATS = Prompt.of("a red ball"), Prompt.of("two cats")


class Suffix:
    """An augmenter: the prompt and a few words more, or a failure for prompts that hold a word."""

    def __init__(self, words: str = ", on a hill", fail_on: str | None = None) -> None:
        self.words = words
        self.fail_on = fail_on

    def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
        return [self._one(prompt) for prompt in prompts]

    def _one(self, prompt: Prompt) -> Candidate | Failure:
        if self.fail_on is not None and self.fail_on in prompt.text:
            return Failure(error="no words")
        text = prompt.text + self.words
        return Candidate(id=candidate_id(0, text), prompt_id=prompt.id, round=0, text=text, origin="rapo")


class Watched:
    """A rewriter that keeps what it was shown, around another one."""

    def __init__(self, rewriter: Rewriter) -> None:
        self.rewriter = rewriter
        self.shown: list[list[Trajectory]] = []

    def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        self.shown.append(list(trajectories))
        return self.rewriter.rewrite(trajectories)


def by_candidate(*scores: float | None) -> Callable[[Video, Prompt], float | None]:
    """A judge's score function: the n-th candidate of a prompt gets the n-th score, the last one for all later ones."""
    order: dict[str, list[str]] = {}

    def score(video: Video, prompt: Prompt) -> float | None:
        seen = order.setdefault(prompt.id, [])
        candidate = Path(video.path).stem.rpartition("-")[0]
        if candidate not in seen:
            seen.append(candidate)
        return scores[min(seen.index(candidate), len(scores) - 1)]

    return score


@dataclass
class Run:
    """One call of the loop: what came back, what was recorded and why each prompt stopped."""

    trajectories: list[Trajectory]
    recorded: list[Candidate] = field(default_factory=list)
    stops: dict[str, StopReason] = field(default_factory=dict)


def run(
    folder: Path,
    *prompts: Prompt,
    generator: Generator | None = None,
    judges: Mapping[str, Judge] | None = None,
    rewriter: Rewriter | None = None,
    augmenter: Augmenter | None = None,
    reward: Reward | None = None,
    options: LoopOptions | None = None,
    **arguments: object,
) -> Run:
    """The loop on fakes; each given part takes its fake's place. A second counts for each look at the clock."""
    parts = Parts(
        generator=generator or FakeGenerator(journal=str(folder / "journal")),
        judges=judges or {"fake": FakeJudge()},
        reward=reward or WeightedMean(),
        selection=HighestReward(),
        rewriter=rewriter or FakeRewriter(),
        augmenter=augmenter,
    )
    done = Run([])
    ticks = itertools.count()
    done.trajectories = optimize(
        prompts or (BALL, CATS),
        parts,
        options or LoopOptions(rounds=2, patience=None),
        video_path=partial(video_path, folder),
        record=lambda candidate, trajectory: done.recorded.append(candidate),
        stopped=lambda trajectory, reason: done.stops.update({trajectory.prompt.id: reason}),
        clock=lambda: float(next(ticks)),
        **arguments,
    )
    return done


def journal(folder: Path) -> list[str]:
    """The paths that the fake generator wrote, in order."""
    file = folder / "journal"
    return file.read_text().split() if file.exists() else []
