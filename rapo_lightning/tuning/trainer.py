"""The Lightning Trainer of a training: what a configuration says of it, and what accompanies it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, Trainer
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import LambdaCallback, ModelCheckpoint

from rapo_lightning.errors import ConfigError
from rapo_lightning.positions import Positions
from rapo_lightning.sections_train import TrainConfig
from rapo_lightning.tuning.callbacks import KeepState, Patience, Progressed, Tell
from rapo_lightning.tuning.checkpoints import WholeCheckpoints
from rapo_lightning.tuning.sharding import Sharded

__all__ = ["make_trainer"]

_DEFAULTS: Mapping[str, Any] = {
    "accelerator": "auto",
    "devices": 1,
    "log_every_n_steps": 10,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def make_trainer(
    config: TrainConfig,
    folder: Path,
    *,
    steps: int,
    interval: int,
    validates: bool,
    stop: Callable[[], bool],
    take_over: Callable[[Trainer], None],
    logger: Any,
    callbacks: Sequence[Callback],
    listen: Callable[[Progressed], None] | None,
    positions: Positions,
) -> Trainer:
    """A Trainer for ``steps`` steps that keeps its state now and then and, if it ``validates``, every ``interval``, the best one.

    ``trainer.strategy`` may be any of Lightning's, or ``fsdp2``: weights spread over all devices.

    Checkpoints lie in ``folder/checkpoints``: ``step-N.ckpt`` to go on from, ``best-N.ckpt`` of the least validation loss.

    Raises:
        ConfigError: Lightning does not accept the ``trainer`` section, or it wants weights of less than 32 bits.
    """
    checkpoints = folder / "checkpoints"
    names: dict[str, Any] = {"dirpath": checkpoints, "auto_insert_metric_name": False, "enable_version_counter": False}
    own: list[Callback] = [
        LambdaCallback(on_train_start=lambda trainer, module: take_over(trainer)),
        # The first one's path is what comes back from forked processes.
        *([ModelCheckpoint(filename="best-{step}", monitor="validation_loss", **names)] if validates else ()),
        *([Patience(config.patience)] if config.patience is not None else ()),
        KeepState(stop, checkpoints, config.save_every),
        *callbacks,
    ]
    if listen is not None:
        own.append(Tell(listen))
    plugins = config.trainer.get("plugins") or []
    if not isinstance(plugins, list):
        raise ConfigError(positions.problem(("trainer", "plugins"), f"must be a list, not {plugins!r}"))
    if "spawn" in str(config.trainer.get("strategy")):
        raise ConfigError(positions.problem(("trainer", "strategy"), "starts processes without what is in memory; use ddp_fork"))
    given = {
        **_DEFAULTS,
        "default_root_dir": str(folder),
        **{name: value for name, value in config.trainer.items() if name != "plugins"},
    }
    if str(given.get("precision", "32-true")) in ("16-true", "bf16-true", "transformer-engine", "transformer-engine-float16"):
        problem = "would hold the adapter in less than 32 bits; use bf16-mixed, and dtype: bfloat16 for the base"
        raise ConfigError(positions.problem(("trainer", "precision"), problem))
    every = given["log_every_n_steps"]
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ConfigError(
            positions.problem(("trainer", "log_every_n_steps"), f"must be a whole number of at least 1, not {every!r}")
        )
    if not validates:
        given["limit_val_batches"] = 0
    if given.get("strategy") == "fsdp2":
        nodes = given.get("num_nodes", 1)
        if isinstance(nodes, bool) or not isinstance(nodes, int) or nodes < 1:
            raise ConfigError(positions.problem(("trainer", "num_nodes"), f"must be a whole number of at least 1, not {nodes!r}"))
        processes = _devices(given["devices"]) * nodes
        given["strategy"] = Sharded(processes)
    given["log_every_n_steps"] = min(steps, every)
    try:
        return Trainer(
            **given,
            max_epochs=1,
            gradient_clip_val=config.optimizer.clip,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
            val_check_interval=interval,
            logger=logger,
            callbacks=own,
            plugins=[*plugins, WholeCheckpoints()],
        )
    except (MisconfigurationException, ImportError, TypeError, ValueError) as error:
        raise ConfigError(positions.problem(("trainer",), " ".join(str(error).split()))) from error


def _devices(given: Any) -> int:
    """How many devices of one node ``trainer.devices`` means."""
    if isinstance(given, list):
        return len(given)
    if isinstance(given, int | str) and str(given).isdigit():
        return int(given)
    return max(1, torch.cuda.device_count())
