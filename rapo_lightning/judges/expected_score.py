"""A finer score than the digit a judge writes: the mean of the scale under the judge's own probabilities for that digit.

G-Eval (arXiv:2303.16634, section 2) weighs each score by its token's probability; two videos that both get "4" are then rarely
tied. Works where every score of the scale is one token, which the reader of the reply has found at a known place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    import torch

__all__ = ["ScoreRecorder"]

_BEFORE_SCORE = re.compile(r"""\bscore["']?\s*[:=]\s*["']?$""", re.IGNORECASE)
#: How tokenizers write a word's leading blank: not at all, as byte-level BPE, as sentencepiece.
_BLANKS = ("", "Ġ", "▁")


@final
class ScoreRecorder:
    """A logits processor that changes nothing and keeps, for each token of B replies, the logits of the scale's digits."""

    def __init__(self, tokenizer: Any, scale: tuple[int, int]) -> None:
        self._tokenizer = tokenizer
        forms = [[tokenizer.convert_tokens_to_ids(f"{blank}{digit}") for digit in _digits(scale)] for blank in _BLANKS]
        self._forms = [form for form in forms if not {None, tokenizer.unk_token_id} & set(form)]
        self._logits_FBS: list[list[torch.Tensor]] = [[] for _ in self._forms]

    def __call__(self, input_ids_BL: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        """Called by ``generate`` once a token, with the logits of the whole vocabulary (B, V)."""
        for form, logits_BS in zip(self._forms, self._logits_FBS, strict=True):
            logits_BS.append(scores_BV[:, form].float())
        return scores_BV

    def expectation(self, row: int, tokens: Sequence[int], score: float) -> float | None:
        """The expected score, in [0, 1], of the reply ``tokens`` of one row, in which ``score`` was read.

        None when the score is no single digit token, or was read elsewhere than where that token stands.
        """
        for place in range(len(tokens) - 1, -1, -1):
            for form, logits_BS in zip(self._forms, self._logits_FBS, strict=True):
                if tokens[place] in form and _BEFORE_SCORE.search(self._before(tokens, place)):
                    shares = [index / (len(form) - 1) for index in range(len(form))]
                    if abs(shares[form.index(tokens[place])] - score) > 1e-9:
                        return None
                    weights: list[float] = logits_BS[place][row].softmax(-1).tolist()
                    return min(1.0, sum(share * weight for share, weight in zip(shares, weights, strict=True)))
        return None

    def _before(self, tokens: Sequence[int], place: int) -> str:
        text: str = self._tokenizer.decode(tokens[max(0, place - 16) : place])
        return text


def _digits(scale: tuple[int, int]) -> range:
    return range(scale[0], scale[1] + 1)
