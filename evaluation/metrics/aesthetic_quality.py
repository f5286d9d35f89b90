"""aesthetic_quality: how people would rate each frame as a picture, by LAION's head on CLIP ViT-L/14."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.clip import AestheticHead, OpenAIClip
from evaluation.metrics.base import Score, VideoMetric, in_chunks
from evaluation.video import resize
from evaluation.video.clip import Clip, Record

__all__ = ["AestheticQuality", "aesthetic_quality"]


def aesthetic_quality(frames_TCHW: Tensor, backbone: OpenAIClip, head: AestheticHead, batch: int = 32) -> Tensor:
    """A rating over 10 for each of the uint8 frames, (T,). Source: VBench, aesthetic_quality.py:42-73."""
    features = in_chunks(frames_TCHW, batch, lambda frames: backbone.images(resize.clip_f(frames.to(backbone.device)))).float()
    return head.rate(F.normalize(features, dim=-1)) / 10


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
        batch: int = 32,
    ) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.head = head
        self.batch = batch

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        return Score.of_frames(aesthetic_quality(clip.frames_TCHW, self.backbone, self.head, self.batch))
