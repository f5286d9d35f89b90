"""aesthetic_quality: how people would rate each frame as a picture, by LAION's head on CLIP ViT-L/14."""

from __future__ import annotations

from typing import Literal, Self, final

from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.clip import AestheticHead, OpenAIClip
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.features import BATCH, clip_features
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["AestheticQuality", "aesthetic_quality"]


def aesthetic_quality(features_TD: Tensor, head: AestheticHead) -> Tensor:
    """A rating over 10 for each frame, (T,), of CLIP ViT-L/14's features. Source: VBench, aesthetic_quality.py:42-73."""
    return head.rate(F.normalize(features_TD.float(), dim=-1)) / 10


@final
class AestheticQuality(VideoMetric):
    """`aesthetic_quality` over all frames."""

    id = "aesthetic_quality"

    def __init__(
        self,
        backbone: OpenAIClip,
        head: AestheticHead,
        *,
        reduction: Literal["single", "multi"] = "single",
        batch: int = BATCH,
    ) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.head = head
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's CLIP and head."""
        return cls(towers.clip_l14, towers.laion_head, reduction=options.reduction, batch=options.batch or BATCH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        return Score.of_frames(aesthetic_quality(clip_features(clip, self.backbone, self.batch), self.head))
