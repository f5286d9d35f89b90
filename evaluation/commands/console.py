"""What the commands share: errors as exit codes, a line of progress on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

from evaluation.errors import EvaluationError, InputError

__all__ = ["Counter", "command", "pairs", "say"]


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def command() -> Iterator[None]:
    """The package's own errors are a line each and exit code 2; Ctrl-C is 130."""
    try:
        yield
    except EvaluationError as error:
        for line in str(error).splitlines():
            say(f"evaluation: {line}")
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        say("evaluation: interrupted; the same command goes on")
        raise typer.Exit(130) from None


def pairs(given: Iterable[str], option: str) -> dict[str, str]:
    """``NAME=PATH`` texts as a mapping.

    Raises:
        InputError: one is no such text; all of them are named.
    """
    found = [text.partition("=") for text in given]
    wrong = [f"{option} {name}{sign}{path}: give NAME=PATH" for name, sign, path in found if not (name and path)]
    if wrong:
        raise InputError("\n".join(wrong))
    return {name: path for name, _, path in found}


class Counter:
    """How far the work is, on one line of a terminal, or every ten seconds elsewhere."""

    def __init__(self, total: int, *, every: float = 10.0) -> None:
        self.total, self.done, self.errors = total, 0, 0
        self._began = self._told = time.monotonic()
        self._every = 0.2 if sys.stderr.isatty() else every

    def add(self, errors: int) -> None:
        """One more file, with so many errors."""
        self.done += 1
        self.errors += errors
        now = time.monotonic()
        if now - self._told >= self._every or self.done == self.total:
            self._told = now
            left = (self.total - self.done) * (now - self._began) / self.done
            text = f"{self.done:,} of {self.total:,} videos, {self.errors:,} errors, {left / 60:,.0f} min left"
            end = "\n" if not sys.stderr.isatty() or self.done == self.total else ""
            print(f"\r{text}" if sys.stderr.isatty() else text, end=end, file=sys.stderr, flush=True)
