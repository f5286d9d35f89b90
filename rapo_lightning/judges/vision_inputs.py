"""From a conversation and a video to the tensors of a Qwen2.5-VL model: the one place that knows how they are laid out.

Pixels come from the model's own video processor where torchvision imports, else from `patchify`, which needs numpy and PIL only
and agrees with it to 1e-6 where no resizing is needed. Text, token counts and times are the same either way.

Shapes: T frames of H x W pixels, C = 3 colours; a grid (t, h, w) counts patches in time, height and width; the vision tower
merges m x m neighbouring patches into one token, so a video takes t * h * w / m**2 places in the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from rapo_lightning.errors import WeightsError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from rapo_lightning.types import Message

__all__ = ["ImageSettings", "VisionInputs", "fit_size", "patchify", "resize", "torchvision_imports"]

#: What transformers' Qwen2-VL video processor uses where a folder is silent.
DEFAULTS = {
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "size": {"shortest_edge": 128 * 28 * 28, "longest_edge": 768 * 28 * 28},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSettings:
    """How frames become patches: sizes in pixels and frames, ``mean`` and ``std`` a colour, limits in pixels a frame."""

    patch: int
    temporal_patch: int
    merge: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    min_pixels: int
    max_pixels: int

    @classmethod
    def read(cls, folder: Path, vision_config: Any) -> ImageSettings:
        """Patch sizes from the model's vision configuration, the rest from the folder's processor files, as transformers does.

        Of the files the first that is there counts: ``video_processor`` in processor_config.json,
        video_preprocessor_config.json, preprocessor_config.json.
        """
        values = {**DEFAULTS, **_processor_file(folder)}
        size = values["size"]
        return cls(
            patch=vision_config.patch_size,
            temporal_patch=vision_config.temporal_patch_size,
            merge=vision_config.spatial_merge_size,
            mean=tuple(values["image_mean"]),
            std=tuple(values["image_std"]),
            min_pixels=values.get("min_pixels") or size["shortest_edge"],
            max_pixels=values.get("max_pixels") or size["longest_edge"],
        )


@final
class VisionInputs:
    """The inputs of one model: ``text`` renders a conversation about a video, calling it makes the batch."""

    def __init__(self, folder: Path, config: Any, tokenizer: Any, *, max_side: int | None = None) -> None:
        self.tokenizer = tokenizer
        self.max_side = max_side
        self.settings = ImageSettings.read(folder, config.vision_config)
        self.video_token_id: int = config.video_token_id
        self.video_token: str = tokenizer.convert_ids_to_tokens(config.video_token_id)
        self.processor: Any = None
        if torchvision_imports():
            from transformers import AutoVideoProcessor

            self.processor = AutoVideoProcessor.from_pretrained(folder)
        if self.text([{"role": "user", "content": "?"}]).count(self.video_token) != 1:
            raise WeightsError(f"{folder}: its chat template has no place for a video")

    def text(self, messages: Sequence[Message]) -> str:
        """The conversation as the model reads it, with the video before the text of the last message."""
        last = {"role": "user", "content": [{"type": "video"}, {"type": "text", "text": messages[-1]["content"]}]}
        rendered: str = self.tokenizer.apply_chat_template([*messages[:-1], last], tokenize=False, add_generation_prompt=True)
        return rendered

    def __call__(
        self, texts: Sequence[str], videos: Sequence[NDArray[np.uint8]], fps: Sequence[float]
    ) -> dict[str, torch.Tensor]:
        """Left-padded batch of B conversations, each about one video (T, H, W, 3) of ``fps`` frames a second.

        Returns input_ids, attention_mask and mm_token_type_ids (B, L), pixel_values_videos (sum of t*h*w, C*T'*p*p) float32,
        video_grid_thw (B, 3) and second_per_grid_ts (B,). Without mm_token_type_ids the model would number the patches as if
        they were words of a sentence.
        """
        import torch

        videos = [fit_side(frames_THWC, self.max_side) for frames_THWC in videos]
        pixels, grids = self._by_processor(videos) if self.processor is not None else self._by_patchify(videos)
        places = [math.prod(grid) // self.settings.merge**2 for grid in grids.tolist()]
        expanded = [text.replace(self.video_token, self.video_token * count) for text, count in zip(texts, places, strict=True)]
        tokens = self.tokenizer(expanded, padding=True, padding_side="left", add_special_tokens=False, return_tensors="pt")
        return {
            "input_ids": tokens["input_ids"],
            "attention_mask": tokens["attention_mask"],
            "mm_token_type_ids": (tokens["input_ids"] == self.video_token_id).int() * 2,
            "pixel_values_videos": pixels,
            "video_grid_thw": grids,
            "second_per_grid_ts": torch.tensor([self.settings.temporal_patch / rate for rate in fps]),
        }

    def _by_processor(self, videos: Sequence[NDArray[np.uint8]]) -> tuple[torch.Tensor, torch.Tensor]:
        # Pixel limits as in `fit_size`; unsaid, transformers warns that it will change them.
        batch = self.processor(list(videos), do_sample_frames=False, cap_pixels_per_frame=False, return_tensors="pt")
        return batch["pixel_values_videos"], batch["video_grid_thw"]

    def _by_patchify(self, videos: Sequence[NDArray[np.uint8]]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch

        parts, grids = zip(*(patchify(resize(frames_THWC, self.settings), self.settings) for frames_THWC in videos), strict=True)
        return torch.from_numpy(np.concatenate(parts)), torch.tensor(grids)


def patchify(frames_THWC: NDArray[np.uint8], settings: ImageSettings) -> tuple[NDArray[np.float32], tuple[int, int, int]]:
    """Normalised patches (t*h*w, C * temporal_patch * patch * patch) float32 and their grid (t, h, w).

    Rows go by t, h/m, w/m, m, m; a row by colour, time, y, x. The last frame is repeated where T is no multiple of the temporal
    patch. H and W must be multiples of patch * merge (`resize` sees to it).
    """
    p, m, tau = settings.patch, settings.merge, settings.temporal_patch
    if missing := -len(frames_THWC) % tau:
        frames_THWC = np.concatenate([frames_THWC, *[frames_THWC[-1:]] * missing])
    frames, height, width, colours = frames_THWC.shape
    t, h, w = frames // tau, height // p, width // p
    blocks = frames_THWC.reshape(t, tau, h // m, m, p, w // m, m, p, colours).transpose(0, 2, 5, 3, 6, 8, 1, 4, 7)
    patches = blocks.reshape(t * h * w, colours, tau * p * p).astype(np.float32)
    mean, std = (np.array(values, np.float32)[:, None] for values in (settings.mean, settings.std))
    patches *= 1 / (255 * std)
    patches -= mean / std
    return patches.reshape(t * h * w, -1), (t, h, w)


def resize(frames_THWC: NDArray[np.uint8], settings: ImageSettings) -> NDArray[np.uint8]:
    """Frames of a size the model takes, by PIL's bicubic filter; returned as they are where they fit already."""
    _, height, width, _ = frames_THWC.shape
    height, width = fit_size(height, width, settings)
    return _scaled(frames_THWC, height, width)


def fit_size(height: int, width: int, settings: ImageSettings) -> tuple[int, int]:
    """The nearest multiples of patch * merge that keep the shape and lie within the pixel limits (Qwen2-VL's own rule)."""
    factor = settings.patch * settings.merge
    tall, wide = round(height / factor) * factor, round(width / factor) * factor
    if tall * wide > settings.max_pixels:
        shrink = math.sqrt(height * width / settings.max_pixels)
        tall, wide = (max(factor, math.floor(side / shrink / factor) * factor) for side in (height, width))
    elif tall * wide < settings.min_pixels:
        grow = math.sqrt(settings.min_pixels / (height * width))
        tall, wide = (math.ceil(side * grow / factor) * factor for side in (height, width))
    return tall, wide


def fit_side(frames_THWC: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """Frames whose longer side is at most ``max_side`` pixels."""
    height, width = frames_THWC.shape[1:3]
    if max_side is None or max(height, width) <= max_side:
        return frames_THWC
    shrink = max_side / max(height, width)
    return _scaled(frames_THWC, max(1, round(height * shrink)), max(1, round(width * shrink)))


def torchvision_imports() -> bool:
    """Whether torchvision can be used; a build that does not match torch fails on import."""
    try:
        import torchvision  # type: ignore[import-not-found, unused-ignore]  # noqa: F401
    except Exception:
        return False
    return True


def _scaled(frames_THWC: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    from PIL import Image

    if frames_THWC.shape[1:3] == (height, width):
        return frames_THWC
    images = [Image.fromarray(frame_HWC).resize((width, height), Image.Resampling.BICUBIC) for frame_HWC in frames_THWC]
    return np.stack([np.asarray(image) for image in images])


def _processor_file(folder: Path) -> Mapping[str, Any]:
    for name, section in (
        ("processor_config.json", "video_processor"),
        ("video_preprocessor_config.json", None),
        ("preprocessor_config.json", None),
    ):
        if (path := folder / name).is_file():
            values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            if section is None or section in values:
                return values[section] if section else values
    return {}
