"""What the commands share: errors as exit codes, a line of progress on stderr."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

import typer

from evaluation.errors import EvaluationError, InputError, WeightsError
from evaluation.output.figures import plain

__all__ = ["Counter", "command", "pairs", "say"]


class _Ended(KeyboardInterrupt):
    """SIGTERM or SIGUSR1 came, as a batch system sends them."""


def say(text: str) -> None:
    """A line on stderr."""
    print(plain(text), file=sys.stderr, flush=True)


@contextmanager
def command() -> Iterator[None]:
    """The package's own errors are a line each and exit code 2, a disk that fails 1, Ctrl-C 130, SIGTERM and SIGUSR1 75."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a name is no reason to fail
    before = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, _end) for number in (signal.SIGTERM, signal.SIGUSR1)}
    try:
        yield
    except EvaluationError as error:
        for line in str(error).splitlines():
            say(f"evaluation: {line}")
        raise typer.Exit(2 if isinstance(error, InputError | WeightsError) else 1) from None
    except OSError as error:
        if error.errno is None:
            raise
        if isinstance(error, BrokenPipeError):  # whoever read has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        say(f"evaluation: {error.filename or 'a file'}: {error.strerror}; the same command goes on")
        raise typer.Exit(1) from None
    except KeyboardInterrupt as error:
        say("evaluation: interrupted; the same command goes on")
        raise typer.Exit(75 if isinstance(error, _Ended) else 130) from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ended


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
