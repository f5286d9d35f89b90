"""background_consistency: whether the scene stays the same, by CLIP's features."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor

from evaluation.backbones.clip import OpenAIClip
from evaluation.metrics.base import Score, VideoMetric, in_chunks
from evaluation.metrics.consistency import consistency
from evaluation.video import resize
from evaluation.video.clip import Clip, Record

__all__ = ["BackgroundConsistency", "background_consistency"]


def background_consistency(frames_TCHW: Tensor, backbone: OpenAIClip, batch: int = 32) -> Tensor:
    """One value a frame but the first, (T - 1,), of uint8 frames. Source: VBench, background_consistency.py:23-66."""
    return consistency(in_chunks(frames_TCHW, batch, lambda frames: backbone.images(resize.clip_f(frames.to(backbone.device)))))


@final
class BackgroundConsistency(VideoMetric):
    """`background_consistency` over all frames, on CLIP ViT-B/32."""

    id = "background_consistency"

    def __init__(self, backbone: OpenAIClip, *, reduction: Literal["single", "multi"] = "single", batch: int = 32) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames, and VBench's extra keys."""
        values = background_consistency(clip.frames_TCHW, self.backbone, self.batch)
        score = Score.of_frames(values)
        details = {"video_sim": score.total, "cnt_per_video": score.count}
        return Score.of_frames(values, details)
