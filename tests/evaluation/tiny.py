"""Tiny backbones with random weights, saved in the formats of the real ones: same file names, keys and configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["clip_folder", "dino_file", "dino_folder", "head_file", "random_state", "state_of"]


def random_state(model: Any, seed: int) -> Any:
    """Weights of about the size that keeps signals alive, norms near 1, so that every term counts."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            fan_in = tensor[0].numel() if tensor.ndim > 1 else 25
            tensor.copy_(1 + 0.2 * noise if "norm" in name and name.endswith("weight") else noise / fan_in**0.5)
            if name == "logit_scale":
                tensor.fill_(4.6)
    return model.eval()


def state_of(folder: Path) -> dict[str, Tensor]:
    """The tensors in a model folder, by the names on disk."""
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def dino_folder(folder: Path, patch: int = 32, eps: float = 1e-12) -> Path:
    """As facebook/dino-vitb16: heads of 64, the wrong epsilon in the configuration, a pooler that nobody needs."""
    from transformers import ViTConfig, ViTModel

    config = ViTConfig(
        hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=96, layer_norm_eps=eps,
        image_size=224, patch_size=patch,
    )  # fmt: skip
    random_state(ViTModel(config), 1).save_pretrained(folder)
    return folder


def dino_file(path: Path, folder: Path) -> Path:
    """The same weights as DINO's authors name them: ``blocks.N.attn.qkv`` and so on."""
    state, renamed = state_of(folder), {}
    for ours, theirs in {
        "cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings", "norm.weight": "layernorm.weight",
        "norm.bias": "layernorm.bias", "patch_embed.proj.weight": "embeddings.patch_embeddings.projection.weight",
        "patch_embed.proj.bias": "embeddings.patch_embeddings.projection.bias",
    }.items():  # fmt: skip
        renamed[ours] = state[theirs]
    for block in range(2):
        for kind in ("weight", "bias"):
            layer = {name: f"encoder.layer.{block}.{name}.{kind}" for name in (
                "attention.attention.query", "attention.attention.key", "attention.attention.value", "attention.output.dense",
                "layernorm_before", "layernorm_after", "intermediate.dense", "output.dense")}  # fmt: skip
            q, k, v, out, before, after, up, down = (state[name] for name in layer.values())
            renamed |= {
                f"blocks.{block}.attn.qkv.{kind}": torch.cat([q, k, v]), f"blocks.{block}.attn.proj.{kind}": out,
                f"blocks.{block}.norm1.{kind}": before, f"blocks.{block}.norm2.{kind}": after,
                f"blocks.{block}.mlp.fc1.{kind}": up, f"blocks.{block}.mlp.fc2.{kind}": down,
            }  # fmt: skip
    torch.save(renamed, path)
    return path


def clip_folder(folder: Path, seed: int = 2) -> Path:
    """As openai/clip-vit-base-patch32, with its tokenizer: letters, two merges, start and end as the last two ids."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "th", "the</w>", "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    tokenizer: Any = CLIPTokenizer(vocab=vocabulary, merges=[("t", "h"), ("th", "e</w>")])  # type: ignore[arg-type]
    tokenizer.save_pretrained(folder)
    text = {"vocab_size": len(tokens), "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
            "num_attention_heads": 1, "max_position_embeddings": 77, "eos_token_id": 2}  # fmt: skip
    vision = {"hidden_size": 128, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": 224, "patch_size": 56}  # fmt: skip
    config = CLIPConfig(text_config=text, vision_config=vision, projection_dim=32)
    random_state(CLIPModel(config), seed).save_pretrained(folder)
    return folder


def head_file(path: Path, width: int = 32) -> Path:
    """As LAION's sa_0_4_vit_l_14_linear.pth."""
    generator = torch.Generator().manual_seed(3)
    weight = 3 * torch.randn(1, width, generator=generator)
    torch.save({"weight": weight, "bias": torch.tensor([5.0])}, path)
    return path
