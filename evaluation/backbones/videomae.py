"""VideoMAE on Kinetics-400 (arXiv 2203.12602), from the hub's folder: which of 400 actions a video shows."""

from __future__ import annotations

from functools import cached_property
from typing import Any, final

from torch import Tensor

from evaluation.backbones.base import Backbone
from evaluation.errors import WeightsError
from evaluation.weights.load import model_folder

__all__ = ["VideoMae"]


@final
class VideoMae(Backbone):
    """``logits(pixels)`` over ``labels``, of ``frames`` frames of ``side`` pixels a side."""

    @property
    def frames(self) -> int:
        """Frames that it reads."""
        return int(self.model.config.num_frames)

    @property
    def side(self) -> int:
        """Pixels a side."""
        return int(self.model.config.image_size)

    def logits(self, pixels_TCHW: Tensor) -> Tensor:
        """One logit a label, of normalised frames (frames, 3, side, side)."""
        logits: Tensor = self.model(pixel_values=pixels_TCHW.to(self.device, self.dtype)[None]).logits[0]
        return logits

    @cached_property
    def labels(self) -> list[str]:
        """Lower-case labels, by number.

        Raises:
            WeightsError: the configuration does not name them all.
        """
        config = self.model.config
        names = [str(config.id2label[number]) for number in range(config.num_labels)]
        if any(name == f"LABEL_{number}" for number, name in enumerate(names)):
            raise WeightsError(f"{self.path}: config.json does not name the labels")
        return [name.strip().lower() for name in names]

    def _load(self) -> Any:
        from transformers import VideoMAEForVideoClassification

        return model_folder(VideoMAEForVideoClassification, self.path)
