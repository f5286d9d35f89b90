"""Scenes to frames: signed distances, one pixel of antialiasing, smooth backgrounds; whole batches on any device.

Legend of shapes: B scenes, K objects, T frames, H = W = 64 pixels, C = 3 channels (RGB).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.shapes.layout import FRAMES, SIDE, place_items
from rapo_lightning.shapes.scene import ATMOSPHERES, COLOURS, PLACES, SHAPES, Scene, Split, sample

__all__ = ["BACKGROUNDS", "COLOUR_RGB", "Batch", "arrange", "draw", "render", "sample_arranged", "shape_alpha"]

#: Objects are saturated (largest minus smallest channel above 130), backgrounds muted (below `_MUTED`).
COLOUR_RGB = {
    "red": (226, 38, 44),
    "orange": (250, 138, 24),
    "yellow": (246, 228, 50),
    "green": (38, 172, 72),
    "blue": (48, 88, 236),
    "purple": (162, 48, 206),
}
_MUTED = 46.0

# place: sky RGB, ground RGB, horizon (share of the height), its amplitude and wave length (pixels)
_PLACE = {
    "desert": ((204, 208, 214), (214, 190, 152), 0.58, 3.0, 44.0),
    "sea": ((186, 200, 214), (92, 118, 142), 0.46, 0.0, 64.0),
    "meadow": ((196, 208, 216), (118, 150, 104), 0.62, 5.0, 64.0),
    "snow": ((168, 182, 200), (240, 242, 246), 0.50, 2.0, 32.0),
    "city": ((182, 182, 186), (112, 108, 110), 0.34, 4.0, 18.0),
}


class Batch(NamedTuple):
    """What `draw` needs of a batch of scenes; an absent second object has radius 0."""

    paths_BKT3: Tensor  # float32: x, y, radius in pixels
    shape_BK: Tensor  # int64, index into SHAPES
    colour_BK: Tensor  # int64, index into COLOURS
    background_B: Tensor  # int64, place index * number of atmospheres + atmosphere index
    phase_B: Tensor  # float32 in [0, 1): shifts the horizon's wave

    def to(self, device: torch.device | str) -> Batch:
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


def _tinted(rgb: tuple[int, int, int], atmosphere: str) -> np.ndarray:
    colour = np.asarray(rgb, np.float64)
    if atmosphere == "sunset":
        colour = colour * (0.98, 0.80, 0.74)
    elif atmosphere == "night":
        colour = colour * 0.42 + (0, 2, 12)
    elif atmosphere == "fog":
        colour = colour * 0.45 + np.asarray((178, 180, 184)) * 0.55
    mean = colour.mean()
    spread = colour.max() - colour.min()
    return np.asarray(mean + (colour - mean) * min(1.0, _MUTED / max(spread, 1e-6)))


#: (sky, ground) of every place and atmosphere, shape (places * atmospheres, 2, 3), 0..255.
BACKGROUNDS = np.stack(
    [[_tinted(_PLACE[place][0], mood), _tinted(_PLACE[place][1], mood)] for place in PLACES for mood in ATMOSPHERES]
).astype(np.float32)
_HORIZON = np.asarray([_PLACE[place][2:] for place in PLACES for _ in ATMOSPHERES], np.float32)


def arrange(scene: Scene, rng: np.random.Generator) -> tuple[np.ndarray, float] | None:
    """Where the scene's objects are, (K, T, 3), and the horizon's phase; None when the scene does not fit the frame."""
    placed = place_items(scene, rng)
    return None if placed is None else (placed, float(rng.random()))


def sample_arranged(
    rng: np.random.Generator, count: int, split: Split = "train", objects: int | None = None
) -> tuple[list[Scene], Batch]:
    """``count`` random scenes that fit the frame, and what it takes to draw them."""
    scenes: list[Scene] = []
    arranged: list[tuple[np.ndarray, float]] = []
    while len(scenes) < count:
        scene = sample(rng, split, objects)
        found = arrange(scene, rng)
        if found is not None:
            scenes.append(scene)
            arranged.append(found)
    return scenes, collate(scenes, arranged)


def collate(scenes: Sequence[Scene], arranged: Sequence[tuple[np.ndarray, float]]) -> Batch:
    """Stack arranged scenes; a missing second object gets radius 0."""
    paths = np.zeros((len(scenes), 2, FRAMES, 3), np.float32)
    shape = np.zeros((len(scenes), 2), np.int64)
    colour = np.zeros((len(scenes), 2), np.int64)
    background = np.zeros(len(scenes), np.int64)
    for index, (scene, (placed, _)) in enumerate(zip(scenes, arranged, strict=True)):
        paths[index, : len(scene.items)] = placed
        for number, item in enumerate(scene.items):
            shape[index, number] = SHAPES.index(str(item.shape))
            colour[index, number] = COLOURS.index(str(item.colour))
        place, mood = PLACES.index(str(scene.place)), ATMOSPHERES.index(str(scene.atmosphere))
        background[index] = place * len(ATMOSPHERES) + mood
    phase = np.asarray([phase for _, phase in arranged], np.float32)
    return Batch(*(torch.from_numpy(array) for array in (paths, shape, colour, background, phase)))


def shape_alpha(shape: Tensor, x: Tensor, y: Tensor, radius: Tensor) -> Tensor:
    """How much of each pixel a shape covers, in [0, 1]: ``x``, ``y`` from its centre, ``radius`` of the circle of equal area.

    ``shape`` holds indices into `SHAPES`, with as many dimensions as the others; all broadcast.
    """
    square = torch.maximum(x.abs(), y.abs()) - radius * (math.sqrt(math.pi) / 2)
    inradius = radius * math.sqrt(math.pi / (3 * math.sqrt(3)))
    slant = math.sqrt(3) / 2
    triangle = torch.maximum(torch.maximum(y, slant * x - 0.5 * y), -slant * x - 0.5 * y) - inradius
    arm = radius * (math.sqrt(9 * math.pi / 5) / 2)
    bar = torch.maximum(x.abs() - arm, y.abs() - arm / 3)
    pole = torch.maximum(x.abs() - arm / 3, y.abs() - arm)
    distances = torch.stack([torch.hypot(x, y) - radius, square, triangle, torch.minimum(bar, pole)])
    index = shape.expand(distances.shape[1:]).unsqueeze(0)
    return (0.5 - distances.gather(0, index)[0]).clamp(0.0, 1.0)


def draw(batch: Batch) -> tuple[Tensor, Tensor]:
    """Frames, float32 (B, T, H, W, C) in [0, 1], and the share of each pixel that objects cover, (B, T, H, W)."""
    device = batch.paths_BKT3.device
    axis = torch.arange(SIDE, device=device, dtype=torch.float32) + 0.5
    tables = [torch.from_numpy(table).to(device) for table in (BACKGROUNDS, _HORIZON)]
    palette = torch.tensor([COLOUR_RGB[name] for name in COLOURS], device=device, dtype=torch.float32) / 255

    sky, ground = (tables[0][batch.background_B] / 255).unbind(1)  # B C
    horizon, amplitude, length = tables[1][batch.background_B].unbind(1)  # B
    wave = 2 * math.pi * (axis / length[:, None] + batch.phase_B[:, None])  # B W
    edge = horizon[:, None] * SIDE + amplitude[:, None] * torch.sin(wave)
    below = ((axis[None, :, None] - edge[:, None, :]) / 3 + 0.5).clamp(0, 1)[..., None]  # B H W 1
    light = 1.0 + 0.06 * (axis / SIDE - 0.5)[None, :, None, None]  # a faint vertical gradient
    scene_BHWC = (sky[:, None, None] * (1 - below) + ground[:, None, None] * below) * light
    frames = scene_BHWC[:, None].expand(-1, batch.paths_BKT3.shape[2], -1, -1, -1).clamp(0, 1)

    covered = torch.zeros(frames.shape[:-1], device=device)
    for k in range(batch.paths_BKT3.shape[1]):
        x, y, radius = (value[..., None, None] for value in batch.paths_BKT3[:, k].unbind(-1))  # B T 1 1
        shape = batch.shape_BK[:, k, None, None, None]
        alpha = shape_alpha(shape, axis[None, None, None, :] - x, axis[None, None, :, None] - y, radius)
        alpha = alpha * (radius > 0)
        colour = palette[batch.colour_BK[:, k]][:, None, None, None]
        frames = frames * (1 - alpha[..., None]) + colour * alpha[..., None]
        covered = torch.maximum(covered, alpha)
    return frames, covered


def render(scene: Scene, seed: int) -> np.ndarray:
    """One scene as uint8 frames (T, H, W, C); raises ValueError when its objects cannot all fit the frame."""
    arranged = arrange(scene, np.random.default_rng(seed))
    if arranged is None:
        raise ValueError(f"this scene does not fit the frame: {scene.attributes()}")
    frames, _ = draw(collate([scene], [arranged]))
    return np.asarray((frames[0] * 255).round().to(torch.uint8).numpy())
