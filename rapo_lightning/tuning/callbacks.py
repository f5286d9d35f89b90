"""What accompanies a training: it stops when asked to, and tells how it goes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from lightning import Callback, LightningModule, Trainer

__all__ = ["Progressed", "StopWhenAsked", "Tell"]

#: Several processes agree on stopping so often; agreeing waits for the devices.
_EVERY = 10


@final
class StopWhenAsked(Callback):
    """At the end of a step, when ``asked()`` in any process: saves a checkpoint into ``folder``, and the training ends there."""

    def __init__(self, asked: Callable[[], bool], folder: Path) -> None:
        self._asked, self._folder = asked, folder
        self._step = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._step = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int) -> None:
        if trainer.global_step == self._step:
            return  # amid a step
        self._step = trainer.global_step
        asked = self._asked()
        if trainer.world_size > 1:
            if self._step % _EVERY:
                return
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            trainer.save_checkpoint(self._folder / f"step-{self._step}.ckpt")
            trainer.limit_val_batches = 0  # or Lightning would validate before it stops
            trainer.should_stop = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """How a training stands: ``step`` of ``steps``, the last ``loss`` told (nats a token), ``tokens`` a second of this session,
    padding aside, and the last validation's loss."""

    step: int
    steps: int
    loss: float | None
    tokens: float
    validation_loss: float | None


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
            )
        )
