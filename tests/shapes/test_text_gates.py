"""Captions are read back exactly; a rewriter that loses something, or leaves the style, is seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from rapo_lightning.shapes.captions import caption, details, user_prompt, varied
from rapo_lightning.shapes.scene import sample
from rapo_lightning.shapes.text_gates import language_gate, read_caption
from rapo_lightning.types import Failure, Reply, Trajectory


def test_captions_are_read_back() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        scene = sample(rng)
        assert read_caption(caption(scene)) == scene
        assert read_caption(caption(scene, tuple(details(scene).values())[:2])) == scene


def test_what_is_no_caption_is_not_read() -> None:
    rng = np.random.default_rng(1)
    for _ in range(100):
        scene = sample(rng)
        assert read_caption(user_prompt(scene, rng)) is None
        assert read_caption(caption(scene).replace("One object", "An object").replace("Two objects", "Objects")) is None
        assert read_caption(varied(scene, rng)) in (None, scene)


class _Says:
    def __init__(self, text: str) -> None:
        self.text = text

    def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        return [Failure(error="no"), *(Reply(text=self.text, tokens=1) for _ in trajectories[1:])]


@pytest.mark.parametrize(
    ("text", "in_style"),
    [
        ("a red ball", 0.0),
        (caption(sample(np.random.default_rng(5))), 0.9),
    ],
)
def test_the_language_gate_counts_failures_and_lost_words(text: str, in_style: float) -> None:
    gate = language_gate(_Says(text), 10, "test")
    assert gate["in_style"] == in_style
    assert gate["kept"] < 0.2
