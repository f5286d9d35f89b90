"""What accompanies a training: its state is kept where it ends, it stops when asked to, and tells how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, EarlyStopping

from rapo_lightning.tuning.checkpoints import kept
from rapo_lightning.tuning.checks import Checked, CheckTexts

__all__ = ["KeepState", "Patience", "Progressed", "Tell"]

#: Several processes agree on stopping so often; agreeing waits for the devices.
_EVERY = 10
#: Checkpoints to go on from; the older one, should the newer be torn.
_KEPT = 2


@final
class KeepState(Checkpoint):
    """Keeps the training's state every so often, and where it ends, by itself or because ``asked()`` in any process.

    It ends after a step; a validation that is due at that step comes first. As a `Checkpoint` it comes after other callbacks.

    Args:
        asked: whether this process was asked to stop.
        folder: where ``step-N.ckpt`` go; the newest two stay.
        every: so many steps.
    """

    def __init__(self, asked: Callable[[], bool], folder: Path, every: int) -> None:
        self._asked, self._folder, self._every = asked, folder, every
        self._step, self._ends, self._due = 0, False, False
        self._saved: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step
        self._saved = None if trainer.ckpt_path is None else self._step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self._step:  # amid a step
            if trainer.should_stop:  # e.g. trainer.max_time is over: what this step has gathered is lost, and gathered again
                self._save(trainer)
            return
        self._step = trainer.global_step
        self._ends = self._asked() or trainer.should_stop
        if trainer.world_size > 1 and not trainer.should_stop:
            agree = self._step % _EVERY == 0
            self._ends = agree and trainer.strategy.reduce_boolean_decision(self._ends, all=False)
        self._due = self._ends or self._step % self._every == 0
        if trainer.limit_val_batches and (batch_idx + 1) % int(trainer.val_check_batch or 1) == 0:
            return  # what the validation finds belongs to the state
        if self._ends:
            trainer.limit_val_batches = 0  # or Lightning would validate before it stops
        self._keep(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._due = self._due or trainer.should_stop  # out of patience
        self._keep(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def _keep(self, trainer: Trainer) -> None:
        # Here, not at the end: Lightning takes a state of that time for one of a training that is over.
        if self._due:
            self._save(trainer)
        if self._ends:
            trainer.should_stop = True

    def _save(self, trainer: Trainer) -> None:
        # Not whether the file is there: the processes would look at different times, and all must save or none.
        if self._saved != trainer.global_step:
            self._saved = trainer.global_step
            for logger in trainer.loggers:
                logger.save()  # or the curve would have a hole, should this process be killed
            trainer.save_checkpoint(self._folder / f"step-{self._saved}.ckpt")
            for older in kept(self._folder, "step")[:-_KEPT]:
                trainer.strategy.remove_checkpoint(older)


@final
class Patience(EarlyStopping):
    """Ends a training after ``patience`` validations in a row without a new least loss; how many there were is in its state."""

    def __init__(self, patience: int) -> None:
        super().__init__("validation_loss", patience=patience, check_on_train_epoch_end=False)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """A training that ended so and was stopped before its adapter was written has nothing left to learn."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= self.patience


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How a training stands: ``step`` of ``steps``, the last ``loss`` told (nats a token), ``tokens`` a second of this session,
    padding aside, the last validation's loss, the share of its preferences that the model has, and what was found at it."""

    step: int
    steps: int
    loss: float | None
    tokens: float
    validation_loss: float | None
    preferred: float | None = None
    checked: Checked | None = None


@final
class Tell(Callback):
    """Tells a listener of the first process how things stand after each step that logs."""

    def __init__(self, listen: Callable[[Progressed], None], clock: Callable[[], float] = time.perf_counter) -> None:
        self._listen, self._clock = listen, clock
        self._started, self._tokens, self._step = 0.0, 0, 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started, self._tokens, self._step = self._clock(), 0, trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        self._tokens += batch.tokens * trainer.world_size
        losses: dict[int, float] = pl_module.losses  # type: ignore[assignment]
        step = trainer.global_step
        if step == self._step or step not in losses or not trainer.is_global_zero:
            return
        self._step = step
        told = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._listen(
            Progressed(
                step=step,
                steps=trainer.fit_loop.max_batches // trainer.accumulate_grad_batches,  # type: ignore[arg-type]
                loss=losses[step],
                tokens=self._tokens / max(1e-9, self._clock() - self._started),
                validation_loss=told.get("validation_loss"),
                preferred=told.get("validation_rewards/accuracies"),
                checked=next((one.last for one in trainer.callbacks if isinstance(one, CheckTexts)), None),  # type: ignore[attr-defined]
            )
        )
