"""Florence-2 (arXiv 2311.06242) on transformers' own classes: objects, regions in words and captions, all written as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from evaluation.backbones.base import Backbone
from evaluation.backbones.folder import picture_size, tokenizer
from evaluation.detection import Box, Detection, Region, iou
from evaluation.errors import WeightsError
from evaluation.video import detector_inputs
from evaluation.weights.load import model_folder

__all__ = ["Florence2", "Phrase", "phrases"]

#: Tasks and what they are spelled out to, as the model was trained.
_TASKS = {
    "<OD>": "Locate the objects with category name in the image.",
    "<DENSE_REGION_CAPTION>": "Locate the objects in the image, with their descriptions.",
    "<DETAILED_CAPTION>": "Describe in detail what is shown in the image.",
}
#: Coordinates are told in thousandths of a side, by tokens ``<loc_0>`` to ``<loc_999>``.
PLACES = 1000
BEAMS, LONGEST = 3, 1024
#: A region has the class of the object that it overlaps most, by at least this much.
SAME_OBJECT = 0.5

#: Ids of the words, and thousandths of the sides, four for each box.
Phrase = tuple[list[int], list[int]]


def phrases(ids: Sequence[int], places: Mapping[int, int], silent: set[int], marks: set[int]) -> list[Phrase]:
    """An answer cut into words and the places behind them; words without four places are no phrase.

    Args:
        ids: tokens.
        places: thousandths by token.
        silent: tokens that are not looked at, as padding; marks: that end what comes before them.
    """
    found: list[Phrase] = []
    words: list[int] = []
    told: list[int] = []
    for token in ids:
        if token in places:
            told.append(places[token])
        elif token not in silent:
            if told:
                found.append((words, told))
                words, told = [], []
            words = [] if token in marks else [*words, token]
    found.append((words, told))
    return [(words, told) for words, told in found if words and len(told) >= 4]


@final
class Florence2(Backbone):
    """A `Detector` that is not prompted, a `RegionCaptioner` and a `Captioner`: greedy in three beams, so without chance."""

    prompted = False

    @property
    def settings(self) -> dict[str, Any]:
        """How it writes."""
        return {"beams": BEAMS, "longest": LONGEST, "caption": "<DETAILED_CAPTION>", "same_object": SAME_OBJECT}

    def detect(self, frames_TCHW: Tensor, labels: Sequence[str] = ()) -> list[list[Detection]]:
        """``<OD>``: every object that it names; ``labels`` are not used."""
        return [[Detection(label=label, box=box) for label, box in frame] for frame in self._located(frames_TCHW, "<OD>")]

    def describe(self, frames_TCHW: Tensor) -> list[list[Region]]:
        """``<DENSE_REGION_CAPTION>``, each region with the class of the ``<OD>`` box that it overlaps most."""
        objects, parts = self.detect(frames_TCHW), self._located(frames_TCHW, "<DENSE_REGION_CAPTION>")
        return [
            [Region(label=_label(box, found), box=box, caption=text) for text, box in frame]
            for found, frame in zip(objects, parts)
        ]

    def caption(self, frames_TCHW: Tensor) -> list[str]:
        """``<DETAILED_CAPTION>``."""
        added = set(self._tokenizer.get_added_tokens_decoder())
        answers = self._answers(frames_TCHW, "<DETAILED_CAPTION>")
        return [self._text([token for token in ids if token not in added]) for ids in answers]

    def _located(self, frames_TCHW: Tensor, task: str) -> list[list[tuple[str, Box]]]:
        height, width = frames_TCHW.shape[-2:]
        silent, marks = self._specials
        located = []
        for ids in self._answers(frames_TCHW, task):
            cut = phrases(ids, self._places, silent, marks)
            located.append(
                [
                    (self._text(words), _box(told[start : start + 4], height, width))
                    for words, told in cut
                    for start in range(0, len(told) - 3, 4)
                ]
            )
        return located

    def _answers(self, frames_TCHW: Tensor, task: str) -> list[list[int]]:
        """The tokens that it writes about each frame."""
        config = self.model.config
        pixels = detector_inputs.florence2(frames_TCHW, self._side).to(self.device, self.dtype)
        text = config.text_config
        words = self._tokenizer.encode(_TASKS[task], add_special_tokens=False).ids
        pictures = [config.image_token_id] * _picture_tokens(config.vision_config, self._side)
        ids = torch.tensor([[*pictures, text.bos_token_id, *words, text.eos_token_id]], device=self.device)
        ids = ids.expand(len(pixels), -1)
        answers: Tensor = self.model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            pixel_values=pixels,
            num_beams=BEAMS,
            do_sample=False,
            max_new_tokens=min(LONGEST, text.max_position_embeddings - 1),
        )
        written: list[list[int]] = answers.tolist()
        return written

    def _text(self, ids: Sequence[int]) -> str:
        return " ".join(self._tokenizer.decode(list(ids)).lower().split())

    @cached_property
    def _side(self) -> int:
        size = picture_size(self.path)
        side = size.get("height")
        if side is None or side != size.get("width"):
            raise WeightsError(f"{self.path}: Florence-2 reads square pictures, not {size}")
        return side

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return tokenizer(self.path)

    @cached_property
    def _places(self) -> dict[int, int]:
        tokens = {self._tokenizer.token_to_id(f"<loc_{place}>"): place for place in range(PLACES)}
        if None in tokens:
            raise WeightsError(f"{self.path}: the tokenizer has no <loc_0> to <loc_{PLACES - 1}>: not Florence-2's")
        return {token: place for token, place in tokens.items() if token is not None}

    @cached_property
    def _specials(self) -> tuple[set[int], set[int]]:
        """(tokens without meaning, tokens that divide)."""
        text = self.model.config.text_config
        silent = {text.bos_token_id, text.eos_token_id, text.pad_token_id}
        return silent, set(self._tokenizer.get_added_tokens_decoder()) - silent - set(self._places)

    def _load(self) -> Any:
        from transformers import Florence2ForConditionalGeneration

        return model_folder(Florence2ForConditionalGeneration, self.path)


def _box(told: Sequence[int], height: int, width: int) -> Box:
    """The middles of the places in whole pixels, rounded down."""
    pixels = [float((2 * place + 1) * side // (2 * PLACES)) for place, side in zip(told, (width, height) * 2)]
    (left, right), (top, bottom) = sorted(pixels[0::2]), sorted(pixels[1::2])
    return left, top, right, bottom


def _label(box: Box, found: Sequence[Detection]) -> str:
    overlaps = [(iou(box, item.box), -number) for number, item in enumerate(found)]
    best, number = max(overlaps, default=(0.0, 0))
    return found[-number].label if best >= SAME_OBJECT else ""


def _picture_tokens(vision: Any, side: int) -> int:
    """How many tokens stand for a picture: one for the whole, one for each patch of the last stage."""
    for patch, stride, padding in zip(vision.patch_size, vision.patch_stride, vision.patch_padding):
        side = (side + 2 * padding - patch) // stride + 1
    return side * side + 1
