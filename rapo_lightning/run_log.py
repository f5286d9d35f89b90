"""What the suite logs during a run: whole, with traces, in ``logs/rank_N.log`` of the run folder; one line each on stderr."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["run_log"]


@contextmanager
def run_log(folder: Path, rank: int, *, echo: bool = True) -> Iterator[None]:
    """While this lasts, warnings and errors of ``rapo_lightning`` go to the run folder and, with ``echo``, to stderr.

    The values of environment variables that are named like keys or tokens are replaced by ``***``.
    """
    logger = logging.getLogger("rapo_lightning")
    (folder / "logs").mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(folder / "logs" / f"rank_{rank}.log", encoding="utf-8", delay=True)
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
