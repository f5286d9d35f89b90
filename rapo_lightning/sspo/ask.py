"""Calls a part for a batch and keeps its promise: one answer an item, and a failure is an answer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from rapo_lightning.errors import PartError, RapoError, StorageError
from rapo_lightning.types import Failure

__all__ = ["ask"]

T = TypeVar("T")
_log = logging.getLogger(__name__)


def ask(method: Callable[..., Sequence[T]], *columns: Sequence[object]) -> list[T | Failure]:
    """``method(*columns)``, one answer an item; no call when there are no items.

    An ordinary exception becomes a `Failure` of every item, as the part did not say whose it was; it is logged with its trace.
    What concerns the whole run passes through: the suite's own errors, a lack of memory, a disk that fails.

    Raises:
        PartError: the part returned another number of answers than there are items.
        StorageError: the part could not write as the disk is full, read-only or gone.
    """
    count = len(columns[0])
    if not count:
        return []
    try:
        answers: list[T | Failure] = list(method(*columns))
    except (RapoError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in StorageError.ERRNOS:
            raise StorageError.of(error.filename or _name(method), error) from error
        _log.warning("%s failed for a batch of %d", _name(method), count, exc_info=True)
        return [Failure(error=f"{type(error).__name__}: {error}")] * count
    if len(answers) != count:
        raise PartError(f"{_name(method)} returned {len(answers)} answers for {count} items")
    return answers


def _name(method: Callable[..., object]) -> str:
    return getattr(method, "__qualname__", repr(method))
