"""DINO ViT-B/16 on transformers' `ViTModel`, from the hub's folder or from the file of DINO's authors (arXiv 2104.14294)."""

from __future__ import annotations

import re
from functools import partial
from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.base import Backbone
from evaluation.errors import WeightsError
from evaluation.weights.load import model_folder, read_state

__all__ = ["Dino"]

#: DINO's names of a block's tensors and the hub's; ``qkv`` is cut in three.
_BLOCK = {
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
    "attn.proj": "attention.output.dense",
    "mlp.fc1": "intermediate.dense",
    "mlp.fc2": "output.dense",
}
_OUTSIDE = {
    "cls_token": "embeddings.cls_token",
    "pos_embed": "embeddings.position_embeddings",
    "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
    "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    "norm.weight": "layernorm.weight",
    "norm.bias": "layernorm.bias",
}
_EPS = 1e-6  # DINO's own; the hub's configuration says 1e-12


@final
class Dino(Backbone):
    """``encode(pixels)``: the class token after the last norm. Frames may have any size of at least one patch."""

    def encode(self, pixels_TCHW: Tensor) -> Tensor:
        """Features (T, D), not normalised, of normalised frames (T, 3, H, W)."""
        output = self.model(pixel_values=pixels_TCHW.to(self.device, self.dtype), interpolate_pos_encoding=True)
        features: Tensor = output.last_hidden_state[:, 0]
        return features

    def _load(self) -> Any:
        from transformers import ViTConfig, ViTModel

        if self.path.is_dir():
            config: Any = ViTConfig.from_pretrained(str(self.path), local_files_only=True)
            config.layer_norm_eps = _EPS
            model = model_folder(ViTModel, self.path, config=config, add_pooling_layer=False, left_out=("pooler.*",))
        else:
            state = _hub_names(read_state(self.path), str(self.path))
            sizes: dict[str, Any] = _sizes(state)
            config = ViTConfig(**sizes, layer_norm_eps=_EPS)
            model = model_folder(ViTModel, self.path, state=(config, state), add_pooling_layer=False)
        model.embeddings.interpolate_pos_encoding = partial(_positions, model.embeddings)
        return model


def _positions(embeddings: Any, tokens: Tensor, height: int, width: int) -> Tensor:
    """The table of positions (1, 1 + h * w, D) for frames of another size, scaled as DINO does it.

    By a factor with a tenth of a patch to spare, not to a size: the sampling points differ, and scores with them. Only square
    frames with as many patches as the table keep it as it is: 224 x 238 has 14 x 14 patches, too, and is scaled.
    """
    table: Tensor = embeddings.position_embeddings
    patch, side = embeddings.patch_size, round((table.shape[1] - 1) ** 0.5)
    rows, columns = height // patch, width // patch
    if (rows, columns) == (side, side) and height == width:
        return table
    grid = table[:, 1:].reshape(1, side, side, -1).permute(0, 3, 1, 2)
    factors = ((rows + 0.1) / side, (columns + 0.1) / side)
    grid = F.interpolate(grid, scale_factor=factors, mode="bicubic", align_corners=False)
    return torch.cat([table[:, :1], grid.permute(0, 2, 3, 1).flatten(1, 2)], dim=1)


def _hub_names(state: dict[str, Tensor], path: str) -> dict[str, Tensor]:
    """DINO's tensors under the names that they have on the hub."""
    renamed: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"blocks\.(\d+)\.(.+)\.(weight|bias)", name)
        if block is None:
            renamed[_OUTSIDE.get(name, name)] = tensor
            continue
        number, layer, kind = block.groups()
        prefix = f"encoder.layer.{number}"
        if layer == "attn.qkv":
            for part, third in zip(("query", "key", "value"), tensor.chunk(3)):
                renamed[f"{prefix}.attention.attention.{part}.{kind}"] = third
        else:
            renamed[f"{prefix}.{_BLOCK.get(layer, layer)}.{kind}"] = tensor
    missing = [name for name, hub_name in _OUTSIDE.items() if hub_name not in renamed]
    if missing or "encoder.layer.0.intermediate.dense.weight" not in renamed:
        raise WeightsError(f"{path}: not DINO's weights: {', '.join(missing) or 'blocks.0'} missing")
    return renamed


def _sizes(state: dict[str, Tensor]) -> dict[str, int]:
    """The configuration that the tensors' shapes tell; every DINO has heads of 64."""
    width, _, _, patch = state["embeddings.patch_embeddings.projection.weight"].shape
    side = round((state["embeddings.position_embeddings"].shape[1] - 1) ** 0.5)
    return {
        "hidden_size": width,
        "num_hidden_layers": 1 + max(int(name.split(".")[2]) for name in state if name.startswith("encoder.layer.")),
        "num_attention_heads": width // 64,
        "intermediate_size": state["encoder.layer.0.intermediate.dense.weight"].shape[0],
        "image_size": side * patch,
        "patch_size": patch,
    }
