"""Expected scores from recorded logits, with a tokenizer of a few words."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from rapo_lightning.judges.expected_score import ScoreRecorder

PIECES = ["?", '{"score":', ' {"score": ', "Ġ", "1", "2", "3", "4", "5", "Ġ1", "Ġ2", "Ġ3", "Ġ4", "Ġ5", ".", '"', "}", "10"]


class Pieces:
    """Tokens are the strings of ``PIECES``; the first one stands for all others."""

    unk_token_id = 0

    def __init__(self, pieces: list[str] = PIECES) -> None:
        self.pieces = pieces

    def convert_tokens_to_ids(self, token: str) -> int:
        return self.pieces.index(token) if token in self.pieces else 0

    def decode(self, tokens: list[int]) -> str:
        return "".join(self.pieces[token].replace("Ġ", " ") for token in tokens)


def expected(pieces: list[str], score: float, *, weights: list[float], tokenizer: Any = None) -> float | None:
    """The expectation where every step's logits give the five digits, with and without a blank, these probabilities."""
    tokenizer = tokenizer or Pieces()
    recorder = ScoreRecorder(tokenizer, (1, 5))
    logits_BV = torch.full((2, len(PIECES)), -9.0)
    for digit, weight in enumerate(weights, start=1):
        for token in (f"{digit}", f"Ġ{digit}"):
            logits_BV[1, tokenizer.convert_tokens_to_ids(token)] = torch.tensor(weight).log()
    tokens = [PIECES.index(piece) for piece in pieces]
    for _ in tokens:
        assert recorder(torch.zeros(2, 1), logits_BV) is logits_BV
    return recorder.expectation(1, tokens, score)


WEIGHTS = [0.0, 0.1, 0.2, 0.4, 0.3]
MEAN = 0.1 * 0.25 + 0.2 * 0.5 + 0.4 * 0.75 + 0.3


@pytest.mark.parametrize(
    "pieces",
    [
        ['{"score":', "Ġ", "4", "}"],
        ['{"score":', "4", "}"],
        ['{"score":', "Ġ4", "}"],
        ['{"score":', "Ġ", '"', "4", '"', "}"],
        ["4", "2", '{"score":', "Ġ4", "}", "1"],
        ['{"score":', "2", "}", ' {"score": ', "4", "}"],
    ],
)
def test_the_mean_of_the_scale_under_the_digits_probabilities(pieces: list[str]) -> None:
    assert expected(pieces, 0.75, weights=WEIGHTS) == pytest.approx(MEAN)


@pytest.mark.parametrize(
    ("pieces", "score"),
    [
        (["4", "}"], 0.75),  # not after the score's name
        (['{"score":', "Ġ", "4", ".", "5"], 0.875),  # the score is not the digit
        (['{"score":', "Ġ", "10"], 0.75),
        ([], 0.75),
    ],
)
def test_none_where_the_score_is_not_one_digit_token(pieces: list[str], score: float) -> None:
    assert expected(pieces, score, weights=WEIGHTS) is None


def test_none_where_the_tokenizer_has_no_digits() -> None:
    without = Pieces([piece if piece not in ("5", "Ġ5") else f"<{piece}>" for piece in PIECES])
    assert expected(['{"score":', "4"], 0.75, weights=WEIGHTS, tokenizer=without) is None


def test_the_ends_of_the_scale_stay_in_range() -> None:
    assert expected(['{"score":', "5"], 1.0, weights=[0, 0, 0, 0, 1.0]) == 1.0
    assert expected(['{"score":', "1"], 0.0, weights=[1.0, 0, 0, 0, 0]) == 0.0
