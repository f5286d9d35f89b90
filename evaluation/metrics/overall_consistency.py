"""overall_consistency: whether the video shows what the prompt says, by ViCLIP."""

from __future__ import annotations

from typing import final

from evaluation.backbones.viclip import ViClip
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.on_tower import OnTower
from evaluation.metrics.video_text import video_text
from evaluation.video.clip import Clip, Record

__all__ = ["OverallConsistency"]


@final
class OverallConsistency(OnTower[ViClip]):
    """`video_text` of the video and its original prompt. Source: VBench, overall_consistency.py:43-64."""

    id = "overall_consistency"
    range = (-1.0, 1.0)
    tower = "viclip"

    def score(self, clip: Clip, record: Record) -> Score:
        """The cosine."""
        return Score.of_video(video_text(clip, required_prompt(clip, record), self.backbone))
