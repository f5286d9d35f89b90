"""What the commands do: a configuration and prompts in, a finished run folder out.

Nothing heavy is imported before a configuration has passed all its checks.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rapo_lightning.errors import RunFolderError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.planning import Plan, check_lengths, gather_prompts, plan
from rapo_lightning.processes import RUN_FOLDER, is_first
from rapo_lightning.results import finish
from rapo_lightning.run_folder import await_run, choose, opened, read_run
from rapo_lightning.run_log import run_log
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.session import OnCandidate, Outcome, make_trainer, run_loop
from rapo_lightning.settings import build_optimize, load_optimize, resolved

__all__ = ["Started", "check", "dry_run", "optimize", "report"]


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
    return plan(config, wanted)


def check(path: Path, *, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> OptimizeConfig:
    """Read a configuration and construct every part of it; loads no weights."""
    config, positions = load_optimize(path, overrides, allow)
    build_optimize(config, positions, allow)
    return config


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
        ConfigError, InputError, WeightsError, RunFolderError: nothing has been touched.
    """
    with StopSignals() as signals:
        # 1. Everything that can be refused without torch, the run folder included.
        config, positions = load_optimize(path, overrides, allow)
        wanted, source = gather_prompts(config, positions, text=prompt, file=prompts, limit=limit)
        planned = plan(config, wanted)
        values = resolved(config)
        if is_first():
            choose(out, values, force=force)
        # 2. The parts, and what only they and Lightning can refuse.
        parts = build_optimize(config, positions, allow)
        check_lengths(parts.generator, wanted, source)
        trainer = make_trainer(config, out, len(wanted), signals)
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
            left = max(0, planned.videos - _recorded_videos(folder, {prompt.id for prompt in wanted}))
            own = -(-len(wanted) // trainer.world_size)  # prompts of this process
            share = -(-left * own // len(wanted))
            listeners = started(Started(folder=folder, plan=planned, videos=share, processes=trainer.world_size))
            outcome = run_loop(
                trainer, config, parts, wanted, folder, signals=signals, retry_errors=retry_errors, listeners=listeners
            )
            finish(outcome, parts, seed=config.seed)
        return outcome


def report(folder: Path) -> Path:
    """Write ``report.html`` of a finished or interrupted run again, from its records."""
    from rapo_lightning.report import write as write_report

    if not read_run(folder):
        raise RunFolderError(f"{folder}: no run.json there; is it a run folder?")
    return write_report(folder)


def _recorded_videos(folder: Path, prompts: set[str]) -> int:
    from rapo_lightning.sspo.log import read_all

    return sum(len(c.videos) for key, candidates in read_all(folder).items() if key in prompts for c in candidates)
