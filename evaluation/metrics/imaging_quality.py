"""imaging_quality: how free of noise, blur and wrong exposure each frame is, by MUSIQ."""

from __future__ import annotations

from typing import Literal, Self, final

from torch import Tensor

from evaluation.backbones.musiq import Musiq
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.features import in_chunks
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video import resize
from evaluation.video.clip import Clip, Record

__all__ = ["ImagingQuality", "imaging_quality"]


def imaging_quality(frames_TCHW: Tensor, backbone: Musiq, mode: resize.MusiqMode = "longer", batch: int = 8) -> Tensor:
    """A rating of 0 to 100 for each of the uint8 frames, (T,). Source: VBench, imaging_quality.py:17-56."""
    return in_chunks(frames_TCHW, batch, lambda frames: backbone.rate(resize.musiq(frames, mode)))


@final
class ImagingQuality(VideoMetric):
    """`imaging_quality` over all frames: 0 to 100 for a video, 0 to 1 for the set, as VBench has it."""

    id = "imaging_quality"
    range = (0.0, 100.0)

    def __init__(
        self,
        backbone: Musiq,
        *,
        mode: resize.MusiqMode = "longer",
        reduction: Literal["single", "multi"] = "single",
        batch: int = 8,
    ) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.mode = mode
        self.batch = batch

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's MUSIQ."""
        return cls(towers.musiq_spaq, mode=options.musiq_mode, reduction=options.reduction, batch=options.batch or 8)

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        return Score.of_frames(imaging_quality(clip.on(self.backbone.device), self.backbone, self.mode, self.batch))
