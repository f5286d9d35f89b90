"""Frames as detectors and captioners take them: VBench's size for detectors, then each network's own resize and normalisation.

The networks' own are those of their authors' processors, by Pillow, without transformers' image processors.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.video.resize import CLIP_MEAN, CLIP_STD, IMAGENET_MEAN, IMAGENET_STD
from evaluation.video.sizes import short_side

__all__ = ["blip", "det", "det_cv2", "florence2", "grounding_dino", "owlv2", "videomae"]

#: Detectors see frames whose shorter side is beyond the first at the second.
LARGEST, REDUCED = 768, 720


def det(frames_TCHW: Tensor) -> Tensor:
    """uint8 frames as float32 0 to 255; a shorter side beyond 768 is brought to 720, bilinear on floats, not rounded."""
    size = _det_size(frames_TCHW)
    frames = frames_TCHW.float()
    return frames if size is None else F.interpolate(frames, size=size, mode="bilinear", align_corners=False, antialias=False)


def det_cv2(frames_TCHW: Tensor) -> Tensor:
    """As `det`, by OpenCV's bilinear on uint8, as VBench has it for color."""
    import cv2

    size = _det_size(frames_TCHW)
    if size is None:
        return frames_TCHW.float()
    images = [cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR) for frame in _images(frames_TCHW)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def florence2(frames_TCHW: Tensor, side: int) -> Tensor:
    """side x side whatever the shape was, bicubic; ImageNet's mean and deviation."""
    return _normalise(_pillow(frames_TCHW, (side, side), "BICUBIC"), IMAGENET_MEAN, IMAGENET_STD)


def blip(frames_TCHW: Tensor, side: int) -> Tensor:
    """side x side whatever the shape was, bicubic; CLIP's mean and deviation."""
    return _normalise(_pillow(frames_TCHW, (side, side), "BICUBIC"), CLIP_MEAN, CLIP_STD)


def grounding_dino(frames_TCHW: Tensor, shorter: int, longer: int) -> Tensor:
    """The shorter side becomes ``shorter``, less if the longer would pass ``longer``; bilinear; ImageNet's mean and deviation."""
    height, width = frames_TCHW.shape[-2:]
    small, large = min(height, width), max(height, width)
    exact = min(float(shorter), longer * small / large)
    size = (round(exact), int(exact * large / small))
    return _normalise(_pillow(frames_TCHW, size if height <= width else size[::-1], "BILINEAR"), IMAGENET_MEAN, IMAGENET_STD)


def owlv2(frames_TCHW: Tensor, side: int) -> Tensor:
    """Made square by grey below or on the right, then side x side, bilinear and smoothed; CLIP's mean and deviation."""
    height, width = frames_TCHW.shape[-2:]
    square = max(height, width)
    padded = F.pad(frames_TCHW.float(), (0, square - width, 0, square - height), value=255 / 2)
    resized = F.interpolate(padded, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return _normalise(resized, CLIP_MEAN, CLIP_STD)


def videomae(frames_TCHW: Tensor, side: int) -> Tensor:
    """Short side ``side``, bilinear; the middle side x side, offsets rounded down; ImageNet's mean and deviation."""
    height, width = short_side(frames_TCHW.shape[-2], frames_TCHW.shape[-1], side)
    top, left = (height - side) // 2, (width - side) // 2
    resized = _pillow(frames_TCHW, (height, width), "BILINEAR")[..., top : top + side, left : left + side]
    return _normalise(resized, IMAGENET_MEAN, IMAGENET_STD)


def _det_size(frames_TCHW: Tensor) -> tuple[int, int] | None:
    """(height, width) to resize to; None to leave frames as they are."""
    height, width = frames_TCHW.shape[-2:]
    if min(height, width) <= LARGEST:
        return None
    scale = REDUCED / min(height, width)
    return int(scale * height), int(scale * width)


def _images(frames_TCHW: Tensor) -> list[np.ndarray]:
    """uint8 (H, W, 3) each."""
    whole = frames_TCHW.round().clamp(0, 255) if frames_TCHW.is_floating_point() else frames_TCHW
    return list(whole.to("cpu", torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())


def _pillow(frames_TCHW: Tensor, size: tuple[int, int], how: str) -> Tensor:
    """float32 0 to 255 (T, 3, h, w): resized by Pillow, which smooths what it shrinks and rounds."""
    from PIL import Image

    height, width = size
    images = [np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling[how])) for image in _images(frames_TCHW)]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float()


def _normalise(frames: Tensor, mean: tuple[float, float, float], std: tuple[float, float, float]) -> Tensor:
    return (frames / 255 - frames.new_tensor(mean).view(3, 1, 1)) / frames.new_tensor(std).view(3, 1, 1)
