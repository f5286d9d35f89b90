"""What the suite logs during a run: whole, with traces, in ``logs/rank_N.log`` of the run folder; one line each on stderr."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from rapo_lightning.errors import StorageError

__all__ = ["run_log"]


@contextlib.contextmanager
def run_log(folder: Path, rank: int, *, echo: bool = True) -> Iterator[None]:
    """While this lasts, warnings and errors of ``rapo_lightning`` go to the run folder and, with ``echo``, to stderr.

    The values of environment variables that are named like keys or tokens are replaced by ``***``.

    Raises:
        StorageError: the folder of the log cannot be made.
    """
    logger = logging.getLogger("rapo_lightning")
    try:
        (folder / "logs").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError.of(folder / "logs", error) from error
    file = _File(folder / "logs" / f"rank_{rank}.log", encoding="utf-8", delay=True)
    file.setFormatter(_Masked("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handlers = [file, _Stderr() if echo else logging.NullHandler()]
    for handler in handlers:
        handler.setLevel(logging.WARNING)
        logger.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            logger.removeHandler(handler)
            handler.close()


class _File(logging.FileHandler):
    """Keeps silent when it cannot write: the run goes on, or ends with an error of its own."""

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):  # it is opened here
            super().emit(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing, in place of a trace on stderr."""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what was still to be written
            super().close()


class _Stderr(logging.Handler):
    """One line a record, on what ``sys.stderr`` is at the time: a live table replaces it."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        text = record.getMessage() if error is None else f"{record.getMessage()}: {type(error).__name__}: {error}"
        print(f"rapo: {_mask(' '.join(text.split()))}", file=sys.stderr)


class _Masked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return _mask(super().format(record))


def _mask(text: str) -> str:
    for name, value in os.environ.items():
        if name.endswith(("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")) and len(value) >= 8:
            text = text.replace(value, "***")
    return text
