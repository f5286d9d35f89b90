"""What accompanies a training: its state is kept where it ends, it stops when asked to, and tells how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from rapo_lightning.tuning.checks import Checked, CheckTexts

__all__ = ["KeepState", "Progressed", "Tell"]

#: Several processes agree on stopping so often; agreeing waits for the devices.
_EVERY = 10


@final
class KeepState(Checkpoint):
    """Keeps the training's state where it ends, by itself or because ``asked()`` in any process, as ``folder/step-N.ckpt``.

    It ends after a step, and after the validation that is due at that step. As a `Checkpoint` it comes after other callbacks.
    """

    def __init__(self, asked: Callable[[], bool], folder: Path) -> None:
        self._asked, self._folder = asked, folder
        self._step, self._ends = 0, False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self._step:  # amid a step
            if trainer.should_stop:  # e.g. trainer.max_time is over: what this step has gathered is lost, and gathered again
                self._save(trainer)
            return
        self._step = trainer.global_step
        asked = self._asked() or trainer.should_stop
        if trainer.world_size > 1 and not trainer.should_stop:
            if self._step % _EVERY:
                return
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        self._ends = asked
        due = trainer.limit_val_batches and (batch_idx + 1) % int(trainer.val_check_batch or 1) == 0
        if asked and not due:
            trainer.limit_val_batches = 0  # or Lightning would validate before it stops
            self._end(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._ends:
            self._end(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def _end(self, trainer: Trainer) -> None:
        # Here, not at the end: Lightning takes a state of that time for one of a training that is over.
        self._save(trainer)
        trainer.should_stop = True

    def _save(self, trainer: Trainer) -> None:
        path = self._folder / f"step-{trainer.global_step}.ckpt"
        if not path.exists():
            trainer.save_checkpoint(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How a training stands: ``step`` of ``steps``, the last ``loss`` told (nats a token), ``tokens`` a second of this session,
    padding aside, the last validation's loss and what was found at it."""

    step: int
    steps: int
    loss: float | None
    tokens: float
    validation_loss: float | None
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
        validation = trainer.callback_metrics.get("validation_loss")
        self._listen(
            Progressed(
                step=step,
                steps=trainer.fit_loop.max_batches // trainer.accumulate_grad_batches,  # type: ignore[arg-type]
                loss=losses[step],
                tokens=self._tokens / max(1e-9, self._clock() - self._started),
                validation_loss=None if validation is None else float(validation),
                checked=next((one.last for one in trainer.callbacks if isinstance(one, CheckTexts)), None),  # type: ignore[attr-defined]
            )
        )
