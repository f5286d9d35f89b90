"""How each family of vision-language models is shown a video: its placeholder in the text, and its tensors."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np
import torch

from evaluation.errors import WeightsError
from evaluation.judge.frames import View
from evaluation.judge.pixels import PatchSettings, TileSettings, patchify, tiles

__all__ = ["FAMILIES", "Family"]


class Family(ABC):
    """A model's way with frames; abstract.

    Attributes:
        model_class: of transformers.
        route: how frames become pixels; part of a judge's id, as other ways give other numbers.
        pictures: whether a still is shown as a picture; else it is a video of one frame.
    """

    model_class: str
    route: str
    pictures = True

    def __init__(self, folder: Path, config: Any, tokenizer: Any) -> None:
        self.folder = folder
        self.config = config
        self.tokenizer = tokenizer

    @abstractmethod
    def placeholder(self, picture: bool) -> str:
        """What stands for a video, or a picture, in the text that the chat template makes."""

    @abstractmethod
    def expand(self, text: str, view: View) -> str:
        """The text with a place for every token of the view."""

    @abstractmethod
    def tensors(self, views: Sequence[View], ids_BL: torch.Tensor) -> dict[str, torch.Tensor]:
        """The model's inputs beside ids and mask, for B texts, each with a view; all views have one size."""

    def word(self, name: str, default: str) -> str:
        """A token that the tokenizer names, or its usual form."""
        return str(getattr(self.tokenizer, name, None) or default)


