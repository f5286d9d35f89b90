"""The chat form of the tiny language model and judge: ChatML, as the Qwen models have it, and their tokenizers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from transformers import Qwen2Tokenizer

__all__ = ["END", "IMAGE", "PAD", "VIDEO", "VISION_END", "VISION_START", "answer_batch", "chat_tokenizer"]

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
    tokenizer = blank.train_new_from_iterator(texts, vocabulary, show_progress=False)
    tokenizer.chat_template = _TEMPLATE
    return tokenizer


def answer_batch(
    tokenizer: Qwen2Tokenizer, prompts: Sequence[str], answers: Sequence[str], length: int
) -> tuple[Tensor, Tensor]:
    """Token ids (N, length) int16, padded on the right, and where the answer's tokens are, (N, length) bool.

    Rows longer than ``length`` are dropped, since a cut answer teaches to stop early.
    """
    heads = tokenizer(list(prompts), add_special_tokens=False)["input_ids"]
    tails = tokenizer([answer + END for answer in answers], add_special_tokens=False)["input_ids"]
    rows = [(head, tail) for head, tail in zip(heads, tails, strict=True) if len(head) + len(tail) <= length]
    tokens = torch.full((len(rows), length), int(tokenizer.pad_token_id), dtype=torch.int16)
    answer = torch.zeros((len(rows), length), dtype=torch.bool)
    for index, (head, tail) in enumerate(rows):
        tokens[index, : len(head) + len(tail)] = torch.tensor(head + tail, dtype=torch.int16)
        answer[index, len(head) : len(head) + len(tail)] = True
    return tokens, answer
