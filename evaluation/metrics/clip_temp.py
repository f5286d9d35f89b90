"""clip_temp: how alike neighbouring frames are to CLIP; a diagnosis only, it follows people's judgement little."""

from __future__ import annotations

from typing import final

from evaluation.backbones.clip import OpenAIClip
from evaluation.metrics.adjacent import adjacent_cosines
from evaluation.metrics.base import Score
from evaluation.metrics.features import BATCH, clip_features
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["ClipTemp"]


@final
class ClipTemp(OnTower[OpenAIClip]):
    """`adjacent_cosines` on CLIP ViT-B/32, background_consistency's features; the mean over pairs; -1 to 1, a still has 1."""

    id = "clip_temp"
    exact = False
    range = (-1.0, 1.0)
    tower = "clip_b32"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs."""
        return Score.of_frames(adjacent_cosines(clip_features(clip, self.backbone, self.batch)))
