"""What the commands do: a configuration and prompts in, a finished run folder out.

Nothing heavy is imported before a configuration has passed all its checks.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning import records
from rapo_lightning.errors import ConfigError, InputError, RunFolderError
from rapo_lightning.prompts import load_prompts
from rapo_lightning.protocols import LimitsText
from rapo_lightning.run_folder import locked, prepare, read_run, update_run
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.settings import OptimizeParts, build_optimize, load_optimize, resolved
from rapo_lightning.types import Candidate, Prompt, Trajectory

if TYPE_CHECKING:
    from rapo_lightning.positions import Positions

__all__ = ["Outcome", "Plan", "check", "dry_run", "finish", "gather_prompts", "model_references", "optimize", "plan", "report", "run_loop"]

OnCandidate = Callable[[Candidate, Trajectory], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ended: its folder, trajectories in the prompts' order, ids of prompts with no scored candidate, and whether
    it was interrupted before its end."""

    folder: Path
    trajectories: tuple[Trajectory, ...]
    failed: tuple[str, ...]
    interrupted: bool

    @property
    def exit_code(self) -> int:
        """0 done, 3 finished with failed items, 75 interrupted and resumable."""
        return 75 if self.interrupted else 3 if self.failed else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run will do at most, told before it starts."""

    prompts: int
    candidates: int
    videos: int
    judgements: int
    rewrites: int
    models: tuple[str, ...]


def gather_prompts(config: OptimizeConfig, positions: Positions, text: str | None, file: Path | None, limit: int | None) -> list[Prompt]:
    """The prompts of a run: one sentence, a file, or what the configuration names, in this order of precedence."""
    if text is not None:
        if not text.strip():
            raise InputError("--prompt: the prompt is empty")
        prompts = [Prompt.of(text)]
    elif file is not None:
        prompts = load_prompts(file, config.text_column, config.rule_column)
    elif config.prompts is not None:
        prompts = load_prompts(positions.folder / config.prompts, config.text_column, config.rule_column)
    else:
        raise InputError("no prompts: give --prompt TEXT, --prompts FILE, or prompts: in the configuration")
    return prompts[:limit]


def plan(config: OptimizeConfig, prompts: Sequence[Prompt]) -> Plan:
    """Upper bounds of what a run costs; imports nothing heavy."""
    first = 2 if config.augmenter else 1
    candidates = len(prompts) * (first + config.loop.rounds)
    videos = candidates * config.loop.seeds
    if config.budget.max_videos is not None:
        videos = min(videos, config.budget.max_videos)
    return Plan(
        prompts=len(prompts),
        candidates=candidates,
        videos=videos,
        judgements=videos * len(config.judges),
        rewrites=len(prompts) * config.loop.rounds,
        models=tuple(sorted(set(model_references(config.model_dump())))),
    )


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
    return plan(config, gather_prompts(config, positions, prompt, prompts, limit))


def check(path: Path, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> OptimizeConfig:
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
    listeners: Callable[[Plan], Sequence[OnCandidate]] = lambda plan: (),
) -> Outcome:
    """Optimise prompts in a closed loop and leave the finished run in ``out``; continues a run that is already there.

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
        listeners: makes what is told of each new candidate, from the plan.
    """
    config, positions = load_optimize(path, overrides, allow)
    wanted = gather_prompts(config, positions, prompt, prompts, limit)
    parts = build_optimize(config, positions, allow)
    _check_lengths(parts, wanted, prompts or positions.file)
    values = resolved(config)
    first = "LOCAL_RANK" not in os.environ  # a process that Lightning started for another device runs this line, too
    if first:
        out = prepare(out, values, wanted, config_file=path, command=command, allow=allow, force=force)
    if not first:
        return run_loop(config, parts, wanted, out, retry_errors=retry_errors)
    with locked(out):
        outcome = run_loop(
            config, parts, wanted, out, retry_errors=retry_errors, listeners=listeners(plan(config, wanted))
        )
        finish(outcome, config)
    return outcome


def run_loop(
    config: OptimizeConfig,
    parts: OptimizeParts,
    prompts: Sequence[Prompt],
    folder: Path,
    *,
    rounds: int | None = None,
    retry_errors: bool = False,
    listeners: Sequence[OnCandidate] = (),
) -> Outcome:
    """Run the loop under a Lightning Trainer and read the trajectories back from the candidate logs."""
    from lightning import Trainer

    from rapo_lightning.sspo.data import PromptData, check_ranks
    from rapo_lightning.sspo.log import read_all
    from rapo_lightning.sspo.module import SSPOModule
    from rapo_lightning.sspo.options import LoopOptions, Parts
    from rapo_lightning.sspo.progress import extend
    from rapo_lightning.tracking import Tracker, build_logger

    section = config.loop
    options = LoopOptions(
        rounds=section.rounds if rounds is None else rounds,
        patience=section.patience,
        good_enough=section.good_enough,
        seeds=section.seeds,
        start=section.start,
        fresh_seeds=section.fresh_seeds,
        run_seed=config.seed,
    )
    logger = build_logger(config.logger, folder)
    with stop_signals() as stop_requested:
        trainer = Trainer(**{**_TRAINER, **config.trainer, "logger": False, "default_root_dir": str(folder)})
        check_ranks(len(prompts), trainer.world_size)
        told = [*listeners, *([Tracker(logger).on_candidate] if logger and trainer.is_global_zero else [])]
        module = SSPOModule(
            folder,
            Parts(
                generator=parts.generator,
                judges=dict(parts.judges),
                reward=parts.reward,
                selection=parts.selection,
                rewriter=parts.rewriter,
                augmenter=parts.augmenter,
            ),
            options,
            max_videos=config.budget.max_videos,
            max_hours=config.budget.max_hours,
            retry_errors=retry_errors,
            on_candidate=told,
            stop_requested=stop_requested,
        )
        trainer.predict(module, PromptData(prompts, config.batch_size), return_predictions=False)
        trainer.strategy.barrier("the loop has ended")
        interrupted = stop_requested()
    found = read_all(folder)
    trajectories = tuple(
        extend(Trajectory(prompt=prompt), found.get(prompt.id, []), parts.selection) for prompt in prompts
    )
    failed = tuple(t.prompt.id for t in trajectories if t.best is None)
    return Outcome(folder=folder, trajectories=trajectories, failed=failed, interrupted=interrupted)


_TRAINER: Mapping[str, Any] = {
    "accelerator": "auto",
    "devices": 1,
    "enable_progress_bar": False,
    "enable_checkpointing": False,
    "enable_model_summary": False,
    "use_distributed_sampler": True,
}


def finish(outcome: Outcome, config: OptimizeConfig) -> None:
    """Write what is derived from the candidate logs: best prompts, manifest, posters, totals and the report."""
    from rapo_lightning.report import write as write_report

    folder = outcome.folder
    rows, manifest = [], []
    for trajectory in outcome.trajectories:
        user = next((c for c in trajectory.candidates if c.origin == "user"), None)
        best = trajectory.best
        rows.append(
            {
                "id": trajectory.prompt.id,
                "original": trajectory.prompt.text,
                "best": best.text if best else trajectory.prompt.text,
                "candidate": best.id if best else None,
                "reward_before": user.reward if user else None,
                "reward_after": best.reward if best else None,
                "rounds": max((c.round for c in trajectory.candidates), default=0),
                "failed": best is None,
            }
        )
        for candidate in {c.id: c for c in (user, best) if c}.values():
            for video in candidate.videos:
                manifest.append(
                    {
                        "video": _relative(video.path, folder),
                        "prompt_id": trajectory.prompt.id,
                        "prompt": trajectory.prompt.text,
                        "optimized_prompt": candidate.text,
                        "optimized": candidate is best and candidate is not user,
                        "seed": video.seed,
                    }
                )
    _write_posters(outcome)
    records.write_text_atomic(folder / "best.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    lines = "".join(" ".join(str(row["best"]).split()) + "\n" for row in rows)
    records.write_text_atomic(folder / "best_prompts.txt", lines)
    records.write_text_atomic(
        folder / "manifest.jsonl", "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in manifest)
    )
    candidates = [c for t in outcome.trajectories for c in t.candidates]
    update_run(
        folder,
        status="interrupted" if outcome.interrupted else "done",
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        totals={
            "prompts": len(outcome.trajectories),
            "failed": len(outcome.failed),
            "candidates": len(candidates),
            "videos": sum(len(c.videos) for c in candidates),
            "seconds": round(sum(c.cost.seconds for c in candidates), 1),
            "rewriter_tokens": sum(c.cost.tokens for c in candidates),
        },
        seed=config.seed,
    )
    write_report(folder)


@contextmanager
def stop_signals() -> Iterator[Callable[[], bool]]:
    """While this lasts, the first SIGTERM or SIGUSR1 asks the run to end after the round under way; a second ends it at once."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    names = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name)]
    before = {name: signal.getsignal(name) for name in names}

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise SystemExit(75)
        asked.set()

    for name in names:
        signal.signal(name, ask)
    try:
        yield asked.is_set
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)


