"""A Qwen2.5-VL model folder of the real classes, small enough for a test: 0.1 M weights, bytes as tokens, 8-pixel patches.

``build_judge(folder)`` writes it in a tenth of a second; ``teach(folder, lessons)`` overfits it so that it says given replies
about given videos, in seconds; ``clip(colour)`` makes a video to show it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    GenerationConfig,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
)

from rapo_lightning.judges.vision_inputs import VisionInputs
from rapo_lightning.types import Message

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>"]
CHAT_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""


def build_judge(folder: Path, *, seed: int = 0) -> Path:
    """Write a whole model folder with random weights from ``seed``: safetensors, tokenizer, chat template, image settings."""
    tokenizer = _byte_tokenizer()
    ids = {name: tokenizer.convert_tokens_to_ids(name) for name in SPECIAL}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 4096,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 2, 2]},
            "bos_token_id": None,
            "eos_token_id": ids["<|im_end|>"],
            "pad_token_id": ids["<|endoftext|>"],
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 8,
            "window_size": 32,
            "fullatt_block_indexes": [1],
            "tokens_per_second": 2,
            "out_hidden_size": 48,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=True,
    )
    torch.manual_seed(seed)
    model = Qwen2_5_VLForConditionalGeneration(config)
    # As published folders do: settings that a judge must not follow.
    model.generation_config = GenerationConfig(
        do_sample=True,
        temperature=0.9,
        repetition_penalty=1.05,
        eos_token_id=[ids["<|im_end|>"], ids["<|endoftext|>"]],
        pad_token_id=ids["<|endoftext|>"],
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    preprocessor = {
        "image_processor_type": "Qwen2VLImageProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "patch_size": 8,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "min_pixels": 16 * 16,
        "max_pixels": 128 * 128,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(preprocessor), encoding="utf-8")
    return folder


def clip(colour: tuple[int, int, int], *, frames: int = 9, height: int = 32, width: int = 32) -> NDArray[np.uint8]:
    """A square of ``colour`` that moves to the right over a grey picture; (T, H, W, 3) uint8."""
    frames_THWC = np.full((frames, height, width, 3), 90, np.uint8)
    for index, frame_HWC in enumerate(frames_THWC):
        frame_HWC[height // 3 : height // 3 * 2, index : index + width // 3] = colour
    return frames_THWC


def teach(folder: Path, lessons: Sequence[tuple[Sequence[Message], NDArray[np.uint8], float, str]], *, steps: int = 150) -> float:
    """Overfit the model of ``folder`` to ``lessons`` (messages, frames, fps, reply) in place; returns the last loss."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder)
    tokenizer = Qwen2Tokenizer.from_pretrained(folder)
    inputs = VisionInputs(folder, model.config, tokenizer)
    messages, videos, fps, replies = zip(*lessons)
    texts = [inputs.text(conversation) + reply + "<|im_end|>" for conversation, reply in zip(messages, replies)]
    batch = inputs(texts, videos, fps)
    labels = torch.full_like(batch["input_ids"], -100)
    for row, reply in enumerate(replies):
        length = len(tokenizer(reply)["input_ids"]) + 1
        labels[row, -length:] = batch["input_ids"][row, -length:]
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
    model.save_pretrained(folder)
    return float(loss.detach())


def _byte_tokenizer() -> Qwen2Tokenizer:
    from tokenizers.pre_tokenizers import ByteLevel

    vocabulary = {token: index for index, token in enumerate([*sorted(ByteLevel.alphabet()), *SPECIAL])}
    tokenizer = Qwen2Tokenizer(vocab=vocabulary, merges=[], extra_special_tokens=SPECIAL[1:])
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer
