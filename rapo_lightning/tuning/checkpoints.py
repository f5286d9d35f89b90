"""Checkpoints as files: written whole or not at all, and found again."""

from __future__ import annotations

import logging
import os
import re
import zipfile
from pathlib import Path
from typing import Any, final

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from rapo_lightning.errors import WeightsError

__all__ = ["WholeCheckpoints", "latest", "out_of_patience", "step_of"]

log = logging.getLogger(__name__)


@final
class WholeCheckpoints(TorchCheckpointIO):
    """Writes beside the target, syncs, and renames; Lightning's own way leaves half a file when it is killed amid a copy."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        aside = target.with_name(f".{target.name}.part")
        try:
            with aside.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            aside.replace(target)
        finally:
            aside.unlink(missing_ok=True)


def latest(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; one that is torn is passed over with a warning.

    Raises:
        WeightsError: there are some, and all are torn.
    """
    found = [path for path in folder.glob("checkpoints/step-*.ckpt") if re.fullmatch(r"step-\d+", path.stem)]
    for path in sorted(found, key=step_of, reverse=True):
        if zipfile.is_zipfile(path):
            return path
        log.warning("%s: is not whole; going on from an earlier one", path)
    if found:
        raise WeightsError(f"{folder / 'checkpoints'}: none of its checkpoints is whole; delete them to begin anew")
    return None


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written, by its name."""
    return int(checkpoint.stem.rpartition("-")[2])


def out_of_patience(checkpoint: Path) -> bool:
    """Whether the training of this state ended as its validation loss did not get better any more (`callbacks.Patience`)."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return any(one["wait_count"] >= one["patience"] for one in state["callbacks"].values() if "wait_count" in one)
