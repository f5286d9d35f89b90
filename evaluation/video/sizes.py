"""Target sizes and crops, in pixels as (height, width)."""

from __future__ import annotations

import torch

__all__ = ["center_crop", "pad_sides", "short_side"]


def short_side(height: int, width: int, side: int) -> tuple[int, int]:
    """The shorter side becomes ``side``, the longer ``int(side * long / short)``."""
    if height <= width:
        return side, int(side * width / height)
    return int(side * height / width), side


def center_crop(images_CHW: torch.Tensor, side: int) -> torch.Tensor:
    """The middle ``side`` x ``side`` of (..., H, W); offsets are rounded half to even."""
    top, left = (round((extent - side) / 2) for extent in images_CHW.shape[-2:])
    return images_CHW[..., top : top + side, left : left + side]


def pad_sides(height: int, width: int, multiple: int) -> tuple[int, int, int, int]:
    """(left, right, top, bottom) that bring both sides to a multiple, half on either side; for `torch.nn.functional.pad`."""
    down, across = -height % multiple, -width % multiple
    return across // 2, across - across // 2, down // 2, down - down // 2
