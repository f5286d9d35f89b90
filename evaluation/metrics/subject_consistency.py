"""subject_consistency: whether the subject stays the same, by DINO's features."""

from __future__ import annotations

from typing import Literal, final

from torch import Tensor

from evaluation.backbones.dino import Dino
from evaluation.metrics.base import Score, VideoMetric, in_chunks
from evaluation.metrics.consistency import consistency
from evaluation.video import resize
from evaluation.video.clip import Clip, Record

__all__ = ["SubjectConsistency", "subject_consistency"]


def subject_consistency(frames_TCHW: Tensor, backbone: Dino, batch: int = 32) -> Tensor:
    """One value a frame but the first, (T - 1,), of uint8 frames. Source: VBench, subject_consistency.py:27-70."""
    return consistency(in_chunks(frames_TCHW, batch, lambda frames: backbone.encode(resize.dino(frames.to(backbone.device)))))


@final
class SubjectConsistency(VideoMetric):
    """`subject_consistency` over all frames."""

    id = "subject_consistency"

    def __init__(self, backbone: Dino, *, reduction: Literal["single", "multi"] = "single", batch: int = 32) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        return Score.of_frames(subject_consistency(clip.frames_TCHW, self.backbone, self.batch))
