"""LPIPS (arXiv 1801.03924) on AlexNet: how far apart two pictures are to people.

AlexNet's weights are torchvision's file, read without torchvision; the weights of the layers are LPIPS's own, version 0.1,
which torchmetrics ships (BSD-2-Clause).
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from evaluation.backbones.base import Backbone
from evaluation.errors import WeightsError
from evaluation.weights.load import fill, read_state

__all__ = ["SMALLEST_SIDE", "Lpips"]

#: Sides below it leave AlexNet's last layers without a pixel.
SMALLEST_SIDE = 31
#: What pictures in -1..1 are shifted and scaled by, the authors' constants.
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


@final
class Lpips(Backbone):
    """``distances(...)`` of pictures, by features that are looked at once a picture."""

    def features(self, frames_TCHW: Tensor) -> list[Tensor]:
        """Five layers' features (T, C, h, w), of length 1 at every place, of frames in -1..1."""
        moved = frames_TCHW.to(self.device)
        moved = (moved - moved.new_tensor(SHIFT).view(3, 1, 1)) / moved.new_tensor(SCALE).view(3, 1, 1)
        return list(self._layers(moved))

    def distances(self, frames_TCHW: Tensor) -> Tensor:
        """LPIPS of every frame and the next, (T - 1,), of frames in -1..1; 0 is alike."""
        total = frames_TCHW.new_zeros(len(frames_TCHW) - 1).to(self.device)
        for layer, weight in zip(self.features(frames_TCHW), self.model.weights):
            total = total + (layer.diff(dim=0).square() * weight).sum(1).mean((1, 2))
        return total

    def _layers(self, moved: Tensor) -> Iterator[Tensor]:
        for module in self.model.features:
            moved = module(moved)
            if isinstance(module, nn.ReLU):
                yield moved / (moved.square().sum(1, keepdim=True) + 1e-8).sqrt()

    def _load(self) -> nn.Module:
        state = {name: tensor for name, tensor in read_state(self.path).items() if name.startswith("features.")}
        model = _AlexNet()
        fill(model, state | {f"weights.{number}": weight for number, weight in enumerate(_layer_weights())}, self.path)
        return model


class _AlexNet(nn.Module):
    """The convolutions of torchvision's AlexNet, under its names, and LPIPS's weights (1, C, 1, 1) of its five layers."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (64, 192, 384, 256, 256)
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(),
        )  # fmt: skip
        self.weights = nn.ParameterList(nn.Parameter(torch.empty(1, size, 1, 1)) for size in sizes)


def _layer_weights() -> list[Tensor]:
    """LPIPS's own weights, from the file that torchmetrics ships.

    Raises:
        WeightsError: this torchmetrics does not ship them.
    """
    package = find_spec("torchmetrics")
    root = Path(package.origin).parent if package is not None and package.origin else Path()
    file = root / "functional" / "image" / "lpips_models" / "alex.pth"
    state = read_state(file)
    names = [f"lin{number}.model.1.weight" for number in range(5)]
    if sorted(state) != names:
        raise WeightsError(f"{file}: not the layer weights of LPIPS on AlexNet")
    return [state[name] for name in names]
