"""Lessons as token ids, and batches of them as tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.language.chat_format import ChatFormat
from rapo_lightning.tuning.forms import Lesson
from rapo_lightning.types import Failure

__all__ = ["Batch", "TokenLesson", "Unit", "collate", "tokenise"]


@dataclass(frozen=True, slots=True)
class TokenLesson:
    """``ids``: a conversation's tokens and its answer's, which are those from ``start`` on."""

    ids: tuple[int, ...]
    start: int

    @property
    def answer(self) -> int:
        """Tokens of the answer."""
        return len(self.ids) - self.start


#: What a batch is made of: one lesson or, for a preference, the better answer's and the worse one's.
Unit = tuple[TokenLesson, ...]


@dataclass(slots=True)
class Batch:
    """Some lessons as tensors. B lessons, L tokens of the longest or somewhat more, A answer tokens of all.

    Attributes:
        ids: (B, L), padded on the right, where causal attention never looks. Of preferences first all better answers, then the
            worse ones in the same order.
        places: (A,) where the answers' tokens are told from: indices into ids.flatten(), each one before the token.
        targets: (A,) the answers' tokens.
        rows: (A,) the lesson of each.
        counted: (B,) 1.0; 0.0 of a lesson without an answer, which fills up a share.
        total: over all micro-batches and processes of the step: answer tokens or, of preferences, these.
        tokens: of the lessons, padding aside.
    """

    ids: Tensor
    places: Tensor
    targets: Tensor
    rows: Tensor
    counted: Tensor
    total: int
    tokens: int

    def to(self, device: torch.device | str) -> Batch:
        """The same on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU can read from by itself."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors = (self.ids, self.places, self.targets, self.rows, self.counted)
        ids, places, targets, rows, counted = map(change, tensors)
        return replace(self, ids=ids, places=places, targets=targets, rows=rows, counted=counted)


def tokenise(groups: Sequence[Sequence[Lesson]], format: ChatFormat, longest: int) -> list[Unit | str]:
    """For each group of lessons its unit in a model's chat format, or the reason why it is left out.

    A unit with a lesson of more than ``longest`` tokens is left out: a cut answer would teach to stop early.
    """
    encoded = iter(format.encode_lessons([lesson for group in groups for lesson in group]))
    return [_unit([next(encoded) for _ in group], longest) for group in groups]


def _unit(encoded: Sequence[tuple[list[int], list[int]] | Failure], longest: int) -> Unit | str:
    lessons = []
    for one in encoded:
        if isinstance(one, Failure):
            return one.error
        lessons.append(TokenLesson((*one[0], *one[1]), len(one[0])))
    return f"more than {longest} tokens" if max(len(lesson.ids) for lesson in lessons) > longest else tuple(lessons)


def collate(units: Sequence[Unit], pad: int, total: int, multiple: int = 1) -> Batch:
    """One batch of units of one size, as long as a multiple of ``multiple`` tokens; ``total`` as in `Batch`."""
    lessons = [lesson for part in zip(*units, strict=True) for lesson in part]
    width = math.ceil(max(len(lesson.ids) for lesson in lessons) / multiple) * multiple
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
        counted=torch.tensor([float(lesson.answer > 0) for lesson in lessons]),
        total=total,
        tokens=sum(len(lesson.ids) for lesson in lessons),
    )
