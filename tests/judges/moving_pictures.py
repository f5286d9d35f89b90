"""Textured pictures in which known things move: ``scene`` draws T grey frames, ``write`` stores them as a video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from rapo_lightning.types import Video
from rapo_lightning.video import write_video

Path2D = Callable[[float], tuple[float, float]]


def scene(
    *things: tuple[tuple[float, float], Path2D],
    camera: Path2D = lambda t: (0.0, 0.0),
    frames: int = 13,
    height: int = 96,
    width: int = 128,
    size: int = 24,
    flat: bool = False,
) -> NDArray[np.uint8]:
    """(T, H, W) grey frames: bright squares of ``size`` pixels over a texture that moves as ``camera`` says.

    A thing is its top left corner (x, y) and its shift in pixels as a function of the frame; so is the camera's.
    """
    wide = _texture(3 * height, 3 * width, seed=0, mean=90)
    drawn = []
    for t in range(frames):
        x, y = camera(t)
        picture = cv2.warpAffine(wide, np.array([[1, 0, x - width], [0, 1, y - height]], np.float32), (width, height))
        if flat:
            picture = np.full((height, width), 90, np.float32)
        for index, ((left, top), path) in enumerate(things):
            x, y = path(t)
            place = np.array([[1, 0, left + x], [0, 1, top + y]], np.float32)
            cover = cv2.warpAffine(np.ones((size, size), np.float32), place, (width, height))
            thing = cv2.warpAffine(_texture(size, size, seed=1 + index, mean=170), place, (width, height))
            picture = picture * (1 - cover) + thing * cover
        drawn.append(picture.clip(0, 255).astype(np.uint8))
    return np.stack(drawn)


def write(path: Path, grey_THW: NDArray[np.uint8], *, fps: float = 8.0, seed: int = 0) -> Video:
    """The frames as an mp4 at ``path``."""
    write_video(path, np.repeat(grey_THW[..., None], 3, axis=-1), fps)
    frames, height, width = grey_THW.shape
    return Video(path=str(path), seed=seed, frames=frames, fps=fps, height=height, width=width)


def steadily(x: float, y: float) -> Path2D:
    """A shift of (x, y) pixels a frame; y points down."""
    return lambda t: (x * t, y * t)


def turned(grey_HW: NDArray[np.uint8], *, degrees: float = 0.0, scale: float = 1.0, frames: int = 9) -> NDArray[np.uint8]:
    """The picture turned about its centre, counter-clockwise, and scaled, by as much again each frame."""
    height, width = grey_HW.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    steps: Sequence[NDArray[np.float64]] = [cv2.getRotationMatrix2D(centre, degrees * t, scale**t) for t in range(frames)]
    return np.stack([cv2.warpAffine(grey_HW, step, (width, height), borderMode=cv2.BORDER_REFLECT) for step in steps])


def _texture(height: int, width: int, *, seed: int, mean: float) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(size=(height // 6 + 2, width // 6 + 2)).astype(np.float32)
    return np.asarray(mean + 30 * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)
