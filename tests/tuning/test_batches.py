"""The plan of batches: every lesson in its turn, the same whatever the processes, little padding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapo_lightning.errors import ConfigError
from rapo_lightning.tuning.batches import BatchPlan, accumulation, schedule


def plan(count: int = 50, batch_size: int = 8, steps: int = 20, seed: int = 0) -> BatchPlan:
    lengths = np.random.default_rng(1).integers(5, 60, count)
    return BatchPlan(lengths=lengths, batch_size=batch_size, steps=steps, seed=seed)


@given(
    count=st.integers(1, 60),
    processes=st.integers(1, 3),
    micro=st.integers(1, 3),
    size=st.integers(1, 4),
    steps=st.integers(1, 40),
)
def test_every_lesson_comes_once_before_any_comes_twice(count: int, processes: int, micro: int, size: int, steps: int) -> None:
    made = plan(count, processes * micro * size, steps)
    batches = made.all()
    assert [len(batch) for batch in batches] == [made.batch_size] * steps
    times = np.bincount(np.concatenate(batches), minlength=count)
    whole, rest = divmod(steps * made.batch_size, count)
    assert sorted(times) == [whole] * (count - rest) + [whole + 1] * rest
    shares = [rows for rank in range(processes) for rows in made.share(batches[0], micro, processes, rank)]
    assert {len(rows) for rows in shares} == {size}
    assert sorted(np.concatenate(shares)) == sorted(batches[0])


def test_the_order_follows_from_the_seed_alone() -> None:
    same, other = plan().all(), plan(seed=1).all()
    assert all(np.array_equal(a, b) for a, b in zip(plan().all(), same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(same, other, strict=True))
    assert not np.array_equal(np.sort(same[0]), np.sort(plan(steps=40).all()[20])), "a later step has other lessons"


def test_lessons_of_a_batch_have_similar_lengths() -> None:
    made = plan(count=640, batch_size=16, steps=40)
    padding = [made.lengths[batch].max() * len(batch) - made.lengths[batch].sum() for batch in made.all()]
    assert sum(padding) < 0.1 * made.lengths.sum()
    assert len({int(made.lengths[batch].max()) for batch in made.all()[:8]}) > 1, "but not sorted from short to long"


def test_processes_learn_from_lengths_that_match_at_the_same_time() -> None:
    made = plan(count=64, batch_size=32, steps=2)
    step = made.all()[0]
    for a, b in zip(made.share(step, 4, 2, 0), made.share(step, 4, 2, 1), strict=True):
        assert abs(int(made.lengths[a].max()) - int(made.lengths[b].max())) <= 4


@pytest.mark.parametrize(
    ("lessons", "batch_size", "epochs", "every", "expected"),
    [
        (100, 10, 3.0, 10, (30, 10)),
        (103, 10, 3.0, 10, (30, 10)),
        (100, 10, 3.5, 10, (32, 8)),
        (5, 32, 1.0, 100, (1, 1)),
        (1000, 10, 1.0, 7, (98, 7)),
    ],
)
def test_the_last_validation_is_at_the_end(
    lessons: int, batch_size: int, epochs: float, every: int, expected: tuple[int, int]
) -> None:
    steps, interval = schedule(lessons, batch_size, epochs, every)
    assert (steps, interval) == expected
    assert steps % interval == 0


def test_micro_batches_are_as_large_as_allowed_and_equal() -> None:
    assert accumulation(32, 8, 1) == (4, 8)
    assert accumulation(32, 5, 1) == (8, 4)
    assert accumulation(32, 100, 2) == (1, 16)
    with pytest.raises(ConfigError, match="batch_size: 10 lessons a step cannot be shared over 4 processes"):
        accumulation(10, 8, 4)
