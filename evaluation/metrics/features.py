"""Features of a video that several metrics need: computed once a video and backbone, in batches of its own frames only."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from evaluation.backbones.clip import OpenAIClip
from evaluation.backbones.dino import Dino
from evaluation.backbones.viclip import ViClip
from evaluation.video import resize
from evaluation.video.clip import Clip
from evaluation.video.sampling import middle

__all__ = ["BATCH", "clip_features", "dino_features", "in_chunks", "viclip_features"]

#: Frames that a backbone takes at once.
BATCH = 32


def in_chunks(frames_TCHW: Tensor, size: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """``function`` of ``size`` frames at a time, joined: (T, ...). Batches never hold frames of two videos."""
    return torch.cat([function(chunk) for chunk in torch.split(frames_TCHW, size)])


def clip_features(clip: Clip, backbone: OpenAIClip, batch: int = BATCH) -> Tensor:
    """CLIP's features of all frames, not normalised, (T, D), after `resize.clip_f`, which CLIPs of all sizes share."""

    def pixels() -> Tensor:
        return in_chunks(clip.on(backbone.device), batch, resize.clip_f)

    def compute() -> Tensor:
        return in_chunks(clip.once((backbone.device, "clip_f"), pixels), batch, backbone.images)

    found: Tensor = clip.once((backbone, "clip_f"), compute)
    return found


def dino_features(clip: Clip, backbone: Dino, batch: int = BATCH) -> Tensor:
    """DINO's features of all frames, not normalised, (T, D), after `resize.dino`."""
    found: Tensor = clip.once(
        (backbone, "dino"),
        lambda: in_chunks(clip.on(backbone.device), batch, lambda frames: backbone.encode(resize.dino(frames))),
    )
    return found


def viclip_features(clip: Clip, backbone: ViClip) -> Tensor:
    """ViCLIP's features (D,) of the middles of eight parts, not normalised, after `resize.clip_u8`."""

    def compute() -> Tensor:
        chosen = clip.on(backbone.device)[middle(backbone.frames, len(clip.frames_THWC))]
        return backbone.video(resize.clip_u8(chosen))

    found: Tensor = clip.once((backbone, "clip_u8"), compute)
    return found
