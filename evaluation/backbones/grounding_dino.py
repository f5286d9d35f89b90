"""Grounding DINO (arXiv 2303.05499) on transformers' own classes: finds what a text names."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any, final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from evaluation.backbones.base import Backbone
from evaluation.backbones.boxes import labelled
from evaluation.backbones.folder import picture_size, tokenizer
from evaluation.detection import Detection
from evaluation.errors import ClipError, WeightsError
from evaluation.video import detector_inputs
from evaluation.weights.load import model_folder

__all__ = ["GroundingDino"]

#: A box counts from this probability on; the authors' own.
THRESHOLD = 0.35
#: What the model was trained to end a name with.
_STOP = "."


@final
class GroundingDino(Backbone):
    """A `Detector` that is prompted: each box has the name whose likeliest token is likelier than any other name's."""

    prompted = True

    @property
    def settings(self) -> dict[str, Any]:
        """The threshold."""
        return {"threshold": THRESHOLD}

    def detect(self, frames_TCHW: Tensor, labels: Sequence[str]) -> list[list[Detection]]:
        """The objects that ``labels`` name, the likeliest first.

        Raises:
            ClipError: labels that it cannot read (``no_prompt``), probabilities that are not numbers (``non_finite``).
        """
        ids, names = self._words(labels)
        pixels = detector_inputs.grounding_dino(frames_TCHW, *self._sides).to(self.device, self.dtype)
        tokens = torch.tensor([ids], device=self.device).expand(len(pixels), -1)
        output = self.model(pixel_values=pixels, input_ids=tokens, token_type_ids=torch.zeros_like(tokens))
        by_token = output.logits[..., : len(ids)].float().sigmoid()
        owners = torch.tensor(names, device=self.device)
        by_label = torch.stack([by_token[..., owners == number].amax(-1) for number in range(len(labels))], dim=-1)
        return labelled(by_label, output.pred_boxes.float(), labels, THRESHOLD, frames_TCHW.shape[-2:])

    def _words(self, labels: Sequence[str]) -> tuple[list[int], list[int]]:
        """Tokens of "a cat. a dog.", and for each the number of its label, -1 for what is none's."""
        bert = self._tokenizer
        first, stop, last = (bert.token_to_id(token) for token in ("[CLS]", _STOP, "[SEP]"))
        if first is None or stop is None or last is None:
            raise WeightsError(f"{self.path}: the tokenizer is not BERT's")
        ids, names = [first], [-1]
        for number, label in enumerate(labels):
            words = bert.encode(label.lower().replace(_STOP, " ").replace("?", " "), add_special_tokens=False).ids
            if not words:
                raise ClipError("no_prompt", f"{label!r} names no object that Grounding DINO could look for")
            ids += [*words, stop]
            names += [number] * len(words) + [-1]
        if len(ids) >= self.model.config.max_text_len:
            raise ClipError("no_prompt", f"{len(ids) + 1} tokens; Grounding DINO reads {self.model.config.max_text_len}")
        return [*ids, last], [*names, -1]

    @cached_property
    def _sides(self) -> tuple[int, int]:
        size = picture_size(self.path)
        if not {"shortest_edge", "longest_edge"} <= size.keys():
            raise WeightsError(f"{self.path}: Grounding DINO keeps the shape of pictures; the size is {size}")
        return size["shortest_edge"], size["longest_edge"]

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer(self.path)

    def _load(self) -> Any:
        from transformers import GroundingDinoForObjectDetection

        return model_folder(GroundingDinoForObjectDetection, self.path, left_out=("*.position_ids",))
