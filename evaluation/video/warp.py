"""Pictures moved along optical flow, and padding taken off."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.video.sizes import pad_sides

__all__ = ["crop", "warp"]


def crop(padded_CHW: Tensor, height: int, width: int, multiple: int = 8) -> Tensor:
    """(..., height, width): without the padding up to a multiple that `pad_sides` puts around frames."""
    left, _, top, _ = pad_sides(height, width, multiple)
    return padded_CHW[..., top : top + height, left : left + width]


def warp(images_BCHW: Tensor, flow_B2HW: Tensor) -> Tensor:
    """For each pixel, what the image has where the flow (x and y in pixels) leads from there, (B, C, H, W).

    Bilinear between pixels; beyond a border, what is nearest within.
    """
    height, width = images_BCHW.shape[-2:]
    rows = torch.arange(height, device=flow_B2HW.device, dtype=flow_B2HW.dtype)[:, None]
    columns = torch.arange(width, device=flow_B2HW.device, dtype=flow_B2HW.dtype)
    x = (columns + flow_B2HW[:, 0]) * (2 / (width - 1)) - 1
    y = (rows + flow_B2HW[:, 1]) * (2 / (height - 1)) - 1
    return F.grid_sample(images_BCHW, torch.stack([x, y], -1), padding_mode="border", align_corners=True)
