"""Each row of a batch ends on its own: at an end token, at its budget, or at the first newline after text."""

from __future__ import annotations

import torch

from rapo_lightning.language.stopping import EndOfAnswer

END = 0
PIECES = {1: "a", 2: "\n", 3: " ball", 4: ".\n\n", 5: "<think>", 6: "</think>", 7: "\n"}


def decode(tokens: list[int]) -> str:
    return "".join(PIECES.get(token, "") for token in tokens)


def lengths(answers: list[list[int]], *, at_newline: bool, budgets: list[int] | None = None) -> list[int]:
    """Feeds the answers token by token, as generation does, behind a prompt of two newlines."""
    budgets = budgets or [len(answers[0]) + 5] * len(answers)
    end = EndOfAnswer(decode, prompt_length=2, ends=[END], budgets=budgets, at_newline=at_newline)
    previous = torch.zeros(len(answers), dtype=torch.bool)
    for step in range(1, len(answers[0]) + 1):
        done = end(torch.tensor([[2, 2, *answer[:step]] for answer in answers]), None)
        assert torch.all(done >= previous)  # what has ended stays so
        previous = done
    return end.lengths


def test_end_tokens_and_budgets() -> None:
    assert lengths([[1, 2, END, 1], [1, 1, 1, 1]], at_newline=False) == [3, 9]
    assert lengths([[1, 2, END, 1], [1, 1, 1, 1]], at_newline=False, budgets=[2, 3]) == [2, 3]


def test_newline_counts_only_after_text() -> None:
    answers = [[2, 1, 3, 2, 1], [1, 4, 1, 1, 1], [2, 2, 2, 1, 1]]
    assert lengths(answers, at_newline=True) == [4, 2, 10]
    assert lengths(answers, at_newline=False) == [10, 10, 10]


def test_newlines_of_thoughts_do_not_count() -> None:
    assert lengths([[5, 1, 2, 6, 7, 1, 3, 2, 1]], at_newline=True) == [8]
