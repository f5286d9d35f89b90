"""subject_consistency: whether the subject stays the same, by DINO's features."""

from __future__ import annotations

from typing import final

from evaluation.backbones.dino import Dino
from evaluation.metrics.base import Score
from evaluation.metrics.consistency import consistency
from evaluation.metrics.features import BATCH, dino_features
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["SubjectConsistency"]


@final
class SubjectConsistency(OnTower[Dino]):
    """`consistency` of all frames, on DINO ViT-B/16. Source: VBench, subject_consistency.py:27-70."""

    id = "subject_consistency"
    tower = "dino_vitb16"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        return Score.of_frames(consistency(dino_features(clip, self.backbone, self.batch)))
