"""The chat form of the tiny language model and judge: ChatML, as the Qwen models have it, and their tokenizers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.types import Message

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

__all__ = [
    "END",
    "IMAGE",
    "PAD",
    "VIDEO",
    "VISION_END",
    "VISION_START",
    "answer_rows",
    "chat_tokenizer",
    "packed_rows",
    "rendered",
    "tokenized",
]

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
VISION_START, VISION_END, VIDEO, IMAGE = "<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>"
_TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""


def chat_tokenizer(texts: Iterable[str], vocabulary: int) -> Qwen2Tokenizer:
    """A tokenizer with ChatML's marks and the places of images and videos, trained on ``texts``.

    Of Qwen's own class, since `AutoTokenizer` takes that for a Qwen model whatever its folder says, and another class would cut
    the same text differently.
    """
    from transformers import Qwen2Tokenizer

    special = [START, VISION_START, VISION_END, VIDEO, IMAGE]
    blank = Qwen2Tokenizer(eos_token=END, pad_token=PAD, unk_token=PAD, extra_special_tokens=special)
    tokenizer: Qwen2Tokenizer = blank.train_new_from_iterator(texts, vocabulary, show_progress=False)
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def rendered(messages: Sequence[Message], *, video: bool = False) -> str:
    """The conversation as the chat template renders it, up to where the answer starts; a video goes before the last message."""
    parts = [f"{START}{message['role']}\n{message['content']}{END}\n" for message in messages]
    if video:
        last = messages[-1]
        parts[-1] = f"{START}{last['role']}\n{VISION_START}{VIDEO}{VISION_END}{last['content']}{END}\n"
    return "".join(parts) + f"{START}assistant\n"


def tokenized(tokenizer: Qwen2Tokenizer, prompts: Sequence[str], answers: Sequence[str]) -> list[tuple[list[int], list[int]]]:
    """Token ids of each prompt and of its answer, which ends with the end mark."""
    heads = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    tails = tokenizer([answer + END for answer in answers], add_special_tokens=False)["input_ids"]
    return list(zip(heads, tails, strict=True))


def answer_rows(pairs: Sequence[tuple[list[int], list[int]]], length: int, pad: int) -> tuple[Tensor, Tensor]:
    """One conversation a row: token ids (N, length) int16 padded on the right, and where the answer's are, (N, length) bool.

    Raises:
        ValueError: a conversation is longer than ``length``; a cut answer would teach to stop early.
    """
    tokens = np.full((len(pairs), length), pad, np.int16)
    answer = np.zeros((len(pairs), length), np.bool_)
    for row, (head, tail) in enumerate(pairs):
        end = len(head) + len(tail)
        if end > length:
            raise ValueError(f"a conversation of {end} tokens is longer than {length}")
        tokens[row, :end] = head + tail
        answer[row, len(head) : end] = True
    return torch.from_numpy(tokens), torch.from_numpy(answer)


def packed_rows(pairs: Sequence[tuple[list[int], list[int]]], length: int, pad: int) -> tuple[Tensor, Tensor]:
    """As `answer_rows`, but as many conversations a row as fit, one after the other.

    A conversation sees those before it in its row; they say nothing about it, and it learns to pass over them.
    """
    tokens: list[int] = []
    marks: list[bool] = []
    rows: list[tuple[list[int], list[bool]]] = []
    for head, tail in pairs:
        if len(tokens) + len(head) + len(tail) > length and tokens:
            rows.append((tokens, marks))
            tokens, marks = [], []
        tokens = tokens + head + tail
        marks = marks + [False] * len(head) + [True] * len(tail)
    rows.append((tokens, marks))
    out = np.full((len(rows), length), pad, np.int16)
    answer = np.zeros((len(rows), length), np.bool_)
    for row, (words, mask) in enumerate(rows):
        out[row, : len(words)] = words[:length]
        answer[row, : len(mask)] = mask[:length]
    return torch.from_numpy(out), torch.from_numpy(answer)
