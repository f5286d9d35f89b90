"""Texts to batches of tokens for a sentence encoder: tokenised in one call, sorted by length, at most so many tokens a batch.

Texts of one length share a batch without padding (and without a mask, which a device would have to wait for) where there are
enough of them, or always; the others are padded to lengths that differ little.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, final

import numpy as np

from rapo_lightning.language.word_tokens import WordTokens, spread

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

__all__ = ["BatchTokenizer", "TokenBatches", "cut", "moved"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenBatches:
    """Tokenised texts, shortest first.

    ``places`` (N,) says at which row each text is; ``lengths`` (N,) the rows' tokens; ``spans`` the rows, first and last + 1, of
    each batch; ``ids`` the batches' tokens one after the other, each batch (rows, its longest length), padded.
    """

    places: NDArray[np.int64]
    lengths: NDArray[np.int64]
    spans: Sequence[tuple[int, int]]
    ids: NDArray[np.int64]

    def features(self, device: torch.device) -> Iterator[tuple[slice, dict[str, torch.Tensor]]]:
        """Each batch's rows and what the encoder reads, on the device; ``attention_mask`` only where there is padding."""
        import torch

        ids, lengths = moved(self.ids, device), moved(self.lengths, device)  # once for all batches
        start = 0
        for first, last in self.spans:
            width = int(self.lengths[last - 1])
            features = {"input_ids": ids[start : start + (last - first) * width].view(-1, width)}
            if self.lengths[first] != width:
                features["attention_mask"] = (torch.arange(width, device=device) < lengths[first:last, None]).long()
            yield slice(first, last), features
            start += (last - first) * width


@final
class BatchTokenizer:
    """Tokenises as a SentenceTransformer's first module does, without a Python object per token.

    Args:
        tokenizer: a fast tokenizer of transformers that pads on the right; `of` checks that.
        limit: tokens of a text at most; longer ones are cut.
    """

    def __init__(self, tokenizer: Any, limit: int | None) -> None:
        self._tokenizer = tokenizer
        self._limit = limit
        self._words = WordTokens.of(tokenizer.backend_tokenizer)

    @classmethod
    def of(cls, module: Any) -> BatchTokenizer | None:
        """The tokenizer of a `Transformer` module; None when it does more than `tokenise` can repeat."""
        tokenizer: Any = getattr(module, "tokenizer", None)
        plain = (
            getattr(tokenizer, "is_fast", False)
            and tokenizer.padding_side == tokenizer.truncation_side == "right"
            and not getattr(tokenizer, "split_special_tokens", False)
            and not getattr(module, "processing_kwargs", None)
        )
        if not plain:
            return None
        limit = module.max_seq_length
        found = cls(tokenizer, None if limit is None or limit > 10**9 else int(limit))
        types = tokenizer.backend_tokenizer.encode("a").type_ids
        return None if any(types) else found

    def tokenise(self, texts: Sequence[str], budget: int, *, pad: bool = True) -> TokenBatches:
        """Batches of at most ``budget`` tokens with padding, or of one text; ``pad``: see `cut`."""
        tokens, lengths = self._tokens(texts)
        order = np.argsort(lengths, kind="stable")
        begins = (lengths.cumsum() - lengths)[order]
        lengths = lengths[order]
        spans = list(cut(lengths, budget, pad=pad))
        widths = np.concatenate([np.full(last - first, lengths[last - 1]) for first, last in spans]) if spans else lengths
        ids = np.full(int(widths.sum()), self._tokenizer.pad_token_id or 0, dtype=np.int64)
        ids[spread(widths.cumsum() - widths, lengths)] = tokens[spread(begins, lengths)]
        places = np.empty_like(order)
        places[order] = np.arange(len(order))
        return TokenBatches(places=places, lengths=lengths, spans=spans, ids=ids)

    def _tokens(self, texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The texts' tokens one after the other, and how many each has."""
        backend = self._tokenizer.backend_tokenizer
        backend.no_padding()
        if self._words is not None:
            backend.no_truncation()
            return self._words.tokens(texts, self._limit)
        if self._limit is None:
            backend.no_truncation()
        else:
            backend.enable_truncation(self._limit)
        ids = [encoding.ids for encoding in backend.encode_batch_fast(list(texts))]
        lengths = np.fromiter(map(len, ids), dtype=np.int64, count=len(ids))
        return np.fromiter(chain.from_iterable(ids), dtype=np.int64, count=int(lengths.sum())), lengths


def moved(values: NDArray[np.int64], device: torch.device) -> torch.Tensor:
    """The numbers on the device; nothing waits for the copy."""
    import torch

    here = torch.from_numpy(values)
    return here.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else here.to(device)


def cut(lengths: NDArray[np.int64], budget: int, *, pad: bool = True) -> Iterator[tuple[int, int]]:
    """Rows, first and last + 1, of each batch of texts of these lengths, which ascend.

    A batch is of one length where that fills an eighth of the budget; else longer texts join it, by a quarter at most. Without
    ``pad`` it is always of one length.
    """
    first = 0
    while first < len(lengths):
        shortest = int(lengths[first])
        last = int(np.searchsorted(lengths, shortest, side="right"))
        room = max(1, budget // max(1, shortest))
        if pad and (last - first) * 8 < room:
            last = int(np.searchsorted(lengths, shortest + max(1, shortest // 4), side="right"))
            room = max(1, budget // max(1, int(lengths[last - 1])))
        last = min(last, first + room)
        yield first, last
        first = last
