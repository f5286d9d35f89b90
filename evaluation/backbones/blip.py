"""BLIP (arXiv 2201.12086) on transformers' own classes: a caption for a picture."""

from __future__ import annotations

from functools import cached_property
from typing import Any, final

from tokenizers import Tokenizer
from torch import Tensor

from evaluation.backbones.base import Backbone
from evaluation.backbones.folder import tokenizer
from evaluation.video import detector_inputs
from evaluation.weights.load import model_folder

__all__ = ["Blip"]

#: As of Tag2Text in VBench.
BEAMS, LONGEST = 3, 50


@final
class Blip(Backbone):
    """A `Captioner`: greedy in three beams, so without chance."""

    @property
    def settings(self) -> dict[str, Any]:
        """How it writes."""
        return {"beams": BEAMS, "longest": LONGEST}

    def caption(self, frames_TCHW: Tensor) -> list[str]:
        """A caption for each frame, (T, 3, H, W)."""
        config = self.model.config
        pixels = detector_inputs.blip(frames_TCHW, config.vision_config.image_size).to(self.device, self.dtype)
        longest = min(LONGEST, config.text_config.max_position_embeddings - 1)
        answers = self.model.generate(pixel_values=pixels, num_beams=BEAMS, do_sample=False, max_new_tokens=longest)
        # The first token opens every caption and is no word.
        texts = (self._tokenizer.decode(ids[1:], skip_special_tokens=True) for ids in answers.tolist())
        return [" ".join(text.lower().split()) for text in texts]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer(self.path)

    def _load(self) -> Any:
        from transformers import BlipForConditionalGeneration

        return model_folder(BlipForConditionalGeneration, self.path, left_out=("*.position_ids",))
