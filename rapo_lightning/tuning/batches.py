"""Which lessons each step learns from, on which process and in which micro-batch: a plan made from lengths, batch size and seed.

The plan depends on nothing else, so that a training that goes on continues it exactly, and several processes share the same
batches as one would have. Lessons of similar length stand together, which leaves little padding.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from rapo_lightning.errors import ConfigError

__all__ = ["BatchPlan", "accumulation", "schedule"]

#: So many steps' lessons are sorted by length together, as transformers does. Of lessons of 270 tokens, 32 a step, 1 % is padding
#: then (2.4 % where lengths are multiples of 8), of 16 steps' 3 %.
_WINDOW = 50

Rows = NDArray[np.int64]


def accumulation(batch_size: int, micro_batch_size: int, processes: int) -> tuple[int, int]:
    """Micro-batches a process takes a step, and lessons in each: as many as ``micro_batch_size`` allows.

    Raises:
        ConfigError: the batch cannot be shared equally over the processes.
    """
    if batch_size % processes:
        raise ConfigError(f"batch_size: {batch_size} lessons a step cannot be shared over {processes} processes")
    own = batch_size // processes
    size = next(size for size in range(min(own, micro_batch_size), 0, -1) if own % size == 0)
    return own // size, size


def schedule(lessons: int, batch_size: int, epochs: float, validate_every: int) -> tuple[int, int]:
    """Steps of a training, and after how many to validate.

    Validations come about as often as asked for and in equal distances, the last at the end; for that, the training may be
    shorter by less than one step a validation.
    """
    steps = max(1, round(epochs * lessons / batch_size))
    validations = max(1, round(steps / validate_every))
    return steps // validations * validations, steps // validations


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """The lessons of every step.

    Attributes:
        lengths: tokens of each lesson, (N,).
        batch_size: lessons a step.
        steps: of the whole training.
        seed: of the order.
    """

    lengths: Rows
    batch_size: int
    steps: int
    seed: int

    def all(self) -> Sequence[Rows]:
        """The lessons of each step, (batch_size,) each. Every lesson comes once before any comes twice."""
        wanted = self.steps * self.batch_size
        rounds = math.ceil(wanted / len(self.lengths))
        rng = [np.random.default_rng((self.seed, epoch)) for epoch in range(rounds)]
        stream = np.concatenate([one.permutation(len(self.lengths)) for one in rng])[:wanted]
        steps: list[Rows] = []
        for start in range(0, wanted, _WINDOW * self.batch_size):
            window = stream[start : start + _WINDOW * self.batch_size]
            window = window[np.argsort(self.lengths[window], kind="stable")]
            batches = window.reshape(-1, self.batch_size)
            order = np.random.default_rng((self.seed, start, 1)).permutation(len(batches))
            steps += list(batches[order])
        return steps

    def share(self, step: Rows, micro_batches: int, processes: int, rank: int) -> list[Rows]:
        """The micro-batches of one process, of one step: those that are learned from at the same time have similar lengths."""
        ordered = step[np.argsort(-self.lengths[step], kind="stable")]
        groups = np.split(ordered, micro_batches * processes)
        return groups[rank::processes]
