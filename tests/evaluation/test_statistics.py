"""The interval covers the truth as often as it says, the agreement is that of the textbook."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from evaluation import statistics
from evaluation.statistics import cohen_kappa, paired_bootstrap, wilson_interval


def test_the_interval_surrounds_the_mean_and_is_always_the_same() -> None:
    values = [random.Random(index).gauss(0.1, 0.2) for index in range(40)]
    mean, low, high = paired_bootstrap(values)
    assert mean == pytest.approx(math.fsum(values) / 40)
    assert low is not None
    assert high is not None
    assert low < mean < high
    assert (mean, low, high) == paired_bootstrap(values, seed=0)
    assert paired_bootstrap(values, seed=1)[1:] != (low, high)


def test_the_interval_has_the_width_of_the_normal_one_for_many_prompts() -> None:
    values = np.random.default_rng(3).normal(0.0, 1.0, 900)
    _, low, high = paired_bootstrap(values.tolist())
    assert low is not None
    assert high is not None
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 30, rel=0.08)


def test_the_interval_covers_the_true_mean_about_nineteen_times_in_twenty() -> None:
    generator = np.random.default_rng(5)
    covered = 0
    for _ in range(200):
        _, low, high = paired_bootstrap((generator.exponential(1.0, 60) - 1.0).tolist())
        assert low is not None
        assert high is not None
        covered += low <= 0.0 <= high
    assert 0.88 <= covered / 200 <= 0.98


def test_an_independent_bootstrap_agrees() -> None:
    values = [0.3, -0.1, 0.0, 0.4, 0.2, -0.2, 0.1, 0.5]
    drawn = random.Random(11)
    means = sorted(math.fsum(drawn.choices(values, k=len(values))) / len(values) for _ in range(20_000))
    _, low, high = paired_bootstrap(values)
    assert low == pytest.approx(means[500], abs=0.015)
    assert high == pytest.approx(means[19_500], abs=0.015)


def test_many_prompts_are_drawn_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(0.2, 1.0, 50).tolist()
    whole = paired_bootstrap(values)
    monkeypatch.setattr(statistics, "_BLOCK", 50 * 7)
    blocks = paired_bootstrap(values)
    assert blocks == pytest.approx(whole, abs=0.03)


def test_small_and_wrong_samples() -> None:
    assert paired_bootstrap([0.25]) == (0.25, None, None)
    assert paired_bootstrap([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
    for wrong in ([], [0.1, math.nan], [math.inf]):
        with pytest.raises(ValueError, match="one finite difference a prompt"):
            paired_bootstrap(wrong)


def test_a_share_keeps_its_doubt_where_all_succeed() -> None:
    # 10 of 10: z**2 / (n + z**2) = 3.8415 / 13.8415 is in doubt (Wilson 1927).
    assert wilson_interval(10, 10) == pytest.approx((1.0, 1 - 0.27753, 1.0), abs=1e-4)
    share, low, high = wilson_interval(50, 100)
    assert (share, low, high) == pytest.approx((0.5, 0.40383, 0.59617), abs=1e-4)
    with pytest.raises(ValueError, match="trials"):
        wilson_interval(1, 0)
    with pytest.raises(ValueError, match="wins"):
        wilson_interval(3, 2)


def test_kappa_is_that_of_the_textbook() -> None:
    first = ["yes"] * 25 + ["no"] * 25
    second = ["yes"] * 20 + ["no"] * 5 + ["yes"] * 10 + ["no"] * 15
    assert cohen_kappa(first, second) == pytest.approx(0.4)
    assert cohen_kappa(second, first) == pytest.approx(0.4)
    assert cohen_kappa([1, 2, 3, 1], [1, 2, 3, 1]) == 1.0
    assert cohen_kappa([True, False], [False, True]) == -1.0
    assert cohen_kappa([True, True], [True, False]) == 0.0


def test_kappa_without_a_meaning_or_without_items() -> None:
    assert cohen_kappa(["yes", "yes"], ["yes", "yes"]) is None
    with pytest.raises(ValueError, match="got 2 and 1"):
        cohen_kappa([1, 2], [1])
    with pytest.raises(ValueError, match="at least one"):
        cohen_kappa([], [])
