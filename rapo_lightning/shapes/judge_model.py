"""The tiny judge's network (Qwen2.5-VL) and how it is trained: whole batches of equal videos at once.

The model's own forward handles videos of any size one by one; here all videos are alike, so the vision tower runs over the batch
as one tensor and positions are computed once. The weights, and what they compute, are the same (a test compares the two).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from rapo_lightning.shapes.fit import CAUSAL

__all__ = ["CELLS", "FPS", "FRAMES", "PAIRS", "PATCH", "EqualVideos", "Tower", "judge_model", "to_patches"]

FRAMES = 9  # every other one of 17
FPS = 8.0
PATCH = 8  # pixels
_MERGE = 2
PAIRS = 5  # 9 frames, the last repeated, two a patch
_SIDE = 64
CELLS = _SIDE // PATCH // _MERGE  # a side: the language model sees one token a cell and pair
MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
VIDEO_TOKENS = PAIRS * CELLS**2


def judge_model(ids: dict[str, int], vocabulary: int, small: bool = False) -> Any:
    """A fresh Qwen2_5_VLForConditionalGeneration of about 4 M parameters; ``ids`` of its special tokens by name."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    width = 48 if small else 192
    vision = 32 if small else 128
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": vocabulary,
            "hidden_size": width,
            "intermediate_size": 96 if small else 576,
            "num_hidden_layers": 1 if small else 5,
            "num_attention_heads": 2 if small else 6,
            "num_key_value_heads": 2 if small else 6,
            "max_position_embeddings": 2048,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [4, 4, 4] if small else [6, 5, 5],
            },
            "bos_token_id": None,
            "eos_token_id": ids["end"],
            "pad_token_id": ids["pad"],
        },
        vision_config={
            "depth": 1 if small else 4,
            "hidden_size": vision,
            "intermediate_size": 2 * vision,
            "num_heads": 1 if small else 4,
            "patch_size": PATCH,
            "spatial_merge_size": _MERGE,
            "temporal_patch_size": 2,
            "window_size": _SIDE,
            "fullatt_block_indexes": [0, 1, 2, 3],
            "tokens_per_second": 2,
            "out_hidden_size": width,
        },
        image_token_id=ids["image"],
        video_token_id=ids["video"],
        vision_start_token_id=ids["vision_start"],
        vision_end_token_id=ids["vision_end"],
        tie_word_embeddings=True,
    )
    return Qwen2_5_VLForConditionalGeneration(config)


def to_patches(frames_BTHWC: Tensor) -> Tensor:
    """Videos in [0, 1], (B, 17, 64, 64, 3), to the normalised patches of the frames seen, (B * 320, 384).

    In the order of Qwen2-VL's processor.
    """
    mean, std = (torch.tensor(values, device=frames_BTHWC.device) for values in (MEAN, STD))
    frames = torch.cat([frames_BTHWC[:, ::2], frames_BTHWC[:, -1:]], dim=1)
    blocks = ((frames - mean) / std).reshape(-1, PAIRS, 2, CELLS, _MERGE, PATCH, CELLS, _MERGE, PATCH, 3)
    return blocks.permute(0, 1, 3, 6, 4, 7, 9, 2, 5, 8).reshape(-1, 3 * 2 * PATCH * PATCH)


