"""Rewards and selections: how scores become one number, and which of a prompt's candidates is the best. Pure functions.

A `Reward` looks at one video (its judges' scores); a `Selection` looks at a whole trajectory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import final

from rapo_lightning.types import Candidate, Feedback

__all__ = ["AverageRanking", "HighestReward", "WeightedMean"]


@final
class WeightedMean:
    """Reward: the weighted mean of the judges' scores.

    Args:
        weights: judge's name to weight (>= 0). None: every judge that spoke counts alike. A judge without a weight, or with
            weight 0, is recorded but does not count.

    A counted judge that is missing or has no score makes the reward None: a mean over fewer judges cannot be compared with
    one over all of them.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        _check_weights(weights)
        self.weights = weights

    def combine(self, feedback: Mapping[str, Feedback]) -> float | None:
        """The reward in [0, 1], or None."""
        weights = dict.fromkeys(feedback, 1.0) if self.weights is None else _positive(self.weights)
        scores = [feedback[judge].score if judge in feedback else None for judge in weights]
        known = [score for score in scores if score is not None]
        if not scores or len(known) < len(scores):
            return None
        mean = math.fsum(map(math.prod, zip(weights.values(), known))) / math.fsum(weights.values())
        return min(max(mean, 0.0), 1.0)


@final
class HighestReward:
    """Selection: the highest reward, ties to the earlier. Its best never gets worse as candidates are added."""

    def select(self, candidates: Sequence[Candidate]) -> int | None:
        """The index of the best candidate; None when no reward is known."""
        rewards = {i: c.reward for i, c in enumerate(candidates) if c.reward is not None and math.isfinite(c.reward)}
        return max(rewards, key=lambda i: (rewards[i], -i), default=None)


@final
class AverageRanking:
    """Selection: the lowest mean rank over the metrics, so that no metric's scale counts more than another's.

    Source: RAPO++ section 4.1. On metric m (a judge's mean score over a candidate's videos) candidate c has rank
    ``r_m(c) = 1 + (number of candidates better on m) + (number of others equal on m) / 2``; the best candidate has the lowest
    (weighted) mean of ``r_m`` over m, ties to the earlier. A candidate without any score is out; one that lacks a metric ranks
    last on it. The winner must also rank above the user's own prompt when the two are ranked alone; else the user's prompt is
    the best (ranks depend on who else takes part, so that a third candidate could lift a rewrite over it).

    Args:
        weights: judge's name to weight (>= 0) of its metric. None: all count alike. A judge without a weight does not count.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        _check_weights(weights)
        self.weights = weights

    def select(self, candidates: Sequence[Candidate]) -> int | None:
        """The index of the best candidate; None when none has a score that counts."""
        scores = {i: self._counted(candidate.mean_scores()) for i, candidate in enumerate(candidates)}
        scores = {i: metrics for i, metrics in scores.items() if metrics}
        if not scores:
            return None
        ranks = self._mean_ranks(scores)
        winner = min(ranks, key=lambda i: (ranks[i], i))
        user = next((i for i in scores if candidates[i].origin == "user"), winner)
        if user != winner:
            alone = self._mean_ranks({user: scores[user], winner: scores[winner]})
            return winner if alone[winner] < alone[user] else user
        return winner

    def _counted(self, metrics: Mapping[str, float]) -> dict[str, float]:
        return {m: score for m, score in metrics.items() if self.weights is None or self.weights.get(m, 0.0) > 0}

    def _mean_ranks(self, scores: Mapping[int, Mapping[str, float]]) -> dict[int, float]:
        """Each candidate's (weighted) mean rank among ``scores``, candidate's index -> metric -> score."""
        names = sorted({name for metrics in scores.values() for name in metrics})
        weights = {name: 1.0 if self.weights is None else self.weights[name] for name in names}
        terms: dict[int, list[float]] = {i: [] for i in scores}
        for name in names:
            column = {i: metrics.get(name, -math.inf) for i, metrics in scores.items()}
            for i, own in column.items():
                better = sum(other > own for other in column.values())
                equal = sum(other == own for other in column.values()) - 1
                terms[i].append(weights[name] * (1 + better + equal / 2))
        return {i: math.fsum(ranks) / math.fsum(weights.values()) for i, ranks in terms.items()}


def _positive(weights: Mapping[str, float]) -> dict[str, float]:
    return {name: weight for name, weight in weights.items() if weight > 0}


def _check_weights(weights: Mapping[str, float] | None) -> None:
    if weights is None:
        return
    wrong = [name for name, weight in weights.items() if not (math.isfinite(weight) and weight >= 0)]
    if wrong:
        raise ValueError(f"weights must be finite and not negative: {', '.join(wrong)}")
    if not _positive(weights):
        raise ValueError("no weight is above 0")
