"""Which rewrites are refused, and with which words."""

from __future__ import annotations

import pytest

from rapo_lightning.sspo.guard import refusal
from rapo_lightning.types import Prompt, Trajectory
from tests.contracts import a_candidate


def trajectory(text: str = "a red ball", **context: object) -> Trajectory:
    return Trajectory(prompt=Prompt.of(text, **context), candidates=(a_candidate(text),))


@pytest.mark.parametrize(
    ("user", "context", "text", "reason"),
    [
        ("a red ball", {}, "a red ball rolls down a hill", None),
        ("a red ball", {}, "  \n", "the text is empty"),
        ("a red ball", {}, "A red  ball", "the same text as r0-"),
        ("a red ball", {"locked": ["red ball"]}, "a bright Red\nBall rolls", None),
        ("a red ball", {"locked": ["red", "ball"]}, "a reddish football", "lost the locked words: red, ball"),
        ("un chien", {"locked": ["été"]}, "un chien en Été.", None),
        ("一只猫", {"locked": ["猫"]}, "一只大猫在睡觉", None),
        ("3D art", {"locked": ["3D"]}, "fine 3D art", None),
        ("3D art", {"locked": ["3D"]}, "fine 13D art, 3 colours", "lost the locked words: 3D"),
        ('a sign "Open Now"', {}, "a neon sign reading “Open Now”", None),
        ('a sign "Open Now"', {}, "a neon sign reading open now", "lost the quoted text: Open Now"),
        ("招牌「营业」", {}, "一块发光的招牌「营业」", None),
        ("12 birds at 7:30", {}, "at 7:30, 12 birds fly", None),
        ("12 birds at 7:30", {}, "twelve birds at 7:30, 1 tree and 2 houses", "lost the numbers: 12"),
        ("a red ball", {}, "一个红色的球", "the writing changed from Latin to Chinese or Japanese"),
        ("赤いボール", {}, "赤球転坂", None),
        ("красный мяч", {}, "a red ball", "the writing changed from Cyrillic to Latin"),
        ("a red ball", {}, "!!!", "the writing changed from Latin to no letters"),
        ("42", {}, "the number 42", None),
    ],
)
def test_rules(user: str, context: dict[str, object], text: str, reason: str | None) -> None:
    found = refusal(text, trajectory(user, **context))
    assert found == reason if reason is None or not reason.endswith("-") else found is not None and found.startswith(reason)


def test_repeats_are_allowed_when_seeds_are_fresh() -> None:
    assert refusal("a red ball", trajectory(), repeats=True) is None


def test_the_text_encoders_limit() -> None:
    def over_limit(text: str) -> int:
        return max(0, len(text.split()) - 5)

    assert refusal("a red ball rolls far", trajectory(), over_limit=over_limit) is None
    assert refusal("a red ball rolls too far now", trajectory(), over_limit=over_limit) == (
        "2 tokens longer than the text encoder reads"
    )
