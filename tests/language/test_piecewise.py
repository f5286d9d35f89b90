"""Tokens a piece at a time are those of the whole text, whatever a tokenizer does at a text's beginning or beside its tokens."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from rapo_lightning.language import piecewise as module
from rapo_lightning.language.piecewise import piecewise
from tests.tiny_language import tiny_tokenizer

BASE = ["a red ball moves left over the sea", "and the blue ball rolls down"]


def metaspace(scheme: str) -> PreTrainedTokenizerFast:
    """As Llama 2's newer files (``first``) or T5's (``always``)."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)  # type: ignore[arg-type]
    return trained(tokenizer)


def prepending() -> PreTrainedTokenizerFast:
    """As Llama 2's older files: a normaliser puts a blank before, nothing cuts words."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return trained(tokenizer)


def byte_level(**options: bool) -> PreTrainedTokenizerFast:
    """Control tokens that take blanks with them, or are words of their own."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    return trained(tokenizer, **options)


def trained(tokenizer: Tokenizer, **options: bool) -> PreTrainedTokenizerFast:
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False)
    tokenizer.train_from_iterator(BASE * 4, trainer)
    tokenizer.add_special_tokens([AddedToken("<s>", **options), AddedToken("<s>x", normalized=False), "[I]"])
    tokenizer.add_tokens([AddedToken("sea", normalized=True)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


KINDS: dict[str, Callable[[], PreTrainedTokenizerFast]] = {
    "tiny": tiny_tokenizer,
    "first": lambda: metaspace("first"),
    "always": lambda: metaspace("always"),
    "prepending": prepending,
    "bytes": byte_level,
    "rstrip": lambda: byte_level(rstrip=True),
    "lstrip": lambda: byte_level(lstrip=True),
    "single word": lambda: byte_level(single_word=True),
}
MARKS = (
    "<s>",
    "<s>x",
    "[I]",
    "<|im_start|>",
    "<|im_end|>",
    "<|begin|>",
    "sea",
    " ",
    "\n",
    "e\u0301",
    "a red ball",
    "x",
    "'s",
    "",
)
made = cache(lambda kind: KINDS[kind]())


def plainly(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    return [list(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]


@pytest.mark.parametrize("kind", KINDS)
@given(texts=st.lists(st.lists(st.sampled_from(MARKS), max_size=8).map("".join), max_size=6))
def test_tokens_are_those_of_the_whole_text(kind: str, texts: list[str]) -> None:
    assert piecewise(made(kind), texts) == plainly(made(kind), texts)


@pytest.mark.parametrize(("kind", "pieces"), [("tiny", 3), ("prepending", 3), ("first", 1), ("single word", 1)])
def test_texts_are_cut_where_that_changes_nothing(kind: str, pieces: int) -> None:
    mark = "<|im_end|>" if kind == "tiny" else "[I]"
    assert len(module._cutter(made(kind))(f"a{mark}b{mark}c")) == pieces


def test_no_texts() -> None:
    assert piecewise(tiny_tokenizer(), []) == []
    assert piecewise(tiny_tokenizer(), ["", ""]) == [[], []]
