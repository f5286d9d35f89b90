"""Signals that ask a run to stop: it ends after the round under way and can be resumed."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any, final

from rapo_lightning.errors import Stopped
from rapo_lightning.processes import follows

if TYPE_CHECKING:
    from lightning import Trainer

__all__ = ["StopSignals"]

_NAMES = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1") if hasattr(signal, name))


@final
class StopSignals:
    """While this context lasts, the first SIGTERM or SIGUSR1 asks the run to stop; a second one ends it at once with status 75.

    With ``interrupt`` Ctrl-C asks likewise.

    The first process passes a signal on to those that Lightning started for it; these ignore repetitions, as a signal to the
    whole process group reaches them twice.
    """

    def __init__(self, *, interrupt: bool = False) -> None:
        self._names = (*_NAMES, signal.SIGINT) if interrupt else _NAMES
        self._asked = threading.Event()
        self._before: dict[int, Any] = {}
        self._trainer: Trainer | None = None

    @property
    def asked(self) -> bool:
        """Whether this process was asked to stop."""
        return self._asked.is_set()

    def check(self, then: str = "the same command continues") -> None:
        """Call between two pieces of work: raises `Stopped` if this process was asked to stop; ``then`` says what comes of it."""
        if self.asked:
            raise Stopped(f"interrupted by a signal; {then}")

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            # Lightning turns SIGINT off for good once it has seen one.
            self._before = {number: signal.getsignal(number) for number in (*_NAMES, signal.SIGINT)}
            self._install()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_over(self, trainer: Trainer) -> None:
        """Call once the Trainer has started: its own handler makes all processes meet, and hangs when one gets two signals."""
        self._trainer = trainer
        if self._before:
            self._install()

    def _install(self) -> None:
        for number in self._names:
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        repeated = self.asked
        self._asked.set()
        if follows():
            return
        launcher = self._trainer.strategy.launcher if self._trainer is not None else None
        if launcher is not None:
            launcher.kill(signal.SIGKILL if repeated else signal.Signals(number))
        if repeated:
            raise SystemExit(75)
