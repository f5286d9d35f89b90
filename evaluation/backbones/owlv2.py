"""OWLv2 (arXiv 2306.09683) on transformers' own classes: finds what texts name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

import torch
from torch import Tensor

from evaluation.backbones.base import Backbone
from evaluation.backbones.boxes import labelled
from evaluation.backbones.tokens import tokenize
from evaluation.detection import Detection
from evaluation.errors import ClipError
from evaluation.video import detector_inputs
from evaluation.weights.load import model_folder

__all__ = ["Owlv2"]

#: A box counts from this probability on, as in transformers' own examples, which also give the words around a name.
THRESHOLD = 0.1
_PROMPT = "a photo of a {}"


@final
class Owlv2(Backbone):
    """A `Detector` that is prompted: each box has its likeliest label."""

    prompted = True

    @property
    def settings(self) -> dict[str, Any]:
        """The threshold, and how labels are asked for."""
        return {"threshold": THRESHOLD, "prompt": _PROMPT}

    def detect(self, frames_TCHW: Tensor, labels: Sequence[str]) -> list[list[Detection]]:
        """The objects that ``labels`` name, the likeliest first.

        Raises:
            ClipError: labels that it cannot read (``no_prompt``), probabilities that are not numbers (``non_finite``).
        """
        length = self.model.config.text_config.max_position_embeddings
        try:
            ids = torch.cat([tokenize(self.path, _PROMPT.format(label), length, cut=False) for label in labels])
        except ValueError as error:
            raise ClipError("no_prompt", f"OWLv2 cannot look for {', '.join(labels)[:80]!r}: {error}") from error
        side = self.model.config.vision_config.image_size
        pixels = detector_inputs.owlv2(frames_TCHW, side).to(self.device, self.dtype)
        output = self.model(pixel_values=pixels, input_ids=ids.repeat(len(pixels), 1).to(self.device))
        probabilities = output.logits.float().sigmoid()
        return labelled(probabilities, output.pred_boxes.float(), labels, THRESHOLD, frames_TCHW.shape[-2:], square=True)

    def _load(self) -> Any:
        from transformers import Owlv2ForObjectDetection

        return model_folder(Owlv2ForObjectDetection, self.path, left_out=("*.position_ids",))
