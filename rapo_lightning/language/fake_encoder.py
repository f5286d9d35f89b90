"""A sentence encoder without weights, for tests and for trying out other parts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

import numpy as np

from rapo_lightning.retrieval.phrases import key

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

__all__ = ["FakeTextEncoder"]


@final
class FakeTextEncoder:
    """A hashed bag of words: each word, whatever its case, has a direction of its own, and a text is the sum of its words'.

    So texts that share words are near one another, and word order is not seen. The same on every machine.

    Args:
        dimension: length of a vector; the larger, the nearer to 0 is the cosine of texts without a common word.
    """

    def __init__(self, dimension: int = 256) -> None:
        if dimension < 1:
            raise ValueError(f"dimension is {dimension}; it must be at least 1")
        self.dimension = dimension

    @property
    def name(self) -> str:
        """What a graph calls this encoder."""
        return f"fake-{self.dimension}"

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        """L2-normalised float32 embeddings (N, D) on the CPU; a text without a letter or digit counts as one word."""
        import torch

        rows = np.zeros((len(texts), self.dimension), dtype=np.float32)
        known: dict[str, NDArray[np.float32]] = {}
        for row, text in zip(rows, texts, strict=True):
            plain = key(text)
            for word in re.findall(r"\w+", plain) or [plain]:
                if word not in known:
                    known[word] = _direction(word, self.dimension)
                row += known[word]
            if not row.any():  # words that cancel one another out
                row += _direction(plain, self.dimension)
        return torch.nn.functional.normalize(torch.from_numpy(rows), dim=1)


def _direction(word: str, dimension: int) -> NDArray[np.float32]:
    """A vector of +1 and -1, one for each of the first bits of the word's SHAKE-256."""
    digest = hashlib.shake_256(word.encode("utf-8", "surrogatepass")).digest((dimension + 7) // 8)
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8))[:dimension]
    return bits.astype(np.float32) * 2 - 1
