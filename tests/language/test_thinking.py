"""Thoughts are taken out of an answer, whole or cut off."""

from __future__ import annotations

import pytest

from rapo_lightning.language.thinking import strip_thinking


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        ("a ball", "a ball"),
        ("<think>hm</think>a ball", "a ball"),
        ("<think>\n\n</think>\n\na ball", "\n\na ball"),
        ("<THINKING>a\nb</THINKING> a ball", " a ball"),
        ("one <think>x</think>two <thought>y</thought>three", "one two three"),
        ("begun by the template</think>a ball", "a ball"),
        ("a ball <think>cut off", "a ball "),
        ("<think>cut off", ""),
        ("a <thin> ball", "a <thin> ball"),
    ],
)
def test_strip_thinking(answer: str, rest: str) -> None:
    assert strip_thinking(answer) == rest
