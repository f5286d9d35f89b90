"""Mirrors a run to a Lightning logger: CSV (the default), Weights & Biases or TensorBoard. The run folder stays the record.

    logger = build_logger("csv", folder)
    tracker = Tracker(logger)
    SSPOModule(folder, parts, on_candidate=[tracker.on_candidate])

Tracking never ends a run: the first error of a logger (no network, disk full, package missing) is one warning, then silence.
The Trainer of the loop gets ``logger=False``, as it would let such errors through.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

from lightning.pytorch import loggers
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from rapo_lightning import tracking_wandb
from rapo_lightning.config import did_you_mean
from rapo_lightning.errors import ConfigError
from rapo_lightning.positions import Positions
from rapo_lightning.sections import Part
from rapo_lightning.sspo.progress import failed
from rapo_lightning.types import Candidate, Trajectory

__all__ = ["Tracker", "build_logger", "check_logger", "run_id"]

log = logging.getLogger(__name__)

LOGGERS = {f"lightning.pytorch.loggers.{name}": name for name in ("CSVLogger", "TensorBoardLogger", "WandbLogger")}
#: What Lightning's TensorBoard logger hands on to its SummaryWriter.
SUMMARY_WRITER = {"comment", "filename_suffix", "flush_secs", "max_queue", "purge_step"}


def check_logger(spec: str | Part | None, positions: Positions) -> None:
    """Raise `ConfigError` for a logger that is not one of `LOGGERS`, or an argument that it does not take. Makes nothing."""
    if not isinstance(spec, Part):
        return
    name = LOGGERS.get(spec.class_path)
    if name is None:
        raise ConfigError(positions.problem(("logger", "class_path"), f"{spec.class_path!r} is none of {', '.join(LOGGERS)}"))
    known = _arguments(name)
    problems = [
        positions.problem(("logger", "init_args", argument), f"no argument of {name}{did_you_mean(argument, known)}")
        for argument in spec.init_args
        if known and argument not in known
    ]
    if problems:
        raise ConfigError(problems)


def build_logger(
    spec: str | Part | Mapping[str, Any] | None, run_folder: str | Path, *, run_id: str | None = None
) -> Logger | None:
    """The logger of a configuration, writing into the run folder; nothing is sent or written before its first use.

    Args:
        spec: ``csv``; a ``class_path`` (one of `LOGGERS`) with ``init_args``; None: no logger.
        run_folder: CSV goes to ``logs/version_N`` in it (a session has its own), the others take it as their ``save_dir``.
        run_id: of the W&B run to go on with; see `run_id`.

    W&B keeps its files in the run folder unless ``WANDB_DIR``, ``WANDB_DATA_DIR`` or ``WANDB_CACHE_DIR`` say otherwise, and is
    offline where no key is configured. A logger that cannot be made, e.g. as its package is missing, is replaced by CSV.

    Raises:
        ConfigError: another logger, or arguments that it does not take.
    """
    if spec is None:
        return None
    folder = Path(run_folder).absolute()
    default = CSVLogger(folder, name="logs")
    if spec == "csv":
        return default
    if isinstance(spec, str):
        raise ConfigError(f"logger: {spec!r} is neither csv nor a class_path")
    part = spec if isinstance(spec, Part) else Part.model_validate(spec)
    name = LOGGERS.get(part.class_path)
    if name is None:
        raise ConfigError(f"logger: {part.class_path!r} is none of {', '.join(LOGGERS)}")
    arguments = dict(part.init_args)
    try:
        if name == "WandbLogger":
            return tracking_wandb.make(arguments, folder, run_id)
        made: Logger = getattr(loggers, name)(**{"save_dir": str(folder), "name": "logs"} | arguments)
        return made
    except TypeError as error:
        raise ConfigError(f"logger: {error}") from error
    except Exception as error:  # Lightning and W&B raise what they like; tracking is no reason not to run.
        log.warning("%s cannot be used (%s); tracking to CSV instead", name, error)
        return default


def run_id(logger: Logger | None) -> str | None:
    """The id of a logger's W&B run, known before the run starts; a resumed session that passes it goes on with that run."""
    return str(logger.version) if isinstance(logger, WandbLogger) else None