class Tower(nn.Module):
    """The judge's vision tower over a batch of equal videos: attention within each pair of frames."""

    def __init__(self, model: Any, rotary: tuple[Tensor, Tensor], compile: bool = False) -> None:
        """``rotary``: the tower's cos and sin for one pair of frames, (64, d)."""
        super().__init__()
        self.visual = model.model.visual
        self.cos, self.sin = (nn.Buffer(value, persistent=False) for value in rotary)
        self._run_block = torch.compile(self._block, dynamic=False) if compile else self._block

    def forward(self, patches: Tensor, batch: int) -> Tensor:
        """What the language model sees, (B, 80, D), of patches from `to_patches`."""
        hidden = self.visual.patch_embed(patches).view(batch * PAIRS, -1, self.visual.config.hidden_size)
        for block in self.visual.blocks:
            hidden = self._run_block(block, hidden)
        return torch.as_tensor(self.visual.merger(hidden.flatten(0, 1))).view(batch, VIDEO_TOKENS, -1)

    def _block(self, block: Any, hidden: Tensor) -> Tensor:
        hidden = hidden + self._attention(block.attn, block.norm1(hidden))
        return torch.as_tensor(hidden + block.mlp(block.norm2(hidden)))

    def _attention(self, attention: Any, hidden: Tensor) -> Tensor:
        """Self-attention within each pair of frames: hidden (N, 64, D)."""
        rows, patches, width = hidden.shape
        qkv = attention.qkv(hidden).view(rows, patches, 3, attention.num_heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = (_rotated(part, self.cos, self.sin) if i < 2 else part for i, part in enumerate(qkv))
        mixed = scaled_dot_product_attention(query, key, value)
        return torch.as_tensor(attention.proj(mixed.transpose(1, 2).reshape(rows, patches, width)))


class EqualVideos(nn.Module):
    """The judge over a batch in which every row starts with the same words and then a video of 9 frames of 64 x 64 pixels."""

    def __init__(self, model: Any, row: Tensor, compile: bool = False) -> None:
        """``row``: the token ids of any one row, (L,); positions are read off the model's own forward on it."""
        super().__init__()
        self.model = model
        self.start = int((row == model.config.video_token_id).nonzero()[0])
        rotary, positions = _observe(model, row)
        self.tower = Tower(model, rotary, compile)
        self.positions = nn.Buffer(positions, persistent=False)
        if compile:
            for layer in model.model.language_model.layers:
                layer.compile(dynamic=False)

    def forward(self, patches: Tensor, words: Tensor) -> Tensor:
        """Logits (B, L - 1, V) of the next token, from `to_patches` and token ids (B, L)."""
        core = self.model.model
        embedded = core.get_input_embeddings()(words)
        seen = self.tower(patches, words.shape[0]).to(embedded.dtype)
        embedded = torch.cat([embedded[:, : self.start], seen, embedded[:, self.start + VIDEO_TOKENS :]], dim=1)
        positions = self.positions.expand(-1, words.shape[0], -1)
        output = core.language_model(inputs_embeds=embedded, position_ids=positions, attention_mask=CAUSAL, use_cache=False)
        return torch.as_tensor(self.model.lm_head(output.last_hidden_state[:, :-1]))


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    first, second = x.float().chunk(2, dim=-1)
    return (x.float() * cos + torch.cat([-second, first], dim=-1) * sin).to(x.dtype)


@torch.no_grad()
def _observe(model: Any, row: Tensor) -> tuple[tuple[Tensor, Tensor], Tensor]:
    """What the model's own forward computes for one video: the vision tower's rotary cos and sin (64, d) and text positions."""
    seen: dict[str, Any] = {}

    def keep_rotary(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        seen["rotary"] = kwargs["position_embeddings"]

    def keep_positions(_: Any, __: Any, kwargs: dict[str, Any]) -> None:
        seen["positions"] = kwargs["position_ids"]

    hooks = [
        model.model.visual.blocks[0].register_forward_pre_hook(keep_rotary, with_kwargs=True),
        model.model.language_model.register_forward_pre_hook(keep_positions, with_kwargs=True),
    ]
    device = row.device
    side = _SIDE // PATCH
    model(
        input_ids=row[None],
        attention_mask=torch.ones_like(row[None]),
        mm_token_type_ids=(row[None] == model.config.video_token_id).int() * 2,
        pixel_values_videos=torch.zeros(PAIRS * side * side, 3 * 2 * PATCH * PATCH, device=device),
        video_grid_thw=torch.tensor([[PAIRS, side, side]], device=device),
        second_per_grid_ts=torch.tensor([4 / FPS], device=device),  # two frames, each two apart,
    )
    for hook in hooks:
        hook.remove()
    cos, sin = (value[: side * side].float() for value in seen["rotary"])
    return (cos, sin), seen["positions"]
