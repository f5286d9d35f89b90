"""A generator whose text encoder reads eight words."""

from __future__ import annotations

from collections.abc import Sequence

from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.types import Failure, Video

__all__ = ["ShortGenerator"]


class ShortGenerator:
    """`FakeGenerator` that limits texts."""

    def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        return FakeGenerator().generate(texts, seeds, paths)

    def tokens_over_limit(self, texts: Sequence[str]) -> list[int]:
        return [max(0, len(text.split()) - 8) for text in texts]
