"""What ``rapo train`` does: pairs in, an adapter folder out, in a run folder that a second call goes on with."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import ConfigError, WeightsError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.launching import launched, plain_lightning
from rapo_lightning.positions import Positions
from rapo_lightning.processes import RUN_FOLDER, is_first
from rapo_lightning.run_folder import await_run, choose, opened, read_run, update_run
from rapo_lightning.run_log import run_log
from rapo_lightning.sections_train import RefactorForm, TrainConfig
from rapo_lightning.session import hardware
from rapo_lightning.settings import load, resolved
from rapo_lightning.weights import locate

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
    started: Callable[[Lessons, int], None] | None = None,
) -> Trained:
    """Train an adapter as a configuration says. A run that is there is continued; one that is done is left as it is.

    Args:
        path: a configuration, see `TrainConfig`; files in it are relative to it.
        out: the run folder; the adapter appears in ``adapter/``.
        listen: told now and then how it goes, in the first process.
        started: told the lessons and the number of steps before the first.

    Raises:
        ConfigError, InputError, WeightsError, RunFolderError: nothing has been trained.
        StorageError: the disk is full or gone; the last checkpoint stays whole.
    """
    with StopSignals() as signals:
        # 1. What can be refused without weights: configuration, pairs, their tokens, the Trainer.
        from rapo_lightning.tuning.lessons import gather

        written, positions = load(path, TrainConfig, overrides, allow)
        config = _placed(written, positions)
        lessons = gather(config)
        values = resolved(written, allow) | {"lessons": lessons.hash}
        if is_first():
            out = choose(out, values, force=force, positions=positions)
            if (done := read_run(out)).get("status") == "done" and (out / "adapter").is_dir():
                return Trained(folder=out, adapter=out / "adapter", summary=done)
        else:
            out = Path(given) if (given := os.environ.get(RUN_FOLDER)) else await_run(out, values)
            trainer, module, data = _prepare(config, positions, lessons, out, signals, None)
            return _fit(trainer, module, data, written, lessons, out, signals)

        # 2. The training: the first process has the folder to itself, the others join it there.
        with (
            opened(out, values, [], config_file=path, command=command, allow=allow, force=force) as folder,
            run_log(folder, 0, echo=echo),
        ):
            trainer, module, data = _prepare(config, positions, lessons, folder, signals, listen)
            update_run(folder, hardware=hardware(trainer), data=lessons.counts())
            if started is not None:
                started(lessons, module.steps)
            return _fit(trainer, module, data, written, lessons, folder, signals)


def _placed(config: TrainConfig, positions: Positions) -> TrainConfig:
    """The configuration with its weights located and its files absolute."""
    problems = []
    values: dict[str, Any] = {}
    for name in ("model", "adapter"):
        if (reference := getattr(config, name)) is not None:
            try:
                values[name] = locate(reference, positions.folder)
            except WeightsError as error:
                problems.append(positions.problem((name,), str(error)))
    files = {"train": config.data.train}
    if isinstance(config.data.validation, list):
        files["validation"] = config.data.validation
    absolute = {name: [str(Path(positions.folder) / file) for file in listed] for name, listed in files.items()}
    for name, listed in absolute.items():
        problems += [
            positions.problem(("data", name, number), f"{file}: no such file")
            for number, file in enumerate(listed)
            if not Path(file).is_file()
        ]
    if isinstance(config.form, RefactorForm) and config.form.graph is not None:
        graph = str(Path(positions.folder) / config.form.graph)
        values["form"] = config.form.model_copy(update={"graph": graph})
    if problems:
        raise ConfigError(problems)
    return config.model_copy(update={**values, "data": config.data.model_copy(update=absolute)})


def _prepare(
    config: TrainConfig,
    positions: Positions,
    lessons: Lessons,
    folder: Path,
    signals: StopSignals,
    listen: Callable[[Progressed], None] | None,
) -> tuple[Trainer, RewriterModule, LessonData]:
    import numpy as np

    from rapo_lightning.tracking import build_logger, check_logger, run_id
    from rapo_lightning.tuning.batches import BatchPlan, accumulation, schedule
    from rapo_lightning.tuning.data import LessonData
    from rapo_lightning.tuning.module import RewriterModule
    from rapo_lightning.tuning.trainer import make_trainer

    steps, interval = schedule(len(lessons.learn), config.batch_size, config.epochs, config.validate_every)
    check_logger(config.logger, positions)
    logger = build_logger(config.logger, folder, run_id=read_run(folder).get("tracking_id")) if is_first() else None
    if (tracked := run_id(logger)) is not None:
        update_run(folder, tracking_id=tracked)
    with plain_lightning():
        trainer = make_trainer(
            config,
            folder,
            steps=steps,
            interval=interval,
            validates=bool(lessons.validate),
            stop=lambda: signals.asked,
            take_over=signals.take_over,
            logger=logger or False,
            listen=listen,
            positions=positions,
        )
    try:
        micro_batches, size = accumulation(config.batch_size, config.micro_batch_size, trainer.world_size)
    except ConfigError as error:
        raise ConfigError([positions.problem(("batch_size",), problem) for problem in error.problems]) from error
    trainer.accumulate_grad_batches = micro_batches
    trainer.val_check_interval = interval * micro_batches
    lengths = np.array([max(len(lesson.ids) for lesson in unit) for unit in lessons.learn])
    data = LessonData(
        lessons.learn,
        lessons.validate,
        pad=0,
        plan=BatchPlan(lengths=lengths, batch_size=config.batch_size, steps=steps, seed=config.seed),
        micro_batches=micro_batches,
        validation_batch=size,
    )
    module = RewriterModule(
        base=config.model,
        steps=steps,
        adapter=config.adapter,
        dtype=config.dtype,
        objective=config.objective,
        beta=config.beta,
        lora_options=config.lora.model_dump(mode="json"),
        learning_rate=config.optimizer.learning_rate,
        warmup=config.optimizer.warmup,
        weight_decay=config.optimizer.weight_decay,
        gradient_checkpointing=config.gradient_checkpointing,
        seed=config.seed,
    )
    return trainer, module, data


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

    from rapo_lightning.tuning.export import export_adapter

    if isinstance(trainer.strategy.launcher, _MultiProcessingLauncher):
        module.configure_model()  # weights come back from the processes into this one's
    latest = _latest(folder)
    sharded = isinstance(trainer.strategy, ModelParallelStrategy)
    if latest and sharded != read_run(folder).get("sharded", False):
        name = "fsdp2" if not sharded else "one that does not shard, e.g. ddp"
        raise ConfigError(f"trainer.strategy: {latest} holds an optimizer's state of another kind; go on with {name}")
    if trainer.is_global_zero:
        update_run(folder, sharded=sharded)
    try:
        with launched(folder):
            warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # a run that goes on
            trainer.fit(module, data, ckpt_path=latest, weights_only=True)
    except UnpicklingError as error:
        raise WeightsError(f"{latest}: holds objects other than tensors and plain values, which are not read") from error
    latest = _latest(folder)
    step = max(trainer.global_step, _step(latest) if latest else 0)
    if signals.asked and step < module.steps:
        if trainer.is_global_zero:
            update_run(folder, status="interrupted", step=step)
        return Trained(folder=folder, adapter=None, summary={"step": step, "steps": module.steps})
    summary = export_adapter(trainer, module, config, lessons.counts(), folder)
    if trainer.is_global_zero:
        update_run(folder, status="done", **summary)
    return Trained(folder=folder, adapter=folder / "adapter", summary=summary)


def _latest(folder: Path) -> Path | None:
    """The newest checkpoint of a run."""
    found = [path for path in folder.glob("checkpoints/step-*.ckpt") if re.fullmatch(r"step-\d+", path.stem)]
    return max(found, key=_step) if found else None


def _step(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("step-"))
