"""From the configuration of a training to what takes part in it: Trainer, module, data and checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from lightning import Callback, Trainer

from rapo_lightning.errors import ConfigError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.launching import plain_lightning
from rapo_lightning.positions import Positions
from rapo_lightning.processes import is_first
from rapo_lightning.run_folder import read_run, update_run
from rapo_lightning.sections_train import SelectForm, TrainConfig
from rapo_lightning.settings import build_optimize, load_optimize
from rapo_lightning.sspo.options import Parts
from rapo_lightning.tracking import build_logger, check_logger, run_id
from rapo_lightning.tracking_tolerant import TolerantLogger
from rapo_lightning.tuning.batches import BatchPlan, accumulation, schedule
from rapo_lightning.tuning.callbacks import Progressed
from rapo_lightning.tuning.checks import CheckTexts
from rapo_lightning.tuning.data import LessonData
from rapo_lightning.tuning.forms import teacher
from rapo_lightning.tuning.lessons import Lessons
from rapo_lightning.tuning.module import RewriterModule
from rapo_lightning.tuning.objectives import COMPILED_MULTIPLE
from rapo_lightning.tuning.trainer import make_trainer

__all__ = ["prepare"]


def prepare(
    config: TrainConfig,
    positions: Positions,
    lessons: Lessons,
    folder: Path,
    signals: StopSignals,
    listen: Callable[[Progressed], None] | None,
    allow: Sequence[str] = (),
) -> tuple[Trainer, RewriterModule, LessonData]:
    """The Trainer, the module and the data of a training, none of them used yet.

    Args:
        config: as `training_config.placed` gives it.
        lessons: what it learns from.
        folder: the run folder, which must exist.
        listen: told how it goes.
        allow: class-path prefixes trusted besides the suite's own, for the parts of the checks.

    Raises:
        ConfigError: the Trainer, the logger or the configuration of the checks cannot be made; a batch cannot be shared.
    """
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
            logger=TolerantLogger(logger) if logger else False,
            callbacks=_checks(config, lessons, folder, allow),
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
        multiple=COMPILED_MULTIPLE if config.compile else 1,
    )
    module = RewriterModule(
        base=config.model,
        steps=steps,
        adapter=config.adapter,
        dtype=config.dtype,
        four_bit=config.four_bit,
        objective=config.objective,
        beta=config.beta,
        lora_options=config.lora.model_dump(mode="json"),
        learning_rate=config.optimizer.learning_rate,
        warmup=config.optimizer.warmup,
        weight_decay=config.optimizer.weight_decay,
        gradient_checkpointing=config.gradient_checkpointing,
        compile=config.compile,
        seed=config.seed,
    )
    return trainer, module, data


def _checks(config: TrainConfig, lessons: Lessons, folder: Path, allow: Sequence[str]) -> list[Callback]:
    section = config.check
    if not section.prompts or not lessons.held_out:
        return []
    selects = isinstance(config.form, SelectForm)
    parts = None
    if section.optimize is not None and not selects:
        built = build_optimize(*load_optimize(section.optimize, (), allow), allow)
        parts = Parts(
            generator=built.generator,
            judges=dict(built.judges),
            reward=built.reward,
            selection=built.selection,
            rewriter=built.rewriter,
        )
    prompts = list(dict.fromkeys(pair.prompt for pair in lessons.held_out))[: section.prompts]
    pairs = [pair for pair in lessons.held_out if pair.prompt in prompts]
    if not selects:
        pairs = list({pair.prompt: pair for pair in reversed(pairs)}.values())[::-1]
    return [
        CheckTexts(
            pairs,
            teacher(config.form, config.objective),
            selects=selects,
            max_words=section.max_words,
            max_new_tokens=section.max_new_tokens,
            parts=parts,
            seed=config.seed,
            folder=folder,
        )
    ]
