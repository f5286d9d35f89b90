"""Optical flow that needs no weights: OpenCV's dense inverse search (Kroeger et al. 2016, arXiv 1603.03590)."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from evaluation.backbones.raft import Pairs

__all__ = ["DisFlow"]


@final
class DisFlow:
    """A `Flow` on the CPU, in OpenCV's fast setting. Other numbers than RAFT's: metrics on it have the suffix ``.dis``."""

    smallest_side = 16

    def __init__(self) -> None:
        self.device = torch.device("cpu")

    def flow(self, frames_BCHW: Tensor, pairs: Pairs) -> Tensor:
        """As `Flow.flow`; of the frames' brightness in 256 steps."""
        import cv2

        search: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        frames = _grey(frames_BCHW)
        flows = [search.calc(frames[before], frames[after], None) for before, after in pairs]
        return torch.from_numpy(np.stack(flows)).permute(0, 3, 1, 2)


def _grey(frames_BCHW: Tensor) -> list[Any]:
    import cv2

    rgb = ((frames_BCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in rgb]
