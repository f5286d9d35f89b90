"""Videos and hours are kept to, shared among prompts, and a resumed run has what an uninterrupted one would have had."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapo_lightning.sspo.budget import Budget


def test_no_limits() -> None:
    budget = Budget(2)
    budget.begin(["a"])
    assert budget.allows(10**9)


def test_hours() -> None:
    now = 100.0
    budget = Budget(1, max_hours=0.5, clock=lambda: now)
    budget.begin(["a"])
    assert budget.allows(1)
    now += 1799
    assert budget.allows(1)
    now += 1
    assert not budget.allows(1)


def test_each_batch_has_its_prompts_share_of_what_is_left() -> None:
    budget = Budget(4, max_videos=10)
    budget.begin(["a", "b"])
    assert (budget.allows(5), budget.allows(6)) == (True, False)
    budget.spend("a", 2)
    budget.spend("b", 1)
    assert (budget.allows(2), budget.allows(3)) == (True, False)
    budget.begin(["c"])
    assert (budget.allows(3), budget.allows(4)) == (True, False)
    budget.begin(["d"])
    assert (budget.allows(7), budget.allows(8)) == (True, False)


@pytest.mark.parametrize("recorded", [{"a": 3}, {"a": 3, "b": 1}])
def test_a_resumed_run_has_what_an_uninterrupted_one_has(recorded: dict[str, int]) -> None:
    budget = Budget(2, max_videos=7, recorded=recorded)
    budget.begin(["a"])
    assert not budget.allows(1)
    budget.begin(["b"])
    left = 4 - recorded.get("b", 0)
    assert (budget.allows(left), budget.allows(left + 1)) == (True, False)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=6), st.integers(0, 30), st.integers(1, 3))
def test_the_limit_is_never_exceeded_and_used_up_when_wanted(batches: list[int], limit: int, seeds: int) -> None:
    budget, spent = Budget(sum(batches), limit), 0
    for number, size in enumerate(batches):
        ids = [f"{number}-{i}" for i in range(size)]
        budget.begin(ids)
        while budget.allows(seeds):
            budget.spend(ids[0], seeds)
            spent += seeds
    assert limit - seeds < spent <= limit
