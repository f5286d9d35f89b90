"""Checkpoints as files: written whole or not at all, and found again."""

from __future__ import annotations

import logging
import os
import re
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, final

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from rapo_lightning.errors import WeightsError

__all__ = ["WholeCheckpoints", "kept", "latest", "out_of_patience", "step_of"]

#: What a state holds that a training can go on from.
_KEYS = {"global_step", "loops", "optimizer_states", "state_dict"}

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
    """The newest whole checkpoint of a run; one that is torn, or no checkpoint, is passed over with a warning.

    Raises:
        WeightsError: there are some, and all are torn.
    """
    found = kept(folder / "checkpoints", "step")
    for path in reversed(found):
        told = path.stat()
        if _is_whole(path, told.st_mtime_ns, told.st_size):
            return path
        log.warning("%s: is not whole; going on from an earlier one", path)
    if found:
        raise WeightsError(f"{folder / 'checkpoints'}: none of its checkpoints is whole; delete them to begin anew")
    return None


def kept(folder: Path, kind: str) -> list[Path]:
    """The checkpoints ``kind-N.ckpt`` of a folder, by their steps; other files are not ours."""
    found = [path for path in folder.glob(f"{kind}-*.ckpt") if re.fullmatch(rf"{kind}-[0-9]+", path.stem)]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The step after which a checkpoint was written, by its name."""
    return int(checkpoint.stem.rpartition("-")[2])


@lru_cache(maxsize=8)
def _is_whole(path: Path, changed: int, size: int) -> bool:
    """Whether a file, as it was then, is a checkpoint without a wrong bit. Weights are not held in memory for that."""
    try:
        with zipfile.ZipFile(path) as file:
            if file.testzip() is not None:
                return False
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except UnpicklingError:
        return True  # its objects are refused by name where it is read
    except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError):
        return False
    return isinstance(state, dict) and state.keys() >= _KEYS


def out_of_patience(checkpoint: Path) -> bool:
    """Whether the training of this state ended as its validation loss did not get better any more (`callbacks.Patience`)."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    return any(one["wait_count"] >= one["patience"] for one in state["callbacks"].values() if "wait_count" in one)