def report(folder: Path) -> Path:
    """Write ``report.html`` of a finished or interrupted run again, from its records."""
    from rapo_lightning.report import write as write_report

    if not read_run(folder):
        raise RunFolderError(f"{folder}: no run.json there; is it a run folder?")
    return write_report(folder)


def _check_lengths(parts: OptimizeParts, prompts: Sequence[Prompt], source: Path | str) -> None:
    if not isinstance(parts.generator, LimitsText):
        return
    over = parts.generator.tokens_over_limit([prompt.text for prompt in prompts])
    problems = [
        f"{source}: prompt {prompt.id}: {extra} tokens longer than the video model's text encoder reads: "
        f"{prompt.text[:60]}{'...' if len(prompt.text) > 60 else ''}"
        for prompt, extra in zip(prompts, over, strict=True)
        if extra
    ]
    if problems:
        raise ConfigError(problems)


def _write_posters(outcome: Outcome) -> None:
    from rapo_lightning.errors import VideoError
    from rapo_lightning.video import poster

    for trajectory in outcome.trajectories:
        for candidate in trajectory.candidates:
            for video in candidate.videos:
                picture = Path(video.path).with_suffix(".webp")
                if not picture.exists():
                    try:
                        poster(video.path, picture)
                    except VideoError:
                        continue  # the report says that the video cannot be read


def _relative(path: str, folder: Path) -> str:
    return Path(os.path.relpath(path, folder.absolute())).as_posix()


def model_references(value: Any) -> Iterator[str]:
    """Every ``model`` or ``adapter`` named anywhere in a configuration."""
    if isinstance(value, dict):
        for name, item in value.items():
            if name in ("model", "adapter") and isinstance(item, str):
                yield item
            else:
                yield from model_references(item)
