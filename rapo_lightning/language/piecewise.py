"""Many texts to tokens at once: they are cut behind control tokens, and each distinct piece is tokenised once.

Conversations share most of their text: the instructions, and a lesson's question with and without its answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import chain, pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["piecewise"]

#: Marks a part of a tokenizer that treats a text's beginning otherwise than a piece's.
_FIRST = b'"first"'


def piecewise(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text, exactly as ``tokenizer(text, add_special_tokens=False)`` gives them."""
    cut = _cutter(tokenizer)
    pieces = [cut(text) for text in texts]
    distinct = list(dict.fromkeys(chain.from_iterable(pieces)))
    if not distinct:
        return [[] for _ in texts]
    known = dict(zip(distinct, tokenizer(distinct, add_special_tokens=False)["input_ids"], strict=True))
    return [list(chain.from_iterable(map(known.__getitem__, some))) for some in pieces]


def _cutter(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], list[str]]:
    """Cuts a text where its tokenizer does so first of all, and looks at what follows without what came before."""
    added = list(tokenizer.added_tokens_decoder.values())
    sought = [token for token in added if not token.normalized]  # in the text as it is, the longest of those at a place
    ends = {token.content for token in sought if not token.rstrip}
    backend = getattr(tokenizer, "backend_tokenizer", None) if tokenizer.is_fast else None
    if (
        backend is None
        or not ends
        or tokenizer.split_special_tokens
        or any(token.single_word for token in added)
        or (backend.pre_tokenizer is not None and _FIRST in backend.pre_tokenizer.__getstate__())
    ):
        return lambda text: [text]
    longest_first = sorted((token.content for token in sought), key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, longest_first)))

    def cut(text: str) -> list[str]:
        found = [match.end() for match in pattern.finditer(text) if match[0] in ends]
        places = [0, *found, *([len(text)] if not found or found[-1] < len(text) else ())]
        return [text[start:end] for start, end in pairwise(places)]

    return cut