class _Qwen(Family):
    """Patches of two frames each; the same tower sees pictures and videos."""

    route = "patches-pil"
    third = False

    def placeholder(self, picture: bool) -> str:
        token = self.config.image_token_id if picture else self.config.video_token_id
        return str(self.tokenizer.convert_ids_to_tokens(token))

    def settings(self, picture: bool) -> PatchSettings:
        return PatchSettings.read(self.folder, self.config.vision_config, third=self.third, video=not picture)

    def grid(self, view: View) -> tuple[int, int, int]:
        settings = self.settings(view.picture)
        frames = len(view.frames_THWC) + -len(view.frames_THWC) % settings.temporal
        tall, wide = settings.fit(frames, *view.frames_THWC.shape[1:3])
        return frames // settings.temporal, tall // settings.patch, wide // settings.patch

    def expand(self, text: str, view: View) -> str:
        token = self.placeholder(view.picture)
        return text.replace(token, token * (math.prod(self.grid(view)) // self.settings(view.picture).merge ** 2))

    def tensors(self, views: Sequence[View], ids_BL: torch.Tensor) -> dict[str, torch.Tensor]:
        picture = views[0].picture
        made = {id(view): patchify(view.frames_THWC, self.settings(picture)) for view in views}
        parts, grids = zip(*(made[id(view)] for view in views))
        kind, pixels = ("image", "pixel_values") if picture else ("video", "pixel_values_videos")
        token = self.config.image_token_id if picture else self.config.video_token_id
        return {
            pixels: torch.from_numpy(np.concatenate(parts)),
            f"{kind}_grid_thw": torch.tensor(grids),
            # Without these the model numbers patches as if they were words of a sentence.
            "mm_token_type_ids": (ids_BL == token).int() * (1 if picture else 2),
        }


@final
class Qwen25VL(_Qwen):
    """Qwen2.5-VL: the distance of frames in time goes in as a number."""

    model_class = "Qwen2_5_VLForConditionalGeneration"

    def tensors(self, views: Sequence[View], ids_BL: torch.Tensor) -> dict[str, torch.Tensor]:
        more = super().tensors(views, ids_BL)
        if not views[0].picture:
            temporal = self.config.vision_config.temporal_patch_size
            more["second_per_grid_ts"] = torch.tensor([temporal / view.fps for view in views])
        return more


@final
class Qwen3VL(_Qwen):
    """Qwen3-VL: each pair of frames stands behind its time, in seconds, in the text.

    The marks of a picture around all pairs are taken out, as vLLM does; transformers' processor leaves them (vllm#46817).
    """

    model_class = "Qwen3VLForConditionalGeneration"
    third = True

    def expand(self, text: str, view: View) -> str:
        if view.picture:
            return super().expand(text, view)
        token, temporal = self.placeholder(False), self.config.vision_config.temporal_patch_size
        start, end = self.word("vision_start_token", "<|vision_start|>"), self.word("vision_end_token", "<|vision_end|>")
        t, h, w = self.grid(view)
        places = token * (h * w // self.config.vision_config.spatial_merge_size**2)
        seconds = [*view.seconds, *view.seconds[-1:] * temporal]
        times = [(seconds[i * temporal] + seconds[(i + 1) * temporal - 1]) / 2 for i in range(t)]
        frames = "".join(f"<{time:.1f} seconds>{start}{places}{end}" for time in times)
        framed = f"{start}{token}{end}"
        return text.replace(framed if framed in text else token, frames)


@final
class InternVL(Family):
    """InternVL in transformers' own format (``...-hf``): each frame one tile, behind ``Frame1:``; a picture is one tile, too."""

    model_class = "InternVLForConditionalGeneration"
    route = "tiles-pil"

    def placeholder(self, picture: bool) -> str:
        return self._context if picture else self.word("video_token", "<video>")

    @property
    def _context(self) -> str:
        return str(self.tokenizer.convert_ids_to_tokens(self.config.image_token_id))

    def expand(self, text: str, view: View) -> str:
        start, end = self.word("start_image_token", "<img>"), self.word("end_image_token", "</img>")
        one = f"{start}{self._context * self.config.image_seq_length}{end}"
        frames = [one] if view.picture else [f"Frame{number + 1}: {one}" for number in range(len(view.frames_THWC))]
        return text.replace(self.placeholder(view.picture), "\n".join(frames))

    def tensors(self, views: Sequence[View], ids_BL: torch.Tensor) -> dict[str, torch.Tensor]:
        side = self.config.vision_config.image_size
        settings = TileSettings.read(self.folder, side[0] if isinstance(side, list | tuple) else side)
        return {"pixel_values": torch.from_numpy(np.concatenate([tiles(view.frames_THWC, settings) for view in views]))}


@final
class LlavaOnevision(Family):
    """LLaVA-OneVision: pooled frames and a newline; a picture is shown as a video of one frame."""

    model_class = "LlavaOnevisionForConditionalGeneration"
    route = "tiles-pil"
    pictures = False

    def placeholder(self, picture: bool) -> str:
        return str(self.tokenizer.convert_ids_to_tokens(self.config.video_token_id))

    def expand(self, text: str, view: View) -> str:
        vision = self.config.vision_config
        pooled = math.ceil(vision.image_size // vision.patch_size / 2) ** 2
        token = self.placeholder(False)
        return text.replace(token, token * (len(view.frames_THWC) * pooled + 1))

    def tensors(self, views: Sequence[View], ids_BL: torch.Tensor) -> dict[str, torch.Tensor]:
        settings = TileSettings.read(self.folder, self.config.vision_config.image_size)
        return {"pixel_values_videos": torch.from_numpy(np.stack([tiles(view.frames_THWC, settings) for view in views]))}


#: By ``model_type`` of a folder's configuration.
FAMILIES: dict[str, type[Family]] = {
    "qwen2_5_vl": Qwen25VL,
    "qwen3_vl": Qwen3VL,
    "internvl": InternVL,
    "llava_onevision": LlavaOnevision,
}


def family(folder: Path, config: Any, tokenizer: Any) -> Family:
    """The family of a model.

    Raises:
        WeightsError: it is none of these.
    """
    if config.model_type not in FAMILIES:
        raise WeightsError(f"{folder}: a {config.model_type} model; a local judge is one of {', '.join(FAMILIES)}")
    return FAMILIES[config.model_type](folder, config, tokenizer)
