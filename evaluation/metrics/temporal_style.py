"""temporal_style: whether the video moves as the prompt says, by ViCLIP."""

from __future__ import annotations

from typing import Literal, Self, final

from evaluation.backbones.viclip import ViClip
from evaluation.metrics.base import Score, VideoMetric, required_prompt
from evaluation.metrics.video_text import video_text
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["TemporalStyle"]


@final
class TemporalStyle(VideoMetric):
    """`video_text` of the video and its original prompt. Source: VBench, temporal_style.py:43-64."""

    id = "temporal_style"
    range = (-1.0, 1.0)

    def __init__(self, backbone: ViClip, *, reduction: Literal["single", "multi"] = "single") -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's ViCLIP."""
        return cls(towers.viclip, reduction=options.reduction)

    def score(self, clip: Clip, record: Record) -> Score:
        """The cosine."""
        return Score.of_video(video_text(clip, required_prompt(clip, record), self.backbone))
