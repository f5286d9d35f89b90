"""Trains the tiny language model (Qwen2, with a chat template) on the suite's own templates.

    python -m rapo_lightning.shapes.train_language --out build/language
    python -m rapo_lightning.shapes.train_language --out build/language --small

Cross-entropy on the answer's tokens only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.shapes.chat import END, PAD, chat_tokenizer, packed_rows, rendered, tokenized
from rapo_lightning.shapes.fit import CAUSAL, Fit, fit
from rapo_lightning.shapes.lessons import TEMPLATES, lesson
from rapo_lightning.shapes.script import drawn, run, training_parser
from rapo_lightning.templates import Template
from rapo_lightning.types import Message

__all__ = ["language_model", "train"]

LENGTH = 768  # tokens of a row


def language_model(vocabulary: int, end: int, pad: int, small: bool = False) -> Any:
    """A fresh Qwen2 causal language model of about 5 M parameters."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=vocabulary,
            hidden_size=32 if small else 256,
            intermediate_size=64 if small else 768,
            num_hidden_layers=1 if small else 6,
            num_attention_heads=1 if small else 4,
            num_key_value_heads=1 if small else 4,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=end,
            pad_token_id=pad,
        )
    )


def train(
    out: Path,
    *,
    options: Fit,
    batch_size: int,
    examples: int,
    workers: int,
    device: str,
    small: bool,
    initial: Path | None = None,
    compile: bool = False,
) -> dict[str, Any]:
    """Train, from the model in ``initial`` when given, and save model and tokenizer to ``out``."""
    from transformers import AutoTokenizer, Qwen2ForCausalLM

    torch.manual_seed(options.seed)
    began = time.perf_counter()
    data = drawn(_lessons, examples, options.seed, workers)
    sample = data[: min(len(data), 8000)]
    texts = [m["content"] for messages, _ in sample for m in messages] + [answer for _, answer in sample]
    tokenizer: Any = AutoTokenizer.from_pretrained(initial) if initial else chat_tokenizer(texts, 1600)
    end, pad = (int(tokenizer.convert_tokens_to_ids(token)) for token in (END, PAD))
    pairs = tokenized(tokenizer, [rendered(messages) for messages, _ in data], [answer for _, answer in data])
    tokens, answer = (t.to(device) for t in packed_rows(pairs, LENGTH, pad))
    line = {"name": "language", "examples": len(data), "rows": len(tokens)}
    print(json.dumps(line | {"seconds": round(time.perf_counter() - began, 1)}), flush=True)
    if initial:
        model: Any = Qwen2ForCausalLM.from_pretrained(initial, dtype=torch.float32)
    else:
        model = language_model(len(tokenizer), end, pad, small)
    model.to(device)
    if compile:
        for layer in model.model.layers:
            layer.compile(dynamic=False)

    def batch(step: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + step)
        index = torch.randint(len(tokens), (batch_size,), generator=generator, device=device)
        return tokens[index].long(), answer[index]

    def loss(words: Tensor, answered: Tensor) -> Tensor:
        with torch.autocast(words.device.type, torch.bfloat16, enabled=words.is_cuda, cache_enabled=False):
            # Rows are padded on the right and attention is causal: padding cannot be seen.
            hidden = model.model(input_ids=words, attention_mask=CAUSAL, use_cache=False).last_hidden_state
            logits = model.lm_head(hidden[:, :-1])
        errors = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), words[:, 1:].flatten(), reduction="none")
        weight = answered[:, 1:].flatten()
        return (errors * weight).sum() / weight.sum()

    result: dict[str, Any] = fit("language", model, batch, loss, options, out)
    result["parameters"] = sum(p.numel() for p in model.parameters())
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    return result


def _lessons(task: tuple[int, int]) -> list[tuple[Sequence[Message], str]]:
    count, seed = task
    rng = np.random.default_rng(seed)
    templates = {name: Template.load(name) for name in TEMPLATES}
    return [lesson(rng, templates) for _ in range(count)]


def main() -> None:
    parser = training_parser(__doc__, steps=6_000, batch_size=64, examples=196_608)
    parser.add_argument("--compile", action="store_true", help="compile the model's layers")
    run("language", train, parser, warm_up=500, weight_decay=0.05)


if __name__ == "__main__":
    main()
