"""How sure a mean or a share is and how well two raters agree: paired bootstrap over prompts, Wilson interval, Cohen's kappa.

from evaluation.statistics import paired_bootstrap
mean, low, high = paired_bootstrap([after - before for before, after in prompts])
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

__all__ = ["cohen_kappa", "paired_bootstrap", "wilson_interval"]

#: How often prompts are drawn anew, and the two percentiles between which 95 % of the drawn means lie.
RESAMPLES = 2000
PERCENTILES = (2.5, 97.5)
#: Drawn values held in memory at once.
_BLOCK = 2**22


def paired_bootstrap(differences: Sequence[float], seed: int = 0) -> tuple[float, float | None, float | None]:
    """The mean of paired differences and its 95 % percentile bootstrap interval, ``(mean, low, high)``.

    Args:
        differences: one number a prompt, candidate minus baseline on the same prompt and seeds; a prompt with several videos
            gives their mean, as prompts are what is drawn.
        seed: of the 2000 resamples; equal differences and seeds give equal intervals.

    The bounds are None for a single prompt, which says nothing of the spread.

    Raises:
        ValueError: no differences, or one that is not finite.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, chapter 13.
    """
    values = np.asarray(differences, dtype=np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ValueError("a paired bootstrap needs one finite difference a prompt, and at least one prompt")
    mean = float(values.mean())
    if values.size == 1:
        return mean, None, None
    generator = np.random.default_rng(seed)
    rows = max(1, _BLOCK // values.size)
    means = [
        values[generator.integers(values.size, size=(min(rows, RESAMPLES - start), values.size))].mean(axis=1)
        for start in range(0, RESAMPLES, rows)
    ]
    low, high = np.percentile(np.concatenate(means), PERCENTILES)
    return mean, float(low), float(high)


def wilson_interval(successes: int, trials: int) -> tuple[float, float, float]:
    """A share and its 95 % interval, ``(share, low, high)``; sensible where all or none succeed, as a bootstrap is not.

    Raises:
        ValueError: no trials, fewer than none, or more successes than trials.

    Source: Wilson, Probable Inference, the Law of Succession, and Statistical Inference (1927).
    """
    from scipy.stats import binomtest

    if not 0 <= successes <= trials or not trials:
        raise ValueError(f"a share needs trials, and no more wins than trials; got {successes} wins in {trials} trials")
    interval = binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    return successes / trials, float(interval.low), float(interval.high)


def cohen_kappa(a: Sequence[Hashable], b: Sequence[Hashable]) -> float | None:
    """Agreement of two raters beyond chance: 1 always, 0 as often as chance, below 0 less often.

    ``a[i]`` and ``b[i]`` are the labels that the raters gave item i. None where it is not defined: both gave one and the same
    label to everything.

    Raises:
        ValueError: no items, or not the same number of labels.

    Source: Cohen, A Coefficient of Agreement for Nominal Scales (1960).
    """
    if len(a) != len(b) or not len(a):
        raise ValueError(f"kappa needs the same items from both raters, and at least one; got {len(a)} and {len(b)}")
    labels = {label: number for number, label in enumerate(dict.fromkeys([*a, *b]))}
    counts = np.zeros((len(labels), len(labels)))
    np.add.at(counts, ([labels[label] for label in a], [labels[label] for label in b]), 1)
    if len(labels) == 1:
        return None
    observed = np.trace(counts) / len(a)
    by_chance = counts.sum(axis=1) @ counts.sum(axis=0) / len(a) ** 2
    return float((observed - by_chance) / (1 - by_chance))
