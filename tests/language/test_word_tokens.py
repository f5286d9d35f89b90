"""Tokens by words: exactly the tokenizer's own, each word tokenised once, and only where that holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from rapo_lightning.language import word_tokens
from rapo_lightning.language.word_tokens import WordTokens

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
PIECES = ["ba", "be", "b", "a", "e", "σ", "s", "ss", "i", "1", "-", ".", "你", "é", "[", "]", "mask"]


def bert(*, lowercase: bool = True, both: bool = True) -> Tokenizer:
    """A small tokenizer as BERT's: WordPiece, with special tokens at both ends or at none."""
    names = [*SPECIAL, *PIECES, *(f"##{piece}" for piece in PIECES)]
    vocabulary = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=12))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    if both:
        ends = [("[CLS]", vocabulary["[CLS]"]), ("[SEP]", vocabulary["[SEP]"])]
        tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def own(tokenizer: Tokenizer, text: str, limit: int | None) -> list[int]:
    if limit is None:
        tokenizer.no_truncation()
    else:
        tokenizer.enable_truncation(limit)
    return tokenizer.encode(text).ids


def by_words(tokenizer: Tokenizer, texts: list[str], limit: int | None) -> list[list[int]]:
    words = WordTokens.of(tokenizer)
    assert words is not None
    tokens, lengths = words.tokens(texts, limit)
    assert len(tokens) == lengths.sum()
    ends = lengths.cumsum().tolist()
    return [tokens[end - length : end].tolist() for end, length in zip(ends, lengths.tolist(), strict=True)]


#: Letters that are in the words, and what normalisers and tokenizers treat in ways of their own.
LETTERS = st.text(alphabet="ab eBAésΣσSß 1-.[]你好 \t\n\u00a0\u2003\u0301\u0307\u200b\u0000\ufffdİﬁ")
TEXTS = st.lists(
    st.lists(LETTERS | st.sampled_from(["ba", "[MASK]", "[mask]", "[CLS]", "", " "]), max_size=6).map(" ".join) | st.text(),
    max_size=5,
)


@given(texts=TEXTS, limit=st.none() | st.integers(2, 9), lowercase=st.booleans(), both=st.booleans())
@example(texts=["", " ", "ba  be", "x[MASK]ba e\u0301 \u0301a [MASK ]"], limit=None, lowercase=True, both=True)
def test_tokens_are_the_tokenizer_s_own(texts: list[str], limit: int | None, lowercase: bool, both: bool) -> None:
    found = by_words(bert(lowercase=lowercase, both=both), texts, limit)
    other = bert(lowercase=lowercase, both=both)
    assert found == [own(other, text, limit) for text in texts]


def test_each_word_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    class Backend:
        """A tokenizer that tells what it is asked."""

        def __init__(self, tokenizer: Tokenizer) -> None:
            self.tokenizer = tokenizer

        def __getattr__(self, name: str) -> Any:
            return getattr(self.tokenizer, name)

        def encode_batch_fast(self, texts: list[str], **settings: Any) -> Any:
            asked.extend(texts)
            return self.tokenizer.encode_batch_fast(texts, **settings)

    words = WordTokens(Backend(bert()))
    first = words.tokens(["ba be", "be ba ba"], None)
    again = words.tokens(["be", "ba a"], None)
    assert asked == ["ba", "be", "a"]
    assert [first[1].tolist(), again[1].tolist()] == [[4, 5], [3, 4]]
    monkeypatch.setattr(word_tokens, "_MOST", 2)
    assert words.tokens(["be", "ba a"], None)[0].tolist() == again[0].tolist()
    words.tokens(["be", "bi"], None)
    assert asked == ["ba", "be", "a", "be", "bi"], "memory is bounded"


def test_a_tokenizer_that_is_set_to_cut_and_pad() -> None:
    tokenizer = bert()
    tokenizer.enable_padding(length=16)
    tokenizer.enable_truncation(2)
    assert by_words(tokenizer, ["ba be a"], None) == [bert().encode("ba be a").ids]


def with_parts(**parts: Any) -> Tokenizer:
    tokenizer = bert()
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def with_token(token: AddedToken) -> Tokenizer:
    tokenizer = bert()
    tokenizer.add_tokens([token])
    return tokenizer


@pytest.mark.parametrize(
    "tokenizer",
    [
        with_parts(pre_tokenizer=pre_tokenizers.ByteLevel()),
        with_parts(pre_tokenizer=None),
        with_parts(normalizer=normalizers.Replace("a b", "c")),
        with_token(AddedToken("ba be", normalized=False)),
        with_token(AddedToken("ba", normalized=True)),
        Tokenizer(models.BPE()),
        Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]")),
    ],
)
def test_others_are_left_alone(tokenizer: Tokenizer) -> None:
    assert WordTokens.of(tokenizer) is None
