"""dino_temp: how alike neighbouring frames are to DINO; a diagnosis only, it follows people's judgement little."""

from __future__ import annotations

from typing import Literal, Self, final

from evaluation.backbones.dino import Dino
from evaluation.metrics.adjacent import adjacent_cosines
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.features import BATCH, dino_features
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["DinoTemp"]


@final
class DinoTemp(VideoMetric):
    """`adjacent_cosines` on DINO ViT-B/16, subject_consistency's features; the mean over pairs; -1 to 1, a still has 1."""

    id = "dino_temp"
    exact = False
    range = (-1.0, 1.0)

    def __init__(self, backbone: Dino, *, reduction: Literal["single", "multi"] = "single", batch: int = BATCH) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's DINO."""
        return cls(towers.dino_vitb16, reduction=options.reduction, batch=options.batch or BATCH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs."""
        return Score.of_frames(adjacent_cosines(dino_features(clip, self.backbone, self.batch)))
