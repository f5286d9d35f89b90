"""``rapo doctor``: what this machine has, what is missing, and how to get it."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from rapo_lightning.errors import RapoError
from rapo_lightning.weights import locate

__all__ = ["Finding", "findings"]

_PACKAGES = (
    "torch",
    "lightning",
    "diffusers",
    "transformers",
    "peft",
    "sentence-transformers",
    "torch-geometric",
    "torchmetrics",
)
_OPTIONAL = {
    "av": "videos are written with OpenCV's mp4v instead: pip install av",
    "wandb": "logger: csv and tensorboard still work: pip install wandb",
    "torchvision": "Qwen-VL frames are prepared by the suite's own code: pip install torchvision",
}
_SHAPES = ("video", "judge", "language", "encoder")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at; ``optional`` findings are no fault when they are not ``ok``."""

    what: str
    says: str
    ok: bool = True
    optional: bool = False


def findings() -> list[Finding]:
    """Everything that is worth knowing before a run."""
    found = [Finding(what="python", says=sys.version.split()[0], ok=sys.version_info >= (3, 11))]
    found += [_package(name) for name in _PACKAGES]
    found += [_optional(name, says) for name, says in _OPTIONAL.items()]
    found.append(_device())
    found += [_weights(name) for name in _SHAPES]
    found += _dimensions()
    free = shutil.disk_usage(Path.cwd()).free / 2**30
    found.append(Finding(what="disk", says=f"{free:.1f} GiB free here", ok=free > 1))
    offline = os.environ.get("HF_HUB_OFFLINE", "") not in ("", "0")
    found.append(Finding(what="model hub", says="off (HF_HUB_OFFLINE)" if offline else "asked when weights are missing here"))
    return found


def _dimensions() -> list[Finding]:
    """Each dimension of VBench's: whether it can be measured here, under which name, or what the nearest way to it lacks."""
    from evaluation.dimensions import DIMENSIONS
    from evaluation.ready import ready

    ways = ready()
    found = []
    for name in DIMENSIONS:
        mine = sorted((one for one in ways if one.id.partition(".")[0] == name), key=lambda one: (len(one.lacks), one.id))
        can = [one.id for one in mine if not one.lacks]
        nearest = mine[0]
        lacks = ", ".join(line.partition(";")[0] for line in nearest.lacks)
        which = "" if nearest.id == name else f"{nearest.id} "
        says = f"can be measured: {', '.join(can)}" if can else f"{which}lacks {lacks}"
        found.append(Finding(what=name, says=" ".join(says.split()), ok=bool(can), optional=True))
    return found


def _package(name: str) -> Finding:
    try:
        return Finding(what=name, says=metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(what=name, says=f"missing: pip install {name}", ok=False)


def _optional(name: str, says: str) -> Finding:
    if find_spec(name) is None:
        return Finding(what=name, says=f"not installed; {says}", ok=False, optional=True)
    try:
        importlib.import_module(name)
    except Exception as error:  # a build that does not match torch raises all sorts of errors
        return Finding(what=name, says=f"installed but does not import ({error}): pip uninstall {name}", ok=False)
    return Finding(what=name, says="imports")


def _device() -> Finding:
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return Finding(what="devices", says=", ".join(names))
    return Finding(what="devices", says=f"CPU, {torch.get_num_threads()} threads")


def _weights(name: str) -> Finding:
    what = f"ckpt/shapes/{name}"
    try:
        locate(what, Path.cwd())
    except RapoError:
        return Finding(what=what, says=f"missing, though part of the repository: git checkout -- {what}", ok=False)
    return Finding(what=what, says="there")
