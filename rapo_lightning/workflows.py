"""What the commands do: a configuration and prompts in, a finished run folder out.

Nothing heavy is imported before a configuration has passed all its checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rapo_lightning.checking import check_logger
from rapo_lightning.errors import ConfigError, RunFolderError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.planning import Plan, check_lengths, gather_prompts, missing_models, plan
from rapo_lightning.positions import Positions
from rapo_lightning.processes import RUN_FOLDER, is_first
from rapo_lightning.results import finish
from rapo_lightning.run_folder import await_run, choose, opened, read_run, update_run
from rapo_lightning.run_log import run_log
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.session import OnCandidate, Outcome, hardware, make_trainer, run_loop
from rapo_lightning.settings import OptimizeParts, build_optimize, config_hash, load_optimize, resolved
from rapo_lightning.weights import commit

__all__ = ["Started", "dry_run", "optimize", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    """A run as it starts: its folder and plan, how many of the planned videos this process will render at most, and the number
    of processes."""

    folder: Path
    plan: Plan
    videos: int
    processes: int


def dry_run(
    path: Path,
    *,
    prompt: str | None = None,
    prompts: Path | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    limit: int | None = None,
) -> Plan:
    """What `optimize` would do at most; imports no part and no torch."""
    config, positions = load_optimize(path, overrides, allow)
    wanted, _ = gather_prompts(config, positions, text=prompt, file=prompts, limit=limit)
    planned = plan(config, positions, wanted)
    return replace(planned, missing=missing_models(planned.models, positions))


def optimize(
    path: Path,
    *,
    out: Path,
    prompt: str | None = None,
    prompts: Path | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    limit: int | None = None,
    retry_errors: bool = False,
    force: bool = False,
    command: Sequence[str] = (),
    echo: bool = True,
    started: Callable[[Started], Sequence[OnCandidate]] = lambda run: (),
) -> Outcome:
    """Optimise prompts in a closed loop and leave the finished run in ``out``; continues a run that is already there.

    In every process but the first the outcome tells the same, but only the first writes what is shared.

    Args:
        path: the configuration.
        out: the run folder.
        prompt: one sentence, or
        prompts: a file of prompts (txt, CSV, JSONL, JSON); neither: the configuration's.
        overrides: ``a.b=c`` settings that go before the file's.
        allow: class-path prefixes trusted besides the suite's own.
        limit: take only the first so many prompts.
        retry_errors: do failed candidates again.
        force: go on in a new folder when ``out`` belongs to another configuration.
        command: the command line, for the record.
        echo: show warnings on stderr; they are in the run folder's log in any case.
        started: called once in the first process; gives what is told of each of its new candidates.

    Raises:
        ConfigError, InputError, WeightsError, RunFolderError: nothing has been touched, or, where only a loaded model could
            tell, nothing has been rendered.
        StorageError: the disk is full, read-only or gone; what was recorded stays, and the same call goes on from there.
    """
    with StopSignals() as signals:
        # 1. Everything that can be refused without torch, the run folder included.
        config, positions = load_optimize(path, overrides, allow)
        wanted, places = gather_prompts(config, positions, text=prompt, file=prompts, limit=limit)
        planned = plan(config, positions, wanted)
        parts = build_optimize(config, positions, allow)
        values = resolved(config, allow)
        if is_first():
            choose(out, values, force=force, positions=positions)
        # 2. What only the models' tokenizers and Lightning can refuse.
        check_lengths(parts.generator, wanted, places)
        check_logger(config.logger, positions)
        trainer = make_trainer(config, out, len(wanted), signals, positions)
        # 3. The loop: the first process has the folder to itself, the others join it there.
        if not is_first():
            given = os.environ.get(RUN_FOLDER)
            folder = Path(given) if given else await_run(out, values)
            with run_log(folder, trainer.global_rank, echo=False):
                return run_loop(trainer, config, parts, wanted, folder, signals=signals, retry_errors=retry_errors)
        with (
            opened(out, values, wanted, config_file=path, command=command, allow=allow, force=force) as folder,
            run_log(folder, 0, echo=echo),
        ):
            update_run(folder, config_hash=config_hash(values), hardware=hardware(trainer), models=_models(parts))
            left = max(0, planned.videos - _recorded_videos(folder, {prompt.id for prompt in wanted}))
            own = -(-len(wanted) // trainer.world_size)  # prompts of this process
            share = -(-left * own // len(wanted))
            listeners = started(Started(folder=folder, plan=planned, videos=share, processes=trainer.world_size))
            try:
                outcome = run_loop(
                    trainer, config, parts, wanted, folder, signals=signals, retry_errors=retry_errors, listeners=listeners
                )
            except ConfigError as error:  # what a model refuses once it is loaded
                raise ConfigError([_placed(problem, config, positions) for problem in error.problems]) from error
            update_run(folder, models=_models(parts))  # what was fetched has its commit now
            finish(outcome, parts, seed=config.seed)
        return outcome


def report(folder: Path, *, embed_below: int | None = None) -> Path:
    """Write ``report.html`` of a finished or interrupted run again, from its records; see `rapo_lightning.report.write`."""
    from rapo_lightning.report import write as write_report

    if not read_run(folder):
        raise RunFolderError(f"{folder}: no run.json there; is it a run folder?")
    return write_report(folder, embed_below=embed_below)


def _placed(problem: str, config: OptimizeConfig, positions: Positions) -> str:
    """A problem told by a loaded part, e.g. ``num_frames 10: ...``, with the place of the value, or with the file at least."""
    name = problem.partition(" ")[0].rstrip(":,")
    if name in config.generator.init_args:
        return positions.problem(("generator", "init_args", name), problem)
    return f"{positions.file}: {problem}"


def _models(parts: OptimizeParts) -> dict[str, dict[str, str | None]]:
    """Where each model's weights are and, of those from the hub, their commit."""
    return {key: {"weights": found, "commit": commit(found)} for key, found in parts.models.items()}


def _recorded_videos(folder: Path, prompts: set[str]) -> int:
    from rapo_lightning.sspo.log import read_all

    return sum(len(c.videos) for key, candidates in read_all(folder).items() if key in prompts for c in candidates)
