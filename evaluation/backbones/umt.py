"""UMT ViT-L/16 on Kinetics-400 (arXiv 2303.16058), on transformers' VideoMAE classes, and its own order of labels."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.base import Backbone
from evaluation.errors import WeightsError
from evaluation.weights.load import model_folder, read_state

__all__ = ["Umt"]

_BLOCK = {
    "norm1.weight": "layernorm_before.weight",
    "norm1.bias": "layernorm_before.bias",
    "norm2.weight": "layernorm_after.weight",
    "norm2.bias": "layernorm_after.bias",
    "attn.q_bias": "attention.attention.q_bias",
    "attn.v_bias": "attention.attention.v_bias",
    "attn.proj.weight": "attention.output.dense.weight",
    "attn.proj.bias": "attention.output.dense.bias",
    "mlp.fc1.weight": "intermediate.dense.weight",
    "mlp.fc1.bias": "intermediate.dense.bias",
    "mlp.fc2.weight": "output.dense.weight",
    "mlp.fc2.bias": "output.dense.bias",
}
_OUTSIDE = {
    "patch_embed.proj.weight": "videomae.embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "videomae.embeddings.patch_embeddings.projection.bias",
    "head.weight": "classifier.weight",
    "head.bias": "classifier.bias",
}
_EPS = 1e-6
#: Frames and pixels a side that it reads; positions were made for 8 frames.
FRAMES, SIDE, TABLE_FRAMES = 16, 224, 8


@final
class Umt(Backbone):
    """``logits(pixels)`` over ``labels``; ``labels_file`` has a line ``label<tab>number`` for each."""

    def __init__(
        self,
        path: str | Path,
        labels_file: str | Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(path, device=device, dtype=dtype)
        self.labels_file = Path(labels_file)

    def logits(self, pixels_TCHW: Tensor) -> Tensor:
        """One logit a label, of 16 normalised frames (16, 3, 224, 224)."""
        logits: Tensor = self.model(pixel_values=pixels_TCHW.to(self.device, self.dtype)[None]).logits[0]
        return logits

    @cached_property
    def labels(self) -> list[str]:
        """Lower-case labels, by number.

        Raises:
            WeightsError: the file cannot be read, or does not number them from 0 on.
        """
        try:
            lines = self.labels_file.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise WeightsError(f"{self.labels_file}: {error.strerror}") from error
        numbered = {
            number.strip(): label.strip().lower() for label, _, number in (line.partition("\t") for line in lines if line)
        }
        if sorted(numbered) != sorted(map(str, range(len(lines)))):
            raise WeightsError(f"{self.labels_file}: not one line 'label<tab>number' a label, numbered from 0 on")
        return [numbered[str(number)] for number in range(len(numbered))]

    def _load(self) -> Any:
        from transformers import VideoMAEConfig, VideoMAEForVideoClassification

        state = read_state(self.path)
        positions = state.pop("pos_embed", None)
        sizes: dict[str, Any] = _sizes(state, str(self.path))
        if len(self.labels) != sizes["num_labels"]:
            raise WeightsError(f"{self.path}: {sizes['num_labels']} labels; {self.labels_file}: {len(self.labels)}")
        config = VideoMAEConfig(**sizes, image_size=SIDE, num_frames=FRAMES, layer_norm_eps=_EPS, use_mean_pooling=True)
        model = model_folder(VideoMAEForVideoClassification, self.path, state=(config, _hub_names(state)))
        model.fc_norm.eps = _EPS  # the class has 1e-5
        embeddings = model.videomae.embeddings
        grid = SIDE // sizes["patch_size"]
        embeddings.position_embeddings = _positions(grid, sizes["hidden_size"]) if positions is None else positions
        return model


def _positions(grid: int, width: int) -> Tensor:
    """Sines and cosines (1, 16 * grid * grid, D) of 8 x grid x grid places, stretched linearly in time to 16 frames."""
    places = torch.arange(TABLE_FRAMES * grid * grid, dtype=torch.float64)
    rates = 10000 ** (2 * (torch.arange(width, dtype=torch.float64) // 2) / width)
    table = places[:, None] / rates
    table[:, 0::2], table[:, 1::2] = table[:, 0::2].sin(), table[:, 1::2].cos()
    by_place_PDT = table.float().view(TABLE_FRAMES, grid * grid, width).permute(1, 2, 0)
    stretched = F.interpolate(by_place_PDT, size=FRAMES, mode="linear", align_corners=False)
    return stretched.permute(2, 0, 1).reshape(1, -1, width)


def _hub_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """UMT's tensors under VideoMAE's names on the hub; keys have no bias."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
        if block is None:
            renamed[_OUTSIDE.get(name, name)] = tensor
            continue
        prefix = f"videomae.encoder.layer.{block[1]}"
        if block[2] == "attn.qkv.weight":
            for part, third in zip(("query", "key", "value"), tensor.chunk(3)):
                renamed[f"{prefix}.attention.attention.{part}.weight"] = third.contiguous()
        else:
            renamed[f"{prefix}.{_BLOCK.get(block[2], block[2])}"] = tensor
    return renamed


def _sizes(state: dict[str, Tensor], path: str) -> dict[str, int]:
    """The configuration that the tensors' shapes tell; heads are of 64."""
    try:
        width, _, tubelet, _, patch = state["patch_embed.proj.weight"].shape
        middle = state["blocks.0.mlp.fc1.weight"].shape[0]
        labels = state["head.bias"].shape[0]
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{path}: not UMT's weights: {error}") from error
    return {
        "hidden_size": width,
        "num_hidden_layers": 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks.")),
        "num_attention_heads": width // 64,
        "intermediate_size": middle,
        "patch_size": patch,
        "tubelet_size": tubelet,
        "num_labels": labels,
    }
