"""While Lightning works: what it writes, the processes that it starts, and how it ends."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rapo_lightning.processes import RUN_FOLDER, is_first

__all__ = ["launched", "let_memory_grow", "plain_lightning"]


def let_memory_grow() -> None:
    """Have CUDA's blocks of memory grow in place, unless the environment says something of them; before torch is imported.

    Torch's notes on CUDA advise it where batches change in size: blocks that are too small for the next would be given back and
    asked for anew amid a step.
    """
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


@contextmanager
def launched(folder: Path) -> Iterator[None]:
    """Around a Trainer's work: processes that it starts find the run folder, and Ctrl-C is a KeyboardInterrupt."""
    os.environ[RUN_FOLDER] = str(folder.absolute())
    try:
        with plain_lightning():
            yield
    except SystemExit as error:
        if isinstance(error.__context__, KeyboardInterrupt):  # Lightning turns Ctrl-C into exit status 1
            raise KeyboardInterrupt from None
        raise
    finally:
        if is_first():
            os.environ.pop(RUN_FOLDER, None)


@contextmanager
def plain_lightning() -> Iterator[None]:
    """Lightning's notes on devices, loggers and its own deprecations stay away; its warnings and errors are shown."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r".isinstance\(treespec, LeafSpec\)", FutureWarning)  # 2.6 on torch 2.13
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
