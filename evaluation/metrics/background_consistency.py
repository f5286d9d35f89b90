"""background_consistency: whether the scene stays the same, by CLIP's features."""

from __future__ import annotations

from typing import Literal, Self, final

from evaluation.backbones.clip import OpenAIClip
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.consistency import consistency
from evaluation.metrics.features import BATCH, clip_features
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["BackgroundConsistency"]


@final
class BackgroundConsistency(VideoMetric):
    """`consistency` of all frames, on CLIP ViT-B/32. Source: VBench, background_consistency.py:23-66."""

    id = "background_consistency"

    def __init__(self, backbone: OpenAIClip, *, reduction: Literal["single", "multi"] = "single", batch: int = BATCH) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's CLIP."""
        return cls(towers.clip_b32, reduction=options.reduction, batch=options.batch or BATCH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames, and VBench's extra keys."""
        values = consistency(clip_features(clip, self.backbone, self.batch))
        score = Score.of_frames(values)
        details = {"video_sim": score.total, "cnt_per_video": score.count}
        return Score.of_frames(values, details)
