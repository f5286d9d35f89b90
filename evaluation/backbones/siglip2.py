"""SigLIP 2 (arXiv 2502.14786) of fixed resolution, from the hub's folder: pictures and texts of any length."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.base import Backbone
from evaluation.backbones.folder import tokenizer
from evaluation.errors import WeightsError
from evaluation.weights.load import model_folder

__all__ = ["Siglip2", "pixels"]


@final
class Siglip2(Backbone):
    """``images(pixels)`` and ``texts(...)``: features in one space, not normalised."""

    def __init__(self, path: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> None:
        super().__init__(path, device=device, dtype=dtype)
        self._texts: dict[str, Tensor] = {}

    @property
    def side(self) -> int:
        """Pixels a side of the pictures that it reads."""
        return int(self.model.config.vision_config.image_size)

    @property
    def length(self) -> int:
        """Tokens that it reads at once, the end included."""
        return int(self.model.config.text_config.max_position_embeddings)

    def images(self, pixels_TCHW: Tensor) -> Tensor:
        """Features (T, D) of `pixels`."""
        features: Tensor = self.model.vision_model(pixel_values=pixels_TCHW.to(self.device, self.dtype)).pooler_output
        return features

    def texts(self, text: str) -> Tensor:
        """Features (N, D) of the parts of a text, each as many whole words as it reads at once; read once and kept.

        One part for nearly every prompt, since it reads 64 tokens. Texts are put in lower case, as in its training.
        """
        if text not in self._texts:
            parts = _parts(text.lower().split(), self._tokenizer, self.length - 1)
            ids = torch.tensor([self._padded(part) for part in parts], device=self.device)
            self._texts[text] = self.model.text_model(input_ids=ids).pooler_output
        return self._texts[text]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer(self.path)

    def _padded(self, ids: list[int]) -> list[int]:
        """With the end token, and the padding that it was trained with: the pooled state is the last place's."""
        end, nothing = (self._tokenizer.token_to_id(token) for token in ("<eos>", "<pad>"))
        if end is None or nothing is None:
            raise WeightsError(f"{self.path}: the tokenizer has no <eos> or no <pad>: not SigLIP 2's")
        return [*ids, end] + [nothing] * (self.length - 1 - len(ids))

    def _load(self) -> Any:
        from transformers import SiglipModel

        return model_folder(SiglipModel, self.path, left_out=("*.position_ids",))


def pixels(frames_TCHW: Tensor, side: int) -> Tensor:
    """uint8 frames squeezed to side x side, bilinear and smoothed, in -1..1: what SigLIP 2 reads, (T, 3, side, side)."""
    resized = F.interpolate(frames_TCHW.float(), size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return resized / 127.5 - 1


def _parts(words: list[str], reader: Tokenizer, most: int) -> list[list[int]]:
    """Token ids of as few runs of whole words as are needed for ``most`` tokens each; a longer word is cut into pieces."""

    def ids(run: list[str]) -> list[int]:
        return list(reader.encode(" ".join(run), add_special_tokens=False).ids)

    parts: list[list[int]] = []
    run: list[str] = []
    for word in words:
        if run and len(ids([*run, word])) > most:
            parts.append(ids(run))
            run = []
        run.append(word)
    parts.append(ids(run))
    return [part[start : start + most] for part in parts for start in range(0, max(1, len(part)), most)]
