"""Resizes and normalisations, each as one backbone of VBench has them: they differ, and scores differ with them.

Frames come as uint8 (T, 3, H, W) and leave as float32, normalised. transformers' image processors resize differently.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.video.sizes import center_crop, short_side

__all__ = ["MusiqMode", "clip_f", "clip_pil", "clip_u8", "dino", "musiq", "umt"]

CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

MusiqMode = Literal["longer", "shorter", "shorter_centercrop", "None"]


def clip_f(frames_TCHW: Tensor) -> Tensor:
    """Short side 224, bicubic on floats: not rounded, overshoot kept; middle 224 x 224; CLIP's mean and deviation."""
    resized = _interpolate(frames_TCHW.float(), short_side(*_sides(frames_TCHW), 224), "bicubic")
    return _normalise(center_crop(resized, 224) / 255, CLIP_MEAN, CLIP_STD)


def clip_u8(frames_TCHW: Tensor) -> Tensor:
    """As `clip_f`, but held to 0..255 and rounded after the resize, as a uint8 image is."""
    resized = _interpolate(frames_TCHW.float(), short_side(*_sides(frames_TCHW), 224), "bicubic")
    return _normalise(center_crop(resized.clamp(0, 255).round(), 224) / 255, CLIP_MEAN, CLIP_STD)


def clip_pil(frames_TCHW: Tensor) -> Tensor:
    """As `clip_u8`, by Pillow's bicubic, which always smooths what it shrinks."""
    from PIL import Image

    height, width = short_side(*_sides(frames_TCHW), 224)
    images = [
        np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC))
        for frame in frames_TCHW.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    ]
    resized = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(frames_TCHW.device).float()
    return _normalise(center_crop(resized, 224) / 255, CLIP_MEAN, CLIP_STD)


def dino(frames_TCHW: Tensor) -> Tensor:
    """Short side 224, bilinear on floats, no crop; ImageNet's mean and deviation."""
    resized = _interpolate(frames_TCHW.float(), short_side(*_sides(frames_TCHW), 224), "bilinear")
    return _normalise(resized / 255, IMAGENET_MEAN, IMAGENET_STD)


def musiq(frames_TCHW: Tensor, mode: MusiqMode = "longer") -> Tensor:
    """Frames in 0..1 with a side beyond 512 brought to 512, bilinear on floats.

    ``longer`` looks at the longer side, ``shorter`` at the shorter, ``shorter_centercrop`` then takes the middle 512 x 512 of
    what it brought to 512, and ``None`` leaves frames as they are.
    """
    height, width = _sides(frames_TCHW)
    frames = frames_TCHW.float()
    side = max(height, width) if mode == "longer" else min(height, width)
    if mode != "None" and side > 512:
        scale = 512 / side
        height, width = int(scale * height), int(scale * width)
        frames = _interpolate(frames, (height, width), "bilinear")
        if mode == "shorter_centercrop":
            # ``int`` makes 511 of some sides; VBench's crop adds the line that lacks, in black.
            frames = center_crop(F.pad(frames, (0, max(0, 512 - width), 0, max(0, 512 - height))), 512)
    return frames / 255


def umt(frames_TCHW: Tensor) -> Tensor:
    """Short side 256 by OpenCV's bilinear on uint8; middle 224 x 224; ImageNet's mean and deviation."""
    import cv2

    height, width = short_side(*_sides(frames_TCHW), 256)
    images = [
        cv2.resize(frame, (width, height), interpolation=cv2.INTER_LINEAR)
        for frame in frames_TCHW.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    ]
    resized = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(frames_TCHW.device).float()
    return _normalise(center_crop(resized, 224) / 255, IMAGENET_MEAN, IMAGENET_STD)


def _sides(frames_TCHW: Tensor) -> tuple[int, int]:
    height, width = frames_TCHW.shape[-2:]
    return height, width


def _interpolate(frames: Tensor, size: tuple[int, int], mode: str) -> Tensor:
    if tuple(frames.shape[-2:]) == size:
        return frames
    return F.interpolate(frames, size=size, mode=mode, align_corners=False, antialias=False)


def _normalise(frames: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    return (frames - frames.new_tensor(mean).view(3, 1, 1)) / frames.new_tensor(std).view(3, 1, 1)