@final
class Tracker:
    """Logs what a run of the loop finds, against the videos it has spent.

    Args:
        logger: any Lightning logger; None turns tracking off.
        recorded: candidates of earlier sessions by prompt id (`rapo_lightning.sspo.log.read_all`), so that counts go on.
        folder: the run folder, whose records become a W&B artifact; None: they do not.
        adapters: folders of the adapters that the run uses, each a W&B artifact, too.
        max_videos: how many videos `finish` uploads at most.
        clock: seconds.

    Only the process of rank 0 logs, live figures from its own share of the prompts; `finish` speaks of the whole run.

    Scalars: ``reward`` of the candidate, ``best_reward_mean`` over prompts with a score, ``videos_generated``,
    ``videos_per_minute`` of this session, ``failures`` (candidates of which anything failed). The step is ``videos_generated``.
    """

    def __init__(
        self,
        logger: Logger | None,
        *,
        recorded: Mapping[str, Sequence[Candidate]] | None = None,
        folder: str | Path | None = None,
        adapters: Sequence[str | Path] = (),
        max_videos: int = 8,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.logger = logger
        self.folder = None if folder is None else Path(folder)
        self.adapters = tuple(map(Path, adapters))
        self.max_videos = max_videos
        earlier = [candidate for candidates in (recorded or {}).values() for candidate in candidates]
        self._videos = self._videos_before = sum(len(candidate.videos) for candidate in earlier)
        self._failures = sum(map(failed, earlier))
        self._best: dict[str, float] = {}
        for candidate in earlier:
            if candidate.reward is not None:
                self._best[candidate.prompt_id] = max(candidate.reward, self._best.get(candidate.prompt_id, candidate.reward))
        self._clock = clock
        self._started = clock()

    @property
    def run_id(self) -> str | None:
        """See `run_id`."""
        return run_id(self.logger)

    def on_candidate(self, candidate: Candidate, trajectory: Trajectory) -> None:
        """Log a new candidate; to be given to `SSPOModule`."""
        self._videos += len(candidate.videos)
        self._failures += failed(candidate)
        if trajectory.best is not None and trajectory.best.reward is not None:
            self._best[candidate.prompt_id] = trajectory.best.reward
        scalars = {**self._totals(), "failures": self._failures}
        if candidate.reward is not None:
            scalars["reward"] = candidate.reward
        minutes = (self._clock() - self._started) / 60
        if minutes > 0:
            scalars["videos_per_minute"] = (self._videos - self._videos_before) / minutes
        self._attempt(lambda logger: _log(logger, scalars, self._videos))

    def finish(self, trajectories: Sequence[Trajectory]) -> None:
        """Log the run's last figures; to W&B a table, the best videos of the first prompts and the artifacts, too.

        ``trajectories``: every prompt of the run, whichever process worked on it. The logger is closed.
        """
        candidates = [candidate for trajectory in trajectories for candidate in trajectory.candidates]
        self._videos = sum(len(candidate.videos) for candidate in candidates)
        self._best = {t.prompt.id: t.best.reward for t in trajectories if t.best and t.best.reward is not None}
        scalars = {**self._totals(), "failures": sum(map(failed, candidates))}
        self._attempt(lambda logger: self._close(logger, scalars, trajectories))

    def _totals(self) -> dict[str, float]:
        mean = {"best_reward_mean": sum(self._best.values()) / len(self._best)} if self._best else {}
        return {"videos_generated": self._videos, **mean}

    def _close(self, logger: Logger, scalars: dict[str, float], trajectories: Sequence[Trajectory]) -> None:
        try:
            _log(logger, scalars, self._videos)
            if isinstance(logger, WandbLogger):
                tracking_wandb.log_results(logger, trajectories, step=self._videos, max_videos=self.max_videos)
                tracking_wandb.log_artifacts(logger, trajectories, folder=self.folder, adapters=self.adapters)
        finally:
            logger.finalize("success")
            if isinstance(logger, WandbLogger):
                logger.experiment.finish()

    def _attempt(self, action: Callable[[Logger], None]) -> None:
        if self.logger is None or getattr(rank_zero_only, "rank", 0) != 0:
            return
        try:
            action(self.logger)
        except Exception as error:  # Whatever a logger raises, the run is worth more than its mirror.
            log.warning("tracking with %s has stopped (%s: %s)", type(self.logger).__name__, type(error).__name__, error)
            self.logger = None


def _log(logger: Logger, scalars: dict[str, float], step: int) -> None:
    logger.log_metrics(scalars, step)
    logger.save()


def _arguments(name: str) -> set[str]:
    """The arguments of a logger; none where it hands on what it does not know to a package that is not here."""
    own = {key for key, p in inspect.signature(getattr(loggers, name)).parameters.items() if p.kind is not p.VAR_KEYWORD}
    if name == "WandbLogger":
        further = tracking_wandb.init_arguments()
        return own | further if further else set()
    return own | SUMMARY_WRITER if name == "TensorBoardLogger" else own
