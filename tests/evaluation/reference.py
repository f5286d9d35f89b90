"""Transformers written out plainly, one frame at a time in float64, from the tensors on disk: what the backbones must compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

__all__ = ["clip_image", "clip_text", "cosine", "dino_features", "encoder", "erf_gelu", "norm", "quick_gelu"]

State = dict[str, Tensor]


def norm(x: Tensor, state: State, name: str, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    scaled = centred / (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt()
    return scaled * state[f"{name}.weight"].double() + state[f"{name}.bias"].double()


def linear(x: Tensor, state: State, name: str) -> Tensor:
    y = x @ state[f"{name}.weight"].double().T
    return y + state[f"{name}.bias"].double() if f"{name}.bias" in state else y


def erf_gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / 2**0.5))


def quick_gelu(x: Tensor) -> Tensor:
    return x / (1 + torch.exp(-1.702 * x))


def attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None = None) -> Tensor:
    out = []
    size = q.shape[-1] // heads
    for head in range(heads):
        part = slice(head * size, (head + 1) * size)
        logits = q[:, part] @ k[:, part].T / size**0.5
        if mask is not None:
            logits = logits + mask
        weights = torch.exp(logits - logits.max(-1, keepdim=True).values)
        out.append(weights / weights.sum(-1, keepdim=True) @ v[:, part])
    return torch.cat(out, -1)


def encoder(
    x: Tensor, state: State, prefix: str, names: dict[str, str], heads: int, eps: float, act: Callable[[Tensor], Tensor],
    mask: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """Pre-norm blocks of x (N, D); ``names`` maps norm1, q, k, v, out, norm2, up, down to names on disk."""
    block = 0
    while any(name.startswith(f"{prefix}.{block}.") for name in state):
        at = {short: f"{prefix}.{block}.{name}" for short, name in names.items()}
        h = norm(x, state, at["norm1"], eps)
        q, k, v = (linear(h, state, at[which]) for which in "qkv")
        x = x + linear(attention(q, k, v, heads, mask), state, at["out"])
        x = x + linear(act(linear(norm(x, state, at["norm2"], eps), state, at["up"])), state, at["down"])
        block += 1
    return x


def patches(image: Tensor, state: State, name: str) -> Tensor:
    """(h * w, D): each patch times the kernel; what does not fill a patch is left."""
    kernel = state[f"{name}.weight"].double()
    size = kernel.shape[-1]
    rows, columns = image.shape[1] // size, image.shape[2] // size
    cut = [image[:, r * size : (r + 1) * size, c * size : (c + 1) * size] for r in range(rows) for c in range(columns)]
    bias = state[f"{name}.bias"].double() if f"{name}.bias" in state else 0.0
    return torch.stack([(kernel * patch).sum((1, 2, 3)) for patch in cut]) + bias


def cubic_by_factor(before: int, after: int, factor: float) -> np.ndarray:
    def kernel(x: float, a: float = -0.75) -> float:
        x = abs(x)
        if x <= 1:
            return (a + 2) * x**3 - (a + 3) * x**2 + 1
        return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0

    weights = np.zeros((after, before))
    for i in range(after):
        x = (i + 0.5) / factor - 0.5
        for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
            weights[i, min(max(j, 0), before - 1)] += kernel(x - j)
    return weights


def dino_features(image: Tensor, state: State, heads: int) -> Tensor:
    """(D,) of one normalised frame (3, H, W)."""
    tokens = patches(image.double(), state, "embeddings.patch_embeddings.projection")
    size = state["embeddings.patch_embeddings.projection.weight"].shape[-1]
    rows, columns = image.shape[1] // size, image.shape[2] // size
    table = state["embeddings.position_embeddings"][0].double()
    side = round((len(table) - 1) ** 0.5)
    grid = table[1:].view(side, side, -1).numpy()
    if len(tokens) != side * side or image.shape[1] != image.shape[2]:
        down = cubic_by_factor(side, rows, (rows + 0.1) / side)
        across = cubic_by_factor(side, columns, (columns + 0.1) / side)
        grid = np.einsum("ra,cb,abd->rcd", down, across, grid)
    x = torch.cat(
        [state["embeddings.cls_token"][0].double() + table[:1], tokens + torch.from_numpy(grid).reshape(len(tokens), -1)]
    )
    names = {"norm1": "layernorm_before", "norm2": "layernorm_after", "q": "attention.attention.query",
             "k": "attention.attention.key", "v": "attention.attention.value", "out": "attention.output.dense",
             "up": "intermediate.dense", "down": "output.dense"}  # fmt: skip
    x = encoder(x, state, "encoder.layer", names, heads, 1e-6, erf_gelu)
    return norm(x, state, "layernorm", 1e-6)[0]


CLIP_NAMES = {"norm1": "layer_norm1", "norm2": "layer_norm2", "q": "self_attn.q_proj", "k": "self_attn.k_proj",
              "v": "self_attn.v_proj", "out": "self_attn.out_proj", "up": "mlp.fc1", "down": "mlp.fc2"}  # fmt: skip


def clip_image(image: Tensor, state: State, heads: int) -> Tensor:
    """(D,) of one normalised frame (3, 224, 224)."""
    at = "vision_model"
    x = torch.cat([state[f"{at}.embeddings.class_embedding"].double()[None],
                   patches(image.double(), state, f"{at}.embeddings.patch_embedding")])  # fmt: skip
    x = norm(x + state[f"{at}.embeddings.position_embedding.weight"].double(), state, f"{at}.pre_layrnorm", 1e-5)
    x = encoder(x, state, f"{at}.encoder.layers", CLIP_NAMES, heads, 1e-5, quick_gelu)
    return linear(norm(x[0], state, f"{at}.post_layernorm", 1e-5), state, "visual_projection")


def clip_text(ids: list[int], state: State, heads: int) -> Tensor:
    """(D,) of one text's tokens, ended by the end token; what follows it cannot be seen."""
    at = "text_model"
    x = state[f"{at}.embeddings.token_embedding.weight"].double()[ids]
    x = x + state[f"{at}.embeddings.position_embedding.weight"].double()[: len(ids)]
    mask = torch.full((len(ids), len(ids)), -torch.inf, dtype=torch.float64).triu(1)
    x = encoder(x, state, f"{at}.encoder.layers", CLIP_NAMES, heads, 1e-5, quick_gelu, mask)
    return linear(norm(x[-1], state, f"{at}.final_layer_norm", 1e-5), state, "text_projection")


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))
