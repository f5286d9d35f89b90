"""The frame between two frames: the protocol, and two that keep it: the user's own AMT, and flow halved and warped.

AMT is neither bundled nor ported: its licence (CC BY-NC 4.0) is not ours. Who may use it names a clone of the authors' code
and their weights: ``--weights amt_code=FOLDER --weights amt_s=amt-s.pth``; that code then runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, final

import torch
from torch import Tensor

from evaluation.backbones.base import Backbone
from evaluation.backbones.raft import Flow
from evaluation.errors import WeightsError
from evaluation.video.warp import warp
from evaluation.weights.load import fill, read_state

__all__ = ["Amt", "Interpolator", "RaftWarp"]

#: Of AMT-S, as its authors trained it (their cfgs/AMT-S.yaml).
AMT_S = {"corr_radius": 3, "corr_lvls": 4, "num_flows": 3}
#: Packages that the authors' code imports by these names from its own folder.
_PACKAGES = ("networks", "utils")


class Interpolator(Protocol):
    """The frame halfway between two frames, whoever computes it."""

    device: torch.device

    def interp(self, img0: Tensor, img1: Tensor) -> Tensor:
        """(B, 3, H, W) float, of two such batches of RGB frames in 0..1 whose sides are multiples of 16.

        Every frame of the answer depends on its own two frames only.

        Raises:
            FloatingPointError: there is no such frame; an answer that is not finite counts as that, too.
        """
        ...


@final
class RaftWarp:
    """`Interpolator`: each frame warped halfway along the flow from the other one to it, and the mean of both.

    Args:
        backbone: the flow.
    """

    def __init__(self, backbone: Flow) -> None:
        self.backbone = backbone
        self.device = backbone.device

    def interp(self, img0: Tensor, img1: Tensor) -> Tensor:
        """As `Interpolator.interp`.

        Raises:
            FloatingPointError: the flow is not finite.
        """
        first, last = img0.to(self.device), img1.to(self.device)
        count = len(first)
        follow = torch.equal(first[1:], last[:-1])  # one video's frames: each is looked at once
        frames = torch.cat([first, last[-1:] if follow else last])
        ways = [(number, number + (1 if follow else count)) for number in range(count)]
        flow = self.backbone.flow(2 * frames - 1, [*ways, *(way[::-1] for way in ways)])
        if not bool(torch.isfinite(flow).all()):
            raise FloatingPointError("the optical flow is not finite")
        there, back = flow[:count], flow[count:]
        return (warp(first, back / 2) + warp(last, there / 2)) / 2


@final
class Amt(Backbone):
    """`Interpolator` by AMT-S (arXiv 2304.09790): the user's clone of the authors' code with the user's weights.

    Args:
        path: ``amt-s.pth``.
        code: the clone's folder, the one that holds ``networks/AMT-S.py``. Its code is imported, that is run, at the first use.
        device: where it runs.
    """

    def __init__(self, path: str | Path, code: str | Path, *, device: str | torch.device = "cpu") -> None:
        super().__init__(path, device=device)
        self.code = Path(code)

    def interp(self, img0: Tensor, img1: Tensor) -> Tensor:
        """As `Interpolator.interp`.

        Raises:
            WeightsError: the folder is no clone of AMT, or the weights are another network's.
        """
        half = torch.full((len(img0), 1, 1, 1), 0.5, device=self.device)
        first, last = img0.to(self.device), img1.to(self.device)
        middle: Tensor = self.model(first, last, half, scale_factor=1.0, eval=True)["imgt_pred"]
        return middle

    def _load(self) -> Any:
        state = read_state(self.path, "state_dict")
        if not (self.code / "networks" / "AMT-S.py").is_file():
            raise WeightsError(f"{self.code}: no clone of AMT: it has no networks/AMT-S.py")
        with _imported_from(self.code):
            try:
                model = import_module("networks.AMT-S").Model(**AMT_S)
            except (ImportError, AttributeError, TypeError) as error:
                raise WeightsError(f"{self.code}: AMT's code does not load: {error}") from error
        fill(model, state, self.path)
        return model


@contextmanager
def _imported_from(folder: Path) -> Iterator[None]:
    """Imports look into ``folder`` first; modules of `_PACKAGES` are its own within, and as they were afterwards."""
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in _PACKAGES}
    for name in before:
        del sys.modules[name]
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in [name for name in sys.modules if name.partition(".")[0] in _PACKAGES]:
            del sys.modules[name]
        sys.modules.update(before)
