"""What all backbones share: weights load at the first use, once, without gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

__all__ = ["Backbone"]


class Backbone(ABC):
    """A network and where its weights are; abstract.

    Args:
        path: a file, or a model folder.
        device: where it runs.
        dtype: float32, or float16 for VBench's own precision on CUDA.
    """

    def __init__(self, path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.path = Path(path)
        self.device = torch.device(device)
        self.dtype = dtype

    @cached_property
    def model(self) -> Any:
        """The network, ready to run.

        Raises:
            WeightsError: the weights cannot be read, or are another network's.
        """
        return self._load().eval().requires_grad_(False).to(self.device, self.dtype)

    @abstractmethod
    def _load(self) -> Any:
        """The network with its weights, float32 on the CPU."""
