"""Optical flow for tests: a given field a pair of frames, and plain numpy for what follows from it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from evaluation.backbones.raft import Pairs
from evaluation.video.clip import Clip
from tests.evaluation.videos import moving

__all__ = ["GivenFlow", "field", "lengths", "numbered", "padded_sides", "warped"]


class GivenFlow:
    """A smooth random field a pair of `numbered` frames; back is nearly the opposite of there. Keeps the `Flow` protocol."""

    device = torch.device("cpu")

    def __init__(self, strength: float, bad: int | None = None) -> None:
        self.strength = strength
        self.bad = bad
        self.pairs: list[tuple[int, int]] = []

    def flow(self, frames_BCHW: Tensor, pairs: Pairs) -> Tensor:
        height, width = frames_BCHW.shape[2:]
        assert height % 8 == width % 8 == 0
        assert frames_BCHW.abs().max() <= 1
        numbers = [round((float(frame[0, 0, 0]) + 1) * 255 / 2) for frame in frames_BCHW]
        pairs = [(numbers[before], numbers[after]) for before, after in pairs]
        self.pairs += pairs
        fields = np.stack([field(*pair, height, width, self.strength) for pair in pairs])
        if any(self.bad == before for before, _ in pairs):
            fields[0, 0, 0, 0] = np.nan
        return torch.from_numpy(fields)


def field(before: int, after: int, height: int, width: int, strength: float) -> np.ndarray:
    """(2, height, width) float32: a vector for the pair that turns from pair to pair, waves and a patch that goes elsewhere."""
    low, high = min(before, after), max(before, after)
    generator = np.random.default_rng(1000 * low + high)
    y, x = np.mgrid[:height, :width] / 20
    mean = generator.normal(0, 2, (2, 1, 1))
    waves = np.stack([np.sin(x + generator.uniform(0, 6)), np.cos(y + generator.uniform(0, 6))]) * 0.3
    flow = strength * (mean + waves)
    if before > after:
        flow = -flow + generator.normal(0, 0.02, (2, 1, 1))
        flow[:, height // 4 : height // 2, width // 4 : width // 2] += 3
    return flow.astype(np.float32)


def numbered(frames: int, height: int, width: int, fps: float = 8.0, seed: int = 0) -> Clip:
    """Frames that carry their number in the red of their first pixel, which is the padding's, too."""
    pixels = moving(frames, height, width, seed)
    pixels[:, 0, 0, 0] = np.arange(frames)
    return Clip(frames_THWC=pixels, fps=fps, sha256="0", path="a.mp4")


def padded_sides(height: int, width: int, multiple: int) -> tuple[slice, slice, int, int]:
    """Where the frame lies in its padding, and the padded size."""
    down, across = -height % multiple, -width % multiple
    rows, columns = slice(down // 2, down // 2 + height), slice(across // 2, across // 2 + width)
    return rows, columns, height + down, width + across


def lengths(flow: np.ndarray) -> np.ndarray:
    return np.sqrt(flow[0].astype(np.float64) ** 2 + flow[1].astype(np.float64) ** 2)


def warped(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """image (C, H, W) where the flow (2, H, W) leads: bilinear, beyond a border the nearest within."""
    height, width = image.shape[1:]
    y, x = np.mgrid[:height, :width].astype(np.float64)
    x, y = np.clip(x + flow[0], 0, width - 1), np.clip(y + flow[1], 0, height - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    a, b = x - left, y - top
    upper = image[:, top, left] * (1 - a) + image[:, top, right] * a
    lower = image[:, bottom, left] * (1 - a) + image[:, bottom, right] * a
    return upper * (1 - b) + lower * b
