"""A judge that answers as a test tells it, and keeps what it was asked; without a batch, as a user's own would be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evaluation.judge.frames import FramePolicy, View

__all__ = ["Scripted"]


class Scripted:
    """``says(text, view)`` gives the reply, or the probabilities of first tokens."""

    id = "scripted@1"

    def __init__(self, says: Callable[[str, View | None], str | Mapping[str, float]], replies: Callable[..., str] | None = None):
        self.says = says
        self.replies = replies
        self.policy = FramePolicy(n=4)
        self.asked: list[tuple[str, View | None]] = []
        self.more: list[dict[str, Any]] = []

    def generate(self, video: View | None, text: str, **more: Any) -> str:
        self.asked.append((text, video))
        self.more.append(more)
        found = (self.replies or self.says)(text, video)
        assert isinstance(found, str)
        return found

    def token_logprobs(self, video: View | None, text: str, candidates: Sequence[str], **more: Any) -> dict[str, float]:
        self.asked.append((text, video))
        self.more.append(more)
        found = self.says(text, video)
        assert not isinstance(found, str)
        return {token: math.log(share) for token, share in found.items() if token in candidates}
