"""OpenAI's CLIP (arXiv 2103.00020) from the hub's folder, and LAION's aesthetic head on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from evaluation.backbones.base import Backbone
from evaluation.backbones.tokens import tokenize
from evaluation.errors import WeightsError
from evaluation.weights.load import fill, model_folder, read_state

__all__ = ["AestheticHead", "OpenAIClip"]


@final
class OpenAIClip(Backbone):
    """``images(pixels)`` and, with ``text=True``, ``texts(...)``: projected features, not normalised."""

    def __init__(
        self,
        path: str | Path,
        *,
        text: bool = False,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(path, device=device, dtype=dtype)
        self.text = text
        self._texts: dict[str, Tensor] = {}

    def images(self, pixels_TCHW: Tensor) -> Tensor:
        """Features (T, D) of normalised frames (T, 3, 224, 224)."""
        pooled = self.model.vision_model(pixel_values=pixels_TCHW.to(self.device, self.dtype)).pooler_output
        features: Tensor = self.model.visual_projection(pooled)
        return features

    def texts(self, text: str) -> Tensor:
        """Features (1, D) of a text, read once and kept.

        Raises:
            ValueError: it has more tokens than CLIP reads (77).
        """
        if text not in self._texts:
            ids = tokenize(self.path, text, self.model.config.text_config.max_position_embeddings, cut=False).to(self.device)
            states = self.model.text_model(input_ids=ids).last_hidden_state
            # The end token has the highest id, whatever the configuration calls it.
            self._texts[text] = self.model.text_projection(states[0, ids[0].argmax()][None])
        return self._texts[text]

    @property
    def logit_scale(self) -> Tensor:
        """By which CLIP multiplies cosines; about 100."""
        scale: Tensor = self.model.logit_scale.exp()
        return scale

    def _load(self) -> Any:
        from transformers import CLIPModel

        model = model_folder(CLIPModel, self.path, left_out=("*.position_ids",))
        if not self.text:
            model.text_model = None
        return model


@final
class AestheticHead(Backbone):
    """LAION's linear head on normalised CLIP ViT-L/14 features: how people rate a picture, about 1 to 10. Always float32."""

    def rate(self, features_TD: Tensor) -> Tensor:
        """Ratings (T,) of normalised features (T, D)."""
        ratings: Tensor = self.model(features_TD.to(self.device, torch.float32))[:, 0]
        return ratings

    def _load(self) -> nn.Linear:
        state = read_state(self.path)
        if "weight" not in state or state["weight"].ndim != 2:
            raise WeightsError(f"{self.path}: not the aesthetic head: no weight")
        head = nn.Linear(state["weight"].shape[1], 1)
        fill(head, state, self.path)
        return head
