"""How well a video and a text fit, by ViCLIP; shared by temporal_style and overall_consistency."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.viclip import ViClip
from evaluation.video import resize
from evaluation.video.sampling import middle

__all__ = ["video_text"]


def video_text(frames_TCHW: Tensor, prompt: str, backbone: ViClip) -> float:
    """The cosine of the prompt and the middles of eight parts of the uint8 frames; a prompt counts up to its 32nd token."""
    chosen = frames_TCHW[middle(backbone.frames, len(frames_TCHW))].to(backbone.device)
    video = F.normalize(backbone.video(resize.clip_u8(chosen)).float(), dim=-1)
    return float(video @ F.normalize(backbone.text(prompt).float(), dim=-1))
