"""How well a video and a text fit, by ViCLIP; shared by temporal_style and overall_consistency."""

from __future__ import annotations

from torch.nn import functional as F

from evaluation.backbones.viclip import ViClip
from evaluation.metrics.features import viclip_features
from evaluation.video.clip import Clip

__all__ = ["video_text"]


def video_text(clip: Clip, prompt: str, backbone: ViClip) -> float:
    """The cosine of the prompt and the middles of eight parts of the video; a prompt counts up to its 32nd token."""
    video = F.normalize(viclip_features(clip, backbone).float(), dim=-1)
    return float(video @ F.normalize(backbone.text(prompt).float(), dim=-1))
