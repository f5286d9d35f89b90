"""appearance_style: whether frames have the style that was asked for, by CLIP ViT-B/32."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.clip import OpenAIClip
from evaluation.errors import ClipError
from evaluation.metrics.base import Score
from evaluation.metrics.features import BATCH, in_chunks
from evaluation.metrics.on_tower import OnTower
from evaluation.video import resize
from evaluation.video.clip import Clip, Record

__all__ = ["AppearanceStyle", "appearance_style"]


def appearance_style(frames_TCHW: Tensor, style: str, backbone: OpenAIClip, batch: int = BATCH) -> Tensor:
    """CLIP's logit of each uint8 frame and the words of the style over 100, (T,). Source: VBench, appearance_style.py:42-73.

    Raises:
        ValueError: the style has more than 77 tokens.
    """
    text = F.normalize(backbone.texts(style), dim=-1)
    images = F.normalize(in_chunks(frames_TCHW, batch, lambda frames: backbone.images(resize.clip_pil(frames))), dim=-1)
    return (backbone.logit_scale * images @ text.T)[:, 0].float() / 100


@final
class AppearanceStyle(OnTower[OpenAIClip]):
    """`appearance_style` over all frames; the style is ``auxiliary_info["appearance_style"]``, not the prompt.

    With ``reduction="multi"`` the set's value is the mean of last frames, as of VBench on several GPUs.
    """

    id = "appearance_style"
    tower = "clip_b32"
    at_once = BATCH

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames, and VBench's extra keys."""
        style = record.auxiliary_info.get("appearance_style")
        if isinstance(style, Mapping):  # as VBench's own file of prompts wraps it
            style = style.get("appearance_style")
        if not isinstance(style, str) or not style.strip():
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info names no appearance_style")
        try:
            values = appearance_style(clip.frames_TCHW, style, self.backbone, self.batch)
        except ValueError as error:
            raise ClipError("no_prompt", f"{clip.path}: the style {style[:40]!r} cannot be read: {error}") from error
        frames: list[Any] = values.tolist()
        return Score.of_frames(values, {"frame_results": frames, "cur_sim": frames[-1]})
