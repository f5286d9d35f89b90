"""What finished runs teach (RAPO++ section 4.2): a prompt and its best wording as a pair, the losers as preferences.

A wording teaches only when its gain over the user's own words is larger than what noise alone makes: `Gain` compares videos of
the same seeds, two by two.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import mean, stdev

from rapo_lightning.keeping import lost_fixtures
from rapo_lightning.retrieval.phrases import key
from rapo_lightning.types import Candidate, PromptPair, Trajectory

__all__ = ["Gain", "Pairs", "gain", "pairs_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """By how much one candidate is better than another: mean difference of rewards, and its standard error (None: one seed)."""

    mean: float
    error: float | None

    def beats(self, margin: float, errors: float) -> bool:
        """Whether it is more than ``margin`` and, where it can be told, more than ``errors`` standard errors."""
        return self.mean > margin and (self.error is None or self.mean > errors * self.error)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """``pairs`` to imitate, ``preferences`` between two texts, and with counts why prompts gave ``none``, and losers of those
    that did, ``losers``."""

    pairs: Sequence[PromptPair]
    preferences: Sequence[PromptPair]
    none: dict[str, int] = field(default_factory=dict)
    losers: dict[str, int] = field(default_factory=dict)


def gain(better: Candidate, worse: Candidate) -> Gain | None:
    """The gain of one candidate over another; None when one of them was not scored."""
    if better.reward is None or worse.reward is None:
        return None
    ours, theirs = _by_seed(better), _by_seed(worse)
    shared = sorted(ours.keys() & theirs.keys())
    differences = [ours[seed] - theirs[seed] for seed in shared]
    error = stdev(differences) / math.sqrt(len(differences)) if len(differences) > 1 else None
    return Gain(mean=better.reward - worse.reward, error=error)


def pairs_of(trajectories: Sequence[Trajectory], *, margin: float, errors: float = 2.0, losers: int = 4) -> Pairs:
    """Pairs and preferences of the runs' trajectories.

    Args:
        trajectories: of one or more runs; of a prompt that several have, the one with the largest gain teaches.
        margin: the least gain, in units of the reward.
        errors: the least gain in standard errors, where candidates have several seeds.
        losers: the most preferences of one prompt, the worst texts first.
    """
    none: Counter[str] = Counter()
    best: dict[str, tuple[PromptPair, list[PromptPair], Counter[str]]] = {}
    for trajectory in trajectories:
        lesson = _lesson(trajectory, margin, errors, losers)
        if isinstance(lesson, str):
            none[lesson] += 1
            continue
        name = key(trajectory.prompt.text)
        if name in best:
            none["the prompt teaches in another run"] += 1
            if (best[name][0].gain or 0.0) >= (lesson[0].gain or 0.0):
                continue
        best[name] = lesson
    return Pairs(
        pairs=[pair for pair, _, _ in best.values()],
        preferences=[one for _, preferences, _ in best.values() for one in preferences],
        none=dict(none),
        losers=dict(sum((passed for _, _, passed in best.values()), Counter())),
    )


def _lesson(
    trajectory: Trajectory, margin: float, errors: float, losers: int
) -> tuple[PromptPair, list[PromptPair], Counter[str]] | str:
    """A prompt's pair, its preferences and why other losers are none; or why it has no pair."""
    prompt, winner = trajectory.prompt, trajectory.best
    own = next((candidate for candidate in trajectory.candidates if candidate.origin == "user"), None)
    if winner is None or own is None or own.reward is None:
        return "not scored"
    if key(winner.text) == key(prompt.text):
        return "the user's own words were best"
    found = gain(winner, own)
    if found is None or not found.beats(margin, errors):
        return "gain within the margin" if found is None or found.mean <= margin else "gain within seed noise"
    if lost_fixtures(prompt.text, winner.text, locked=prompt.context.get("locked", ())):
        return "the best text lost what the user fixed"
    pair = PromptPair(prompt=prompt.text, completion=winner.text, gain=round(found.mean, 6))
    ranked = sorted(trajectory.candidates, key=lambda candidate: math.inf if candidate.reward is None else candidate.reward)
    preferences: dict[str, PromptPair] = {}
    passed: Counter[str] = Counter()
    for loser in ranked:
        lead = gain(winner, loser)
        if loser.id == winner.id:
            continue
        if lead is None:
            passed["not scored"] += 1
        elif not lead.beats(margin, errors):
            passed["gain within the margin" if lead.mean <= margin else "gain within seed noise"] += 1
        elif key(loser.text) in (key(winner.text), *preferences):
            passed["the text of another"] += 1
        elif len(preferences) == losers:
            passed[f"more than {losers} of a prompt"] += 1
        else:
            text = PromptPair(prompt=prompt.text, completion=winner.text, rejected=loser.text, gain=round(lead.mean, 6))
            preferences[key(loser.text)] = text
    return pair, list(preferences.values()), passed


def _by_seed(candidate: Candidate) -> dict[int, float]:
    """The mean of the judges' scores of each video, by its seed."""
    scores: dict[int, list[float]] = defaultdict(list)
    for feedback in candidate.feedback:
        if feedback.seed is not None and feedback.score is not None:
            scores[feedback.seed].append(feedback.score)
    return {seed: mean(values) for seed, values in scores.items()}
