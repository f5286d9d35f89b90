"""Tokenizers of the tiny stack: byte-level BPE trained on the world's own sentences, so that any text can be read.

Rare words fall apart into bytes, as they do in the tokenizers of the large models.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning.shapes.captions import state, user_prompt
from rapo_lightning.shapes.dataset import training_caption
from rapo_lightning.shapes.scene import sample

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

__all__ = ["sentences", "train_tokenizer"]


def sentences(count: int, seed: int) -> list[str]:
    """Captions and user prompts of the training split, alternating: what the tokenizers are trained on."""
    rng = np.random.default_rng(seed)
    texts = []
    for _ in range(count // 2):
        scene = sample(rng, "train")
        texts += [training_caption(scene, rng), user_prompt(state(scene, rng), rng)]
    return texts


def train_tokenizer(texts: Iterable[str], vocabulary: int, *, pad: str, end: str) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer that ends every text with ``end``, as T5 encoders expect."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[pad, end],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {end}", special_tokens=[(end, tokenizer.token_to_id(end))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=pad, eos_token=end, padding_side="right")
