"""A logger that never ends a training: the first error of the one it passes everything on to is a warning, then silence."""

from __future__ import annotations

import logging
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast, final

from lightning.pytorch.loggers import Logger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from rapo_lightning import tracking_wandb
from rapo_lightning.types import Candidate

__all__ = ["TolerantLogger"]

log = logging.getLogger(__name__)


@final
class TolerantLogger(Logger):
    """Passes everything on to ``logger``; to W&B some videos of checks and the finished adapter, too.

    Args:
        logger: any Lightning logger.
        max_videos: how many videos a check uploads at most.
    """

    def __init__(self, logger: Logger, max_videos: int = 4) -> None:
        super().__init__()
        self._logger: Logger | None = logger
        self._first, self._max_videos = logger, max_videos

    @property
    def name(self) -> str | None:
        return cast("str | None", self._attempt(lambda logger: logger.name))

    @property
    def version(self) -> int | str | None:
        return cast("int | str | None", self._attempt(lambda logger: logger.version))

    @property
    def save_dir(self) -> str | None:
        return cast("str | None", self._attempt(lambda logger: logger.save_dir))

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        self._attempt(lambda logger: logger.log_metrics(dict(metrics), step))

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        self._attempt(lambda logger: logger.log_hyperparams(params, *args, **kwargs))

    @rank_zero_only
    def log_texts(self, candidates: Sequence[Candidate], step: int) -> None:
        """What was written and rendered at a validation; of interest to W&B alone."""
        self._attempt(
            lambda logger: (
                tracking_wandb.log_texts(logger, candidates, step=step, max_videos=self._max_videos)
                if isinstance(logger, WandbLogger)
                else None
            )
        )

    @rank_zero_only
    def log_adapter(self, folder: Path, name: str) -> None:
        """The finished adapter as an artifact of W&B."""
        self._attempt(
            lambda logger: tracking_wandb.log_adapter(logger, folder, name) if isinstance(logger, WandbLogger) else None
        )

    @rank_zero_only
    def save(self) -> None:
        self._attempt(lambda logger: logger.save())

    @rank_zero_only
    def finalize(self, status: str) -> None:
        self._attempt(lambda logger: logger.finalize(status))

    @rank_zero_only
    def close(self) -> None:
        """End W&B's run, which Lightning leaves open."""
        self._attempt(lambda logger: logger.experiment.finish() if isinstance(logger, WandbLogger) else None)

    def _attempt(self, action: Callable[[Logger], Any]) -> Any:
        if self._logger is None:
            return None
        try:
            return action(self._logger)
        except Exception as error:  # Whatever a logger raises, the training is worth more than its mirror.
            log.warning("tracking with %s has stopped (%s: %s)", type(self._first).__name__, type(error).__name__, error)
            self._logger = None
            return None
