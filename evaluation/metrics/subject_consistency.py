"""subject_consistency: whether the subject stays the same, by DINO's features."""

from __future__ import annotations

from typing import Literal, Self, final

from evaluation.backbones.dino import Dino
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.consistency import consistency
from evaluation.metrics.features import BATCH, dino_features
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["SubjectConsistency"]


@final
class SubjectConsistency(VideoMetric):
    """`consistency` of all frames, on DINO ViT-B/16. Source: VBench, subject_consistency.py:27-70."""

    id = "subject_consistency"

    def __init__(self, backbone: Dino, *, reduction: Literal["single", "multi"] = "single", batch: int = BATCH) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's DINO."""
        return cls(towers.dino_vitb16, reduction=options.reduction, batch=options.batch or BATCH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        return Score.of_frames(consistency(dino_features(clip, self.backbone, self.batch)))
