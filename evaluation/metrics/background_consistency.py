"""background_consistency: whether the scene stays the same, by CLIP's features."""

from __future__ import annotations

from typing import final

from evaluation.backbones.clip import OpenAIClip
from evaluation.metrics.base import Score
from evaluation.metrics.consistency import consistency
from evaluation.metrics.features import BATCH, clip_features
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["BackgroundConsistency"]


@final
class BackgroundConsistency(OnTower[OpenAIClip]):
    """`consistency` of all frames, on CLIP ViT-B/32. Source: VBench, background_consistency.py:23-66."""

    id = "background_consistency"
    tower = "clip_b32"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames, and VBench's extra keys."""
        values = consistency(clip_features(clip, self.backbone, self.batch))
        score = Score.of_frames(values)
        details = {"video_sim": score.total, "cnt_per_video": score.count}
        return Score.of_frames(values, details)
