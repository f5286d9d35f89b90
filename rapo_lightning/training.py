"""What ``rapo train`` does: pairs in, an adapter folder out, in a run folder that a second call goes on with."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import ConfigError, TrainingError, WeightsError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.launching import launched
from rapo_lightning.processes import RUN_FOLDER, is_first
from rapo_lightning.run_folder import await_run, choose, opened, read_run, update_run
from rapo_lightning.run_log import run_log
from rapo_lightning.sections_train import TrainConfig
from rapo_lightning.session import hardware
from rapo_lightning.settings import load, resolved

if TYPE_CHECKING:
    from lightning import Trainer

    from rapo_lightning.tuning.callbacks import Progressed
    from rapo_lightning.tuning.data import LessonData
    from rapo_lightning.tuning.lessons import Lessons
    from rapo_lightning.tuning.module import RewriterModule

__all__ = ["Trained", "train"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """How a training stands: its run folder, the ``adapter``'s folder (None: interrupted), and what ``run.json`` says of it."""

    folder: Path
    adapter: Path | None
    summary: Mapping[str, Any]

    @property
    def exit_code(self) -> int:
        """0 done, 75 interrupted and resumable."""
        return 75 if self.adapter is None else 0


def train(
    path: Path,
    *,
    out: Path,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    force: bool = False,
    command: Sequence[str] = (),
    echo: bool = True,
    listen: Callable[[Progressed], None] | None = None,
    started: Callable[[Lessons, int, int], None] | None = None,
) -> Trained:
    """Train an adapter as a configuration says. A run that is there is continued; one that is done is left as it is.

    Args:
        path: a configuration, see `TrainConfig`; files in it are relative to it.
        out: the run folder; the adapter appears in ``adapter/``.
        listen: told now and then how it goes, in the first process.
        started: told the lessons, the number of steps, and after which one it goes on (0: from the beginning).

    Raises:
        ConfigError, InputError, WeightsError, RunFolderError: nothing has been trained.
        StorageError: the disk is full or gone; the last checkpoint stays whole.
        TrainingError: the training has diverged, or memory ran out; the last checkpoint stays whole, too.
    """
    from rapo_lightning.training_config import lora_layers, placed
    from rapo_lightning.training_parts import prepare
    from rapo_lightning.tuning.checkpoints import latest, step_of
    from rapo_lightning.tuning.lessons import gather

    with StopSignals(interrupt=True) as signals:
        # 1. What can be refused without weights: configuration, pairs, their tokens, layers.
        written, positions = load(path, TrainConfig, overrides, allow)
        config = placed(written, positions)
        lessons = gather(config)
        values = resolved(written, allow) | {"lessons": lessons.hash}
        if is_first():
            out = choose(out, values, force=force, positions=positions)
        else:
            out = Path(given) if (given := os.environ.get(RUN_FOLDER)) else await_run(out, values)
        if (done := read_run(out)).get("status") == "done" and (out / "adapter").is_dir():
            return Trained(folder=out, adapter=out / "adapter", summary=done["summary"])
        lora_layers(config)
        if not is_first():
            trainer, module, data = prepare(config, positions, lessons, out, signals, None, allow)
            return _fit(trainer, module, data, written, lessons, out, signals)

        # 2. The training: the first process has the folder to itself, the others join it there.
        with (
            opened(out, values, [], config_file=path, command=command, allow=allow, force=force) as folder,
            run_log(folder, 0, echo=echo),
        ):
            trainer, module, data = prepare(config, positions, lessons, folder, signals, listen, allow)
            update_run(folder, hardware=hardware(trainer), data=lessons.counts())
            if started is not None:
                newest = latest(folder)
                started(lessons, module.steps, step_of(newest) if newest else 0)
            return _fit(trainer, module, data, written, lessons, folder, signals)


def _fit(
    trainer: Trainer,
    module: RewriterModule,
    data: LessonData,
    config: TrainConfig,
    lessons: Lessons,
    folder: Path,
    signals: StopSignals,
) -> Trained:
    from lightning.pytorch.strategies import ModelParallelStrategy
    from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

    from rapo_lightning.tracking_tolerant import TolerantLogger
    from rapo_lightning.tuning.checkpoints import kept, latest, out_of_patience, step_of
    from rapo_lightning.tuning.export import export_adapter
    from rapo_lightning.tuning.memory import ran_out

    with ExitStack() as afterwards:
        loggers = [logger for logger in trainer.loggers if isinstance(logger, TolerantLogger)]
        for logger in loggers:
            afterwards.callback(logger.close)
        if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
            module.configure_model()  # weights come back from the processes into this one's
        before = latest(folder)
        sharded = isinstance(trainer.strategy, ModelParallelStrategy)
        if before and sharded != read_run(folder).get("sharded", False):
            name = "fsdp2" if not sharded else "one that does not shard, e.g. ddp"
            raise ConfigError(f"trainer.strategy: {before} holds an optimizer's state of another kind; go on with {name}")
        if trainer.is_global_zero:
            update_run(folder, sharded=sharded)
            for path in kept(folder / "checkpoints", "best"):
                if step_of(path) > (step_of(before) if before else 0):
                    path.unlink()  # it comes again
        try:
            with launched(folder):
                # Both of a run that goes on, the second with another time limit.
                warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")
                warnings.filterwarnings("ignore", r"Be aware that when using `ckpt_path`, callbacks .*\['Timer'\]")
                trainer.fit(module, data, ckpt_path=before, weights_only=True)
        except UnpicklingError as error:
            raise WeightsError(f"{before}: holds objects other than tensors and plain values, which are not read") from error
        except Exception as error:
            if not ran_out(error):
                raise
            raise _out_of_memory(trainer, data, config, lessons, folder) from error
        after = latest(folder)
        step = step_of(after) if after else 0
        early = step < module.steps and config.patience is not None and after is not None and out_of_patience(after)
        if step < module.steps and not early:
            stopped = "signal" if signals.asked or "max_time" not in config.trainer else "max_time"
            if trainer.is_global_zero:
                update_run(folder, status="interrupted", step=step, stopped=stopped)
            return Trained(folder=folder, adapter=None, summary={"step": step, "steps": module.steps, "stopped": stopped})
        summary = export_adapter(trainer, module, config, lessons.counts(), folder, step)
        if trainer.is_global_zero:
            update_run(folder, status="done", summary=summary)
        for logger in loggers:
            logger.log_adapter(folder / "adapter", folder.name)
        return Trained(folder=folder, adapter=folder / "adapter", summary=summary)


def _out_of_memory(trainer: Trainer, data: LessonData, config: TrainConfig, lessons: Lessons, folder: Path) -> TrainingError:
    from lightning.pytorch.strategies.launchers import _MultiProcessingLauncher

    from rapo_lightning.terminal import say
    from rapo_lightning.tuning.checkpoints import latest, step_of
    from rapo_lightning.tuning.memory import advice

    kept = latest(folder)
    forked = isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)  # its step is theirs
    problem = advice(
        config,
        lessons,
        size=data.validation_batch,
        step=None if forked else trainer.global_step + 1,
        kept=step_of(kept) if kept else 0,
        on_cuda=trainer.strategy.root_device.type == "cuda",
    )
    if not trainer.is_global_zero:
        say(f"rapo: process {trainer.global_rank}: {problem}")  # the first one may only see that this one is gone
    return TrainingError(problem)
