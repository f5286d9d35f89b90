"""What ``rapo evaluate`` does: a configuration becomes a job of the package `evaluation`, which knows nothing of this one."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning.config import did_you_mean
from rapo_lightning.errors import ConfigError, InputError, PartError, Stopped
from rapo_lightning.interruption import StopSignals
from rapo_lightning.parts import Builder
from rapo_lightning.positions import Positions
from rapo_lightning.sections_evaluate import EvaluateConfig
from rapo_lightning.settings import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from evaluation.job import Job
    from evaluation.output.gate import Failure, Gate
    from evaluation.run import Done, Plan

__all__ = ["Evaluated", "check_evaluation", "dry_run", "evaluate"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluated:
    """A finished evaluation: its summary, where it lies, and the gates that it does not meet."""

    done: Done
    summary: dict[str, Any]
    failures: tuple[Failure, ...]

    @property
    def exit_code(self) -> int:
        """0; 3 with error rows; 4 if a gate is not met."""
        return 4 if self.failures else 3 if self.done.errors or self.done.missing else 0


def check_evaluation(path: Path, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> EvaluateConfig:
    """A configuration with everything that it names constructed; input and weights are not looked for.

    Raises:
        ConfigError: everything that is wrong with it.
    """
    config, positions = load(path, EvaluateConfig, overrides, allow)
    _check_names(config, positions)
    _parts(config, positions, allow)
    return config


def dry_run(
    path: Path, *, out: Path, given: Path | None = None, overrides: Sequence[str] = (), allow: Sequence[str] = ()
) -> Plan:
    """What `evaluate` would do."""
    from evaluation.run import plan

    config, positions = load(path, EvaluateConfig, overrides, allow)
    with _told_as_ours():
        return plan(_job(config, positions, given, allow), out)


def evaluate(
    path: Path,
    *,
    out: Path,
    given: Path | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    gates: Sequence[str] = (),
    imported: Sequence[str] = (),
    download: bool = False,
    planned: Callable[[Plan], None] = lambda plan: None,
    finished: Callable[[int], None] = lambda errors: None,
) -> Evaluated:
    """Score the input of a configuration and write the results.

    Args:
        path: the configuration.
        out: the folder of the results; what it holds already is not scored again.
        given: an input in place of the configuration's.
        overrides, allow: as everywhere.
        gates: ``[variant:]metric=value``, beside the configuration's.
        download: fetch weights that are missing.
        imported: ``[variant:]file``, VBench's ``*_eval_results.json``, for the totals.
        planned: told the plan; finished: told each file's number of errors.

    Raises:
        ConfigError, InputError: what is asked for cannot be done; nothing has run.
        Stopped: a signal came; the same command goes on.
    """
    from evaluation import run
    from evaluation.measures import needed
    from evaluation.output.gate import check_names, failures, parse_gates
    from evaluation.output.imported import read_imported
    from evaluation.results import write_results
    from evaluation.weights.fetch import fetch

    config, positions = load(path, EvaluateConfig, overrides, allow)
    with _told_as_ours(), StopSignals() as signals:
        asked: list[Gate] = parse_gates([*map(str, config.fail_under), *gates])
        job = _job(config, positions, given, allow)
        if download:
            fetch(needed(job), job.weights, logger.warning)
        variants = list(dict.fromkeys(record.variant for record in job.records))
        values = read_imported(imported, variants)

        def told(plan: Plan) -> None:
            check_names(asked, plan.measures, variants)
            planned(plan)

        done = run.evaluate(job, out, planned=told, finished=lambda work, errors: finished(errors), stop=lambda: signals.asked)
        if done.missing and signals.asked:
            raise Stopped(f"{done.missing} scores are missing: interrupted by a signal; the same command continues")
        summary = write_results(
            done,
            job,
            imported=values,
            allow_proxy=config.allow_proxy,
            fill_missing_zero=config.fill_missing_zero,
        )
        return Evaluated(done=done, summary=summary, failures=tuple(failures(asked, summary)))


def _job(config: EvaluateConfig, positions: Positions, given: Path | None, allow: Sequence[str]) -> Job:
    from evaluation.dimensions import DIMENSIONS
    from evaluation.inputs.read import read_input
    from evaluation.job import Job, Long
    from evaluation.lengths import with_protocol
    from evaluation.options import Options
    from evaluation.video.decoding import Limits

    _check_names(config, positions)
    judge, own = _parts(config, positions, allow)
    folder = positions.folder
    prompt_file = None if config.prompt_file is None else folder / config.prompt_file
    found = read_input(
        given or folder / config.input,
        suite=config.suite,
        suite_path=None if config.suite_path is None else folder / config.suite_path,
        dimensions=config.metrics,
        every=any(name.partition(".")[0] not in DIMENSIONS for name in config.own),
        prompt=config.prompt,
        prompt_file=prompt_file,
    )
    for note in found.notes:
        logger.warning(note)
    limits = config.limits
    long = config.long.model_dump()
    long["tables"] = {name: str(folder / file) for name, file in config.long.tables.items()}
    job = Job(
        records=found.records,
        missing=found.missing,
        notes=found.notes,
        metrics=tuple(config.metrics),
        own=own,
        options=Options(
            reduction=config.reduction,
            musiq_mode=config.imaging_quality_mode,
            batch=config.batch,
            fixed=config.fixed,
            judge=judge,
        ),
        weights={name: str(folder / Path(file).expanduser()) for name, file in config.weights.items()},
        precision=config.precision,
        long=Long(**long),
        limits=Limits(
            frames=limits.frames,
            pixels=int(limits.gigabytes * 2**30),
            seconds=limits.seconds,
            memory=int(limits.memory_gigabytes * 2**30),
        ),
        device=config.device,
        devices=config.devices,
    )
    return with_protocol(job, config.protocol)


def _parts(config: EvaluateConfig, positions: Positions, allow: Sequence[str]) -> tuple[Any, tuple[Any, ...]]:
    from evaluation.judge.base import Judge
    from evaluation.metrics.base import VideoMetric

    builder = Builder(positions, allow)
    judge = builder.part(config.judge, ("judge",), Judge) if config.judge else None
    own = [builder.part(part, ("own", name), VideoMetric) for name, part in config.own.items()]
    builder.finish()
    for (name, part), metric in zip(config.own.items(), own, strict=True):
        metric.id = name
        if not hasattr(metric, "provenance"):  # its arguments decide what it says
            metric.provenance = {"arguments": part.model_dump(mode="json")}
    return judge, tuple(own)


def _check_names(config: EvaluateConfig, positions: Positions) -> None:
    from evaluation.catalog.table import CATALOG

    problems = [
        positions.problem(("metrics", place), f"no such metric{did_you_mean(name, CATALOG)}")
        for place, name in enumerate(config.metrics)
        if name not in CATALOG
    ]
    if not config.metrics and not config.own:
        problems.append(positions.problem(("metrics",), "no metric is named, and there is none of your own"))
    if problems:
        raise ConfigError(problems)


@contextmanager
def _told_as_ours() -> Iterator[None]:
    """The package's errors as the suite's, so that each has its exit code."""
    from evaluation.errors import EvaluationError, WeightsError
    from evaluation.errors import InputError as WrongInput

    try:
        yield
    except (WrongInput, WeightsError) as error:
        raise InputError(str(error)) from error
    except EvaluationError as error:
        raise PartError(str(error)) from error
