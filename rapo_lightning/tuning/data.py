"""Lessons as a Lightning data module: batches follow a `BatchPlan`, from the step on where the training stands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, final

import torch
from lightning import LightningDataModule

from rapo_lightning.tuning.batches import BatchPlan
from rapo_lightning.tuning.tokens import Batch, TokenLesson, Unit, collate

__all__ = ["LessonData"]


@final
class LessonData(LightningDataModule):
    """Gives `RewriterModule` its micro-batches.

    Args:
        lessons: to learn from, in units of one size.
        validation: to validate on; may be empty.
        pad: the token that fills batches up.
        plan: which lessons each step learns from.
        micro_batches: of each process in a step; the Trainer's ``accumulate_grad_batches``.
        validation_batch: lessons validated on at once.
        multiple: batches are padded to multiples of so many tokens.

    The whole training is one epoch of Lightning's: `train_dataloader` has all its micro-batches, and begins at the Trainer's
    step. Every process validates on as many batches as the others.
    """

    def __init__(
        self,
        lessons: Sequence[Unit],
        validation: Sequence[Unit],
        *,
        pad: int,
        plan: BatchPlan,
        micro_batches: int,
        validation_batch: int,
        multiple: int = 1,
    ) -> None:
        super().__init__()
        self.lessons, self.validation = lessons, validation
        self.pad, self.plan, self.micro_batches = pad, plan, micro_batches
        self.validation_batch, self.multiple = validation_batch, multiple

    def train_dataloader(self) -> _Batches:
        """The micro-batches of this process."""
        trainer = self._trainer()
        steps = self.plan.all()

        def batches() -> Iterator[Batch]:
            for step in steps[trainer.global_step :]:
                total = sum(lesson.answer for row in step for lesson in self.lessons[row]) if self._alone else len(step)
                for rows in self.plan.share(step, self.micro_batches, trainer.world_size, trainer.global_rank):
                    yield self._batch([self.lessons[row] for row in rows], total)

        return _Batches(batches, len(steps) * self.micro_batches)

    def val_dataloader(self) -> _Batches | list[Any]:
        """This process's share of the validation lessons, longest first."""
        if not self.validation:
            return []
        trainer = self._trainer()
        ordered = sorted(self.validation, key=lambda unit: -max(len(lesson.ids) for lesson in unit))
        # Strategies may make processes meet at every batch: a conversation without an answer makes up for a missing lesson.
        empty = tuple(TokenLesson(lesson.ids, len(lesson.ids)) for lesson in ordered[-1])
        ordered += [empty] * (-len(ordered) % trainer.world_size)
        own = ordered[trainer.global_rank :: trainer.world_size]
        starts = range(0, len(own), self.validation_batch)

        def batches() -> Iterator[Batch]:
            for start in starts:
                yield self._batch(own[start : start + self.validation_batch], 0)

        return _Batches(batches, len(starts))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch on the device."""
        return batch.to(device)

    @property
    def _alone(self) -> bool:
        """Whether a unit is one lesson, no preference."""
        return len(self.lessons[0]) == 1

    def _batch(self, units: Sequence[Unit], total: int) -> Batch:
        batch = collate(units, self.pad, total, self.multiple)
        return batch.pin_memory() if self._trainer().strategy.root_device.type == "cuda" else batch

    def _trainer(self) -> Any:
        assert self.trainer is not None
        return self.trainer


@final
class _Batches:
    """What Lightning takes for a loader that can go on; where to, the Trainer's step says."""

    def __init__(self, batches: Callable[[], Iterator[Batch]], length: int) -> None:
        self._batches, self._length = batches, length

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Batch]:
        return self._batches()

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        pass
