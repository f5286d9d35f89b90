"""Rewards and selections: the paper's ranking by hand, ties, missing scores, and that the best never gets worse."""

from __future__ import annotations

import math
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.sspo.selection import AverageRanking, HighestReward, WeightedMean
from rapo_lightning.types import Candidate, Feedback
from tests.contracts import a_candidate


def scored(round: int, **scores: float) -> Candidate:
    feedback = tuple(Feedback(judge=name, score=score) for name, score in scores.items())
    return replace(a_candidate(f"text {round}", round=round), feedback=feedback)


def feedback_of(**scores: float | None) -> dict[str, Feedback]:
    return {name: Feedback(judge=name, score=s, error="down" if s is None else None) for name, s in scores.items()}


def test_weighted_mean() -> None:
    assert WeightedMean().combine(feedback_of(a=0.2, b=0.6)) == pytest.approx(0.4)
    assert WeightedMean({"a": 3, "b": 1}).combine(feedback_of(a=0.2, b=0.6)) == pytest.approx(0.3)
    assert WeightedMean({"a": 1, "b": 0}).combine(feedback_of(a=0.2, b=None, c=None)) == pytest.approx(0.2)


@pytest.mark.parametrize("weights", [None, {"a": 1.0, "b": 1.0}])
def test_a_missing_score_makes_the_reward_none(weights: dict[str, float] | None) -> None:
    assert WeightedMean(weights).combine(feedback_of(a=0.2, b=None)) is None
    assert WeightedMean(weights).combine({}) is None
    assert WeightedMean({"a": 1.0, "absent": 1.0}).combine(feedback_of(a=0.2)) is None


@pytest.mark.parametrize("weights", [{"a": -1.0}, {"a": math.nan}, {"a": 0.0}, {}])
@pytest.mark.parametrize("part", [WeightedMean, AverageRanking])
def test_weights_that_make_no_sense_are_refused(part: type, weights: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weight"):
        part(weights)


def test_average_ranking_by_hand() -> None:
    # Ranks on a: 3, 1, 2; on b: 2, 2, 2 (three alike: 1 + 2 / 2); on c: 2, 3, 1. Means: 7/3, 2, 5/3.
    candidates = [scored(0, a=0.1, b=0.5, c=0.4), scored(1, a=0.9, b=0.5, c=0.3), scored(2, a=0.5, b=0.5, c=0.8)]
    assert AverageRanking().select(candidates) == 2
    # With weight 4 on a the means are (12 + 2 + 2) / 6, (4 + 2 + 3) / 6 and (8 + 2 + 1) / 6.
    assert AverageRanking({"a": 4, "b": 1, "c": 1}).select(candidates) == 1
    assert AverageRanking({"b": 1}).select(candidates) == 0


def test_a_missing_metric_ranks_last_on_it() -> None:
    # Ranks on a: 1, 2, 3; on b: 3, 1, 2.
    assert AverageRanking().select([scored(1, a=0.5), scored(2, a=0.4, b=0.2), scored(3, a=0.3, b=0.1)]) == 1


def test_the_winner_must_beat_the_users_prompt_alone() -> None:
    user, middle, third = scored(0, a=0.9, b=0.1, c=0.1), scored(1, a=0.5, b=0.2, c=0.0), scored(2, a=0.6, b=0.0, c=0.0)
    # Alone: the user is better on a and c, the middle one on b. Among three the middle one ties; the user is earlier.
    assert AverageRanking().select([user, middle, third]) == 0
    # Three more that are better than the user on b only lift the middle one above the user in the mean.
    crowd = [scored(n, a=0.45, b=0.15, c=0.0) for n in range(3, 8)]
    assert AverageRanking().select([middle, *crowd, replace(user, origin="rewrite")]) == 0
    assert AverageRanking().select([user, middle, *crowd]) == 0
    assert AverageRanking().select([middle, *crowd, user]) == 6


def test_an_unscored_user_prompt_is_out() -> None:
    assert AverageRanking().select([a_candidate("x"), scored(1, a=0.1)]) == 1


TRACE = [a_candidate(f"text {i}", round=i) for i in range(6)]


def check_keep_best(trace: list[float | None]) -> None:
    """After each candidate the best is the earliest of the highest rewards so far, and changes only for a higher one."""
    candidates = [replace(candidate, reward=reward) for candidate, reward in zip(TRACE, trace)]
    best: int | None = None
    for end in range(1, len(candidates) + 1):
        chosen = HighestReward().select(candidates[:end])
        known = [r for r in trace[:end] if r is not None and not math.isnan(r)]
        if not known:
            assert chosen is None
            continue
        assert chosen is not None
        assert trace[chosen] == max(known)
        assert trace.index(trace[chosen]) == chosen
        assert best is None or chosen == best or trace[chosen] > trace[best]
        best = chosen


def test_keep_best_is_monotone_over_10_000_traces() -> None:
    random = Random(0)
    for _ in range(10_000):
        check_keep_best(random.choices([None, math.nan, 0.0, 0.25, 0.5, 1.0, random.random()], k=random.randint(1, len(TRACE))))


rewards = st.one_of(st.none(), st.just(math.nan), st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))


@settings(max_examples=300, deadline=None)
@given(st.lists(rewards, min_size=1, max_size=len(TRACE)))
def test_keep_best_is_monotone(trace: list[float | None]) -> None:
    check_keep_best(trace)


table = st.lists(st.dictionaries(st.sampled_from("abc"), st.sampled_from([0.0, 0.3, 0.3, 0.7, 1.0])), min_size=1, max_size=6)


@settings(max_examples=500, deadline=None)
@given(table)
def test_average_ranking_is_never_worse_than_the_users_prompt(rows: list[dict[str, float]]) -> None:
    candidates = [scored(i, **row) for i, row in enumerate(rows)]
    chosen = AverageRanking().select(candidates)
    if not any(rows):
        assert chosen is None
        return
    assert chosen is not None
    assert rows[chosen]
    user, best = rows[0], rows[chosen]
    if user and chosen:
        names = set(user) | set(best)
        wins = sum(best.get(n, -1.0) > user.get(n, -1.0) for n in names)
        losses = sum(best.get(n, -1.0) < user.get(n, -1.0) for n in names)
        assert wins > losses
