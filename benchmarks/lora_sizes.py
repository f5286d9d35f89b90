"""What `benchmarks.lora` trains: models of published sizes with random weights, and lessons of random tokens."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import torch

from rapo_lightning.tuning.tokens import TokenLesson

__all__ = ["SIZES", "make_lessons", "make_model"]

SIZES: dict[str, dict[str, Any]] = {
    "8b": {  # Llama 3.1
        "vocab_size": 128_256,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
        "max_position_embeddings": 8192,
    },
    "tiny": {
        "vocab_size": 512,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 1024,
    },
}


def make_lessons(count: int, vocabulary: int) -> list[TokenLesson]:
    """Random tokens of the lengths that refiners' lessons have: a question of some 180 tokens, an answer of some 90."""
    rng = np.random.default_rng(0)
    heads, tails = rng.normal(180, 40, count).clip(60, 400), rng.normal(90, 25, count).clip(20, 200)
    return [
        TokenLesson(tuple(rng.integers(3, vocabulary, int(head) + int(tail)).tolist()), int(head))
        for head, tail in zip(heads, tails, strict=True)
    ]


def make_model(size: str, device: torch.device) -> Any:
    """A Llama with random weights that are not zero, in bfloat16 on a GPU."""
    from transformers import LlamaConfig, LlamaForCausalLM

    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    with torch.device(device), _default_dtype(dtype):
        model: Any = LlamaForCausalLM(LlamaConfig(**SIZES[size], tie_word_embeddings=False))
        return model.eval()


@contextlib.contextmanager
def _default_dtype(dtype: torch.dtype) -> Any:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
