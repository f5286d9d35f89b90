"""Builds tiny chat models with random weights: the real classes, tokenizer and chat template, saved in a folder in 0.1 s."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen3Config,
)

FAMILIES = ("qwen2", "llama", "mistral", "qwen3")

_CONFIGS: dict[str, type[PretrainedConfig]] = {
    "qwen2": Qwen2Config,
    "llama": LlamaConfig,
    "mistral": MistralConfig,
    "qwen3": Qwen3Config,
}
_CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
#: What the families' published templates do: Llama's writes the start token, Mistral's first ones refuse a system message,
#: Qwen3's writes an empty thought when thinking is off.
_TEMPLATES = {
    "qwen2": _CHATML,
    "llama": "{{ bos_token }}" + _CHATML,
    "mistral": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + _CHATML,
    "qwen3": _CHATML + "{% if not enable_thinking %}<think>\n\n</think>\n\n{% endif %}",
}
_WORDS = "a red square moves left over the sea, and the blue ball rolls down a green hill in soft light. Prompt: score\n"


def tiny_tokenizer(family: str = "qwen2") -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer of at most 400 tokens; like Llama's it adds a start token when called on plain text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|begin|>", "<|end|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([_WORDS] * 4, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<|begin|> $A", special_tokens=[("<|begin|>", 0)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|begin|>",
        eos_token="<|im_end|>",
        extra_special_tokens=["<|im_start|>", "<|end|>"],
        chat_template=_TEMPLATES[family],
    )


def save_chat_model(folder: Path, family: str = "qwen2", *, seed: int = 0, context: int = 512, **config: Any) -> Path:
    """Saves a random model of ``family`` and its tokenizer in ``folder`` and returns it.

    The weights are large (standard deviation 0.3), so that answers vary with what is asked.
    """
    tokenizer = tiny_tokenizer(family)
    settings: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": context,
        "initializer_range": 0.3,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
        **config,
    }
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(_CONFIGS[family](**settings))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
