"""dino_temp: how alike neighbouring frames are to DINO; a diagnosis only, it follows people's judgement little."""

from __future__ import annotations

from typing import final

from evaluation.backbones.dino import Dino
from evaluation.metrics.adjacent import adjacent_cosines
from evaluation.metrics.base import Score
from evaluation.metrics.features import BATCH, dino_features
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["DinoTemp"]


@final
class DinoTemp(OnTower[Dino]):
    """`adjacent_cosines` on DINO ViT-B/16, subject_consistency's features; the mean over pairs; -1 to 1, a still has 1."""

    id = "dino_temp"
    exact = False
    range = (-1.0, 1.0)
    tower = "dino_vitb16"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs."""
        return Score.of_frames(adjacent_cosines(dino_features(clip, self.backbone, self.batch)))
