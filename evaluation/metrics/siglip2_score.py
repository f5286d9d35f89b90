"""siglip2_score: how well each frame fits the prompt, as SigLIP 2 sees it, however long the prompt is."""

from __future__ import annotations

from typing import final

from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.siglip2 import Siglip2, pixels
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.features import BATCH, in_chunks
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record

__all__ = ["Siglip2Score", "siglip2_score"]


def siglip2_score(images_TD: Tensor, texts_ND: Tensor) -> Tensor:
    """For every frame the mean of its cosines with the parts of the text, (T,)."""
    return (F.normalize(images_TD.float(), dim=-1) @ F.normalize(texts_ND.float(), dim=-1).T).mean(1)


@final
class Siglip2Score(OnTower[Siglip2]):
    """`siglip2_score`, the mean over frames; -1 to 1, in practice 0 to 0.2.

    SigLIP 2 reads 64 tokens at once. A longer prompt, which CLIP refuses, is read in parts of whole words, and the mean of their
    cosines counts; ``details`` says how many parts there were.
    """

    id = "siglip2_score"
    exact = False
    range = (-1.0, 1.0)
    tower = "siglip2"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames."""
        texts = self.backbone.texts(required_prompt(clip, record))
        side = self.backbone.side
        images = in_chunks(clip.on(self.backbone.device), self.batch, lambda part: self.backbone.images(pixels(part, side)))
        return Score.of_frames(siglip2_score(images, texts), {"parts": len(texts)})
