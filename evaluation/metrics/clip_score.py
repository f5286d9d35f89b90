"""clip_score: how well each frame fits the prompt, as CLIP sees it."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.clip import OpenAIClip
from evaluation.errors import ClipError
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.features import BATCH, clip_features
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["ClipScore", "clip_score"]


def clip_score(features_TD: Tensor, text_1D: Tensor) -> Tensor:
    """The cosine of every frame's features and the text's, (T,); not multiplied by 100, not cut at 0 (arXiv 2104.08718)."""
    return F.cosine_similarity(features_TD.float(), text_1D.float(), dim=-1)


@final
class ClipScore(OnTower[OpenAIClip]):
    """`clip_score` on CLIP ViT-B/32, background_consistency's features; the mean over frames; -1 to 1, in practice 0.2 to 0.4.

    CLIP reads 77 tokens; a longer prompt is an error of its video, for cutting it would score another prompt: see siglip2_score.
    """

    id = "clip_score"
    exact = False
    range = (-1.0, 1.0)
    tower = "clip_b32"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        try:
            text = self.backbone.texts(required_prompt(clip, record))
        except ValueError as error:
            raise ClipError("no_prompt", f"{clip.path}: the prompt cannot be read: {error}; see siglip2_score") from error
        return Score.of_frames(clip_score(clip_features(clip, self.backbone, self.batch), text))
