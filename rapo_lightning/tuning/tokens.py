"""Lessons as token ids, and batches of them as tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.language.chat_format import ChatFormat
from rapo_lightning.tuning.forms import Lesson
from rapo_lightning.types import Failure

__all__ = ["Batch", "TokenLesson", "collate", "tokenise"]


@dataclass(frozen=True, slots=True)
class TokenLesson:
    """``ids``: a conversation's tokens and its answer's, which are those from ``start`` on."""

    ids: tuple[int, ...]
    start: int

    @property
    def answer(self) -> int:
        """Tokens of the answer."""
        return len(self.ids) - self.start


@dataclass(slots=True)
class Batch:
    """Some lessons as tensors. B lessons, L tokens of the longest, A answer tokens of all.

    Attributes:
        ids: (B, L), padded on the right, where causal attention never looks.
        places: (A,) where the answers' tokens are told from: indices into ids.flatten(), each one before the token.
        targets: (A,) the answers' tokens.
        rows: (A,) the lesson of each.
        total: answer tokens of the whole step, over all micro-batches and processes.
        tokens: of the lessons, padding aside.
    """

    ids: Tensor
    places: Tensor
    targets: Tensor
    rows: Tensor
    total: int
    tokens: int

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU can read from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        ids, places, targets, rows = map(change, (self.ids, self.places, self.targets, self.rows))
        return replace(self, ids=ids, places=places, targets=targets, rows=rows)


def tokenise(lessons: Iterable[Lesson], format: ChatFormat, longest: int) -> tuple[list[TokenLesson], dict[str, int]]:
    """The lessons in a model's chat format, and how many were left out, by reason: a cut answer would teach to stop early."""
    tokens, out = [], Counter[str]()
    for conversation, answer in lessons:
        encoded = format.encode_lesson(conversation, answer)
        if isinstance(encoded, Failure):
            out[encoded.error] += 1
        elif len(encoded[0]) + len(encoded[1]) > longest:
            out[f"more than {longest} tokens"] += 1
        else:
            tokens.append(TokenLesson((*encoded[0], *encoded[1]), len(encoded[0])))
    return tokens, dict(out)


def collate(lessons: Sequence[TokenLesson], pad: int, total: int) -> Batch:
    """One batch; ``total`` as in `Batch`."""
    width = max(len(lesson.ids) for lesson in lessons)
    ids = np.full((len(lessons), width), pad, np.int64)
    places: list[Any] = []
    targets: list[Any] = []
    for row, lesson in enumerate(lessons):
        ids[row, : len(lesson.ids)] = lesson.ids
        places.append(np.arange(lesson.start - 1, len(lesson.ids) - 1) + row * width)
        targets.append(np.asarray(lesson.ids[lesson.start :], np.int64))
    rows = np.repeat(np.arange(len(lessons)), [len(one) for one in targets])
    return Batch(
        ids=torch.from_numpy(ids),
        places=torch.from_numpy(np.concatenate(places)),
        targets=torch.from_numpy(np.concatenate(targets)),
        rows=torch.from_numpy(rows),
        total=total,
        tokens=sum(len(lesson.ids) for lesson in lessons),
    )
