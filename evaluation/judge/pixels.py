"""Frames as the tensors of a vision tower, without torchvision; numbers come from the model folder's own processor files.

Shapes: T frames of H x W; a grid (t, h, w) counts patches in time, height and width; m x m neighbours become one token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.judge.frames import resized

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["PatchSettings", "TileSettings", "patchify", "processor_settings", "tiles"]

_CLIP_MEAN, _CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def processor_settings(folder: Path, video: bool = True) -> Mapping[str, Any]:
    """What a folder says of its processor of videos, or of pictures; transformers looks in this order, too."""
    names: list[tuple[str, str | None]] = [("processor_config.json", "video_processor" if video else "image_processor")]
    names += [("video_preprocessor_config.json", None)] if video else []
    for name, section in (*names, ("preprocessor_config.json", None)):
        if (path := folder / name).is_file():
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if section is None or section in values:
                found: Mapping[str, Any] = values[section] if section else values
                return found
    return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSettings:
    """How Qwen-VL's frames become patches: sides in pixels, limits in pixels a frame (or, ``whole``, of all frames)."""

    patch: int
    temporal: int
    merge: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    least: int
    most: int
    whole: bool

    @classmethod
    def read(cls, folder: Path, vision: Any, *, third: bool, video: bool) -> PatchSettings:
        """From the vision configuration and the processor's file; ``third`` is Qwen3-VL, whose defaults and limits differ.

        Its limits are of all frames of a video together; those of Qwen2.5-VL, and of any picture, are of each.
        """
        values = processor_settings(folder, video)
        side = vision.patch_size * vision.spatial_merge_size
        least, most = (128 * side**2, 768 * side**2) if video else (4 * side**2, 16384 * side**2)
        size = values.get("size") or {}
        return cls(
            patch=vision.patch_size,
            temporal=vision.temporal_patch_size,
            merge=vision.spatial_merge_size,
            mean=tuple(values.get("image_mean") or ((0.5,) * 3 if third else _CLIP_MEAN)),
            std=tuple(values.get("image_std") or ((0.5,) * 3 if third else _CLIP_STD)),
            least=values.get("min_pixels") or size.get("shortest_edge") or least,
            most=values.get("max_pixels") or size.get("longest_edge") or most,
            whole=third and video,
        )

    def fit(self, frames: int, height: int, width: int) -> tuple[int, int]:
        """The nearest multiples of patch * merge that keep the shape and lie within the limits."""
        side = self.patch * self.merge
        if self.whole and min(height, width) < side:
            grow = max(side / height, side / width)
            height, width = int(height * grow), int(width * grow)
        many = frames if self.whole else 1
        rounded = round(frames / self.temporal) * self.temporal if self.whole else 1
        tall, wide = round(height / side) * side, round(width / side) * side
        if rounded * tall * wide > self.most:
            shrink = math.sqrt(many * height * width / self.most)
            tall, wide = (max(side, math.floor(length / shrink / side) * side) for length in (height, width))
        elif rounded * tall * wide < self.least:
            grow = math.sqrt(self.least / (many * height * width))
            tall, wide = (math.ceil(length * grow / side) * side for length in (height, width))
        return tall, wide


def patchify(frames_THWC: NDArray[np.uint8], settings: PatchSettings) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
    """Normalised patches (t*h*w, C * temporal * patch * patch) float32 and their grid (t, h, w).

    Rows go by t, h/m, w/m, m, m; a row by colour, time, y, x. The last frame is repeated where T is no multiple of the temporal
    patch. Source: the layout of transformers' Qwen2VLVideoProcessor, which needs torchvision.
    """
    if missing := -len(frames_THWC) % settings.temporal:
        frames_THWC = np.concatenate([frames_THWC, *[frames_THWC[-1:]] * missing])
    frames_THWC = resized(frames_THWC, *settings.fit(*frames_THWC.shape[:3]))
    p, m, tau = settings.patch, settings.merge, settings.temporal
    frames, height, width, colours = frames_THWC.shape
    t, h, w = frames // tau, height // p, width // p
    blocks = frames_THWC.reshape(t, tau, h // m, m, p, w // m, m, p, colours).transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    patches = blocks.reshape(t * h * w, colours, tau * p * p).astype(np.float32)
    mean, std = (np.array(values, np.float32)[:, None] for values in (settings.mean, settings.std))
    patches *= 1 / (255 * std)
    patches -= mean / std
    return patches.reshape(t * h * w, -1), (t, h, w)


@dataclass(frozen=True, slots=True, kw_only=True)
class TileSettings:
    """How whole frames are resized and normalised: sides in pixels."""

    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def read(cls, folder: Path, side: int) -> TileSettings:
        """From the video processor's file; ``side`` is the vision tower's own."""
        values = processor_settings(folder)
        size = values.get("size") or {}
        return cls(
            height=size.get("height", side),
            width=size.get("width", side),
            mean=tuple(values.get("image_mean") or _CLIP_MEAN),
            std=tuple(values.get("image_std") or _CLIP_STD),
        )


def tiles(frames_THWC: NDArray[np.uint8], settings: TileSettings) -> NDArray[np.float32]:
    """Frames squeezed to one size and normalised, (T, 3, height, width) float32."""
    pixels = resized(frames_THWC, settings.height, settings.width).astype(np.float32) / 255
    mean, std = (np.array(values, np.float32) for values in (settings.mean, settings.std))
    return np.ascontiguousarray(((pixels - mean) / std).transpose(0, 3, 1, 2))
