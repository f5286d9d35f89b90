"""Decides, row by row, where a generated answer ends, and remembers how long it was."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, final

from rapo_lightning.language.thinking import strip_thinking

if TYPE_CHECKING:
    import torch

__all__ = ["EndOfAnswer"]


@final
class EndOfAnswer:
    """A stopping criterion for one batch: a row ends at an end token, when its budget is spent, or at a newline.

    Args:
        decode: tokens to text, used with ``at_newline`` only.
        prompt_length: tokens in front of the answers (the prompts are padded on the left).
        ends: ids of the tokens that end an answer.
        budgets: for each row the most tokens it may have; what its context has left may be less than what was asked for.
        at_newline: also end at the first newline after text (thoughts are not text). For answers of which only the first
            line is used this is exact, and saves most of the tokens that a talkative model writes.
    """

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        *,
        prompt_length: int,
        ends: Collection[int],
        budgets: Sequence[int],
        at_newline: bool,
    ) -> None:
        self._decode = decode
        self._prompt_length = prompt_length
        self._ends = frozenset(ends)
        self._budgets = budgets
        self._at_newline = at_newline
        self._lengths: list[int | None] = [None] * len(budgets)

    @property
    def lengths(self) -> list[int]:
        """For each row the number of tokens of its answer, the one that ended it included."""
        return [budget if length is None else length for length, budget in zip(self._lengths, self._budgets, strict=True)]

    def __call__(self, input_ids_BL: torch.Tensor, scores: object, **kwargs: object) -> torch.Tensor:
        """Which rows have ended, shape (B,), bool."""
        import torch

        for row, answer in enumerate(input_ids_BL[:, self._prompt_length :].tolist()):
            if self._lengths[row] is None and self._has_ended(answer, self._budgets[row]):
                self._lengths[row] = len(answer)
        return torch.tensor([length is not None for length in self._lengths], device=input_ids_BL.device)

    def _has_ended(self, answer: list[int], budget: int) -> bool:
        if answer[-1] in self._ends or len(answer) >= budget:
            return True
        # Only the newest token can bring a newline, so the whole answer is decoded only then.
        if not self._at_newline or "\n" not in self._decode(answer[-1:]):
            return False
        return "\n" in strip_thinking(self._decode(answer)).lstrip()
