"""Tokens of many texts by a tokenizer that looks at each word alone, as BERT's does: each distinct word is tokenised once.

Phrases of captions share their words, so that nearly all of a large build's tokenising is looking words up in a dictionary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WordTokens", "spread"]

#: Distinct words that are remembered; with more, all are forgotten.
_MOST = 200_000


@final
class WordTokens:
    """What a tokenizer makes of each word, and of texts as their words' tokens between its special ones; threads may share it.

    Args:
        backend: a tokenizer of the library ``tokenizers``; `of` checks that it cuts at every space first of all.
    """

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        backend.no_padding()
        backend.no_truncation()
        whole, plain = (backend.encode("a", add_special_tokens=special).ids for special in (True, False))
        before = next(place for place in range(len(whole)) if whole[place : place + len(plain)] == plain)
        self._first = np.array(whole[:before], dtype=np.int64)
        self._last = np.array(whole[before + len(plain) :], dtype=np.int64)
        self._known = _Known()

    @classmethod
    def of(cls, backend: Any) -> WordTokens | None:
        """None when a text's tokens may be others than those of its words: with any tokenizer that is not built as BERT's."""
        parts = json.loads(backend.to_str())
        cuts_at_spaces = (
            parts["model"]["type"] == "WordPiece"
            and (parts["pre_tokenizer"] or {}).get("type") == "BertPreTokenizer"
            and (parts["normalizer"] or {"type": "BertNormalizer"})["type"] == "BertNormalizer"
            and not any(token["normalized"] or " " in token["content"] for token in parts["added_tokens"])
        )
        return cls(backend) if cuts_at_spaces and backend.encode("a", add_special_tokens=False).ids else None

    def tokens(self, texts: Sequence[str], limit: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The texts' tokens one after the other, special tokens included, and how many each has (N,).

        ``limit``: tokens of a text at most; words' last ones are cut off. ``backend`` must not cut or pad.
        """
        counts = np.fromiter(map(str.count, texts, repeat(" ")), dtype=np.int64, count=len(texts)) + 1
        # One list: a list for each text would call for the garbage collector, which takes longer than all of this.
        known, numbers = self._look_up(" ".join(texts).split(" ") if texts else [])
        of_text = np.repeat(np.arange(len(texts)), counts)
        content = np.bincount(of_text, weights=known.lengths[numbers], minlength=len(texts)).astype(np.int64)
        own = spread(known.starts[numbers], known.lengths[numbers])
        around = len(self._first) + len(self._last)
        if limit is not None and len(content) and int(content.max()) > limit - around:
            place = np.arange(len(own)) - np.repeat(content.cumsum() - content, content)
            own = own[place < max(0, limit - around)]
            content = np.minimum(content, max(0, limit - around))
        total = content + around
        ends = total.cumsum()
        tokens = np.empty(int(total.sum()), dtype=np.int64)
        tokens[spread(ends - total + len(self._first), content)] = known.tokens[own]
        for special, starts in ((self._first, ends - total), (self._last, ends - len(self._last))):
            tokens[starts[:, None] + np.arange(len(special))] = special
        return tokens, total

    def _look_up(self, words: list[str]) -> tuple[_Known, NDArray[np.int64]]:
        """What is known after these words, and their numbers there."""
        known = self._known
        with suppress(KeyError):
            return known, known.numbers(words)
        known = known if len(known.number) <= _MOST else _Known()
        new = [word for word in dict.fromkeys(words) if word not in known.number]
        found = [encoding.ids for encoding in self._backend.encode_batch_fast(new, add_special_tokens=False)]
        lengths = np.fromiter(map(len, found), dtype=np.int64, count=len(found))
        tokens = np.fromiter(chain.from_iterable(found), dtype=np.int64, count=int(lengths.sum()))
        self._known = known = _Known(
            number=known.number | dict(zip(new, range(len(known.number), len(known.number) + len(new)), strict=True)),
            starts=np.concatenate([known.starts, len(known.tokens) + lengths.cumsum() - lengths]),
            lengths=np.concatenate([known.lengths, lengths]),
            tokens=np.concatenate([known.tokens, tokens]),
        )
        return known, known.numbers(words)


def _none() -> NDArray[np.int64]:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """Words by number (W): where the tokens of each start in ``tokens``, and how many it has."""

    number: dict[str, int] = field(default_factory=dict)
    starts: NDArray[np.int64] = field(default_factory=_none)
    lengths: NDArray[np.int64] = field(default_factory=_none)
    tokens: NDArray[np.int64] = field(default_factory=_none)

    def numbers(self, words: list[str]) -> NDArray[np.int64]:
        """Of each word; `KeyError` where one is unknown."""
        return np.fromiter(map(self.number.__getitem__, words), dtype=np.int64, count=len(words))


def spread(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each start and the numbers that follow it, as many as its length says."""
    return np.arange(int(lengths.sum())) + np.repeat(starts - (lengths.cumsum() - lengths), lengths)
