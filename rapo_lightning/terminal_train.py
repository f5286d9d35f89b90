"""How a training looks on a terminal: a bar with the loss, plain lines elsewhere, and what came of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, final

if TYPE_CHECKING:
    from rich.console import Console

    from rapo_lightning.training import Trained
    from rapo_lightning.tuning.callbacks import Progressed
    from rapo_lightning.tuning.lessons import Lessons

__all__ = ["TrainingProgress", "trained_text"]


@final
class TrainingProgress:
    """Use as a context; on stderr a bar on a terminal, elsewhere a line every ``every`` seconds and at the end."""

    def __init__(
        self, *, every: float = 10.0, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every, self._console, self._clock = every, console, clock
        self._told = -every
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> TrainingProgress:
        from rich.console import Console

        self._console = self._console or Console(stderr=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.__exit__(kind, error, trace)
            self._bar = None

    def started(self, lessons: Lessons, steps: int, done: int = 0) -> None:
        """Say what is learned from, and begin the bar."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        assert self._console is not None
        self._print(started_text(lessons, steps, done))
        if self._console.is_terminal:
            columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[says]}"), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.__enter__()
            self._task = self._bar.add_task("", total=steps, completed=done, says="")

    def listen(self, progressed: Progressed) -> None:
        """Show how things stand."""
        if self._bar is not None:
            self._bar.update(self._task, completed=progressed.step, says=_says(progressed))
        elif self._clock() - self._told >= self._every or progressed.step == progressed.steps:
            self._told = self._clock()
            self._print(f"step {progressed.step}/{progressed.steps}, {_says(progressed)}")

    def _print(self, text: str) -> None:
        assert self._console is not None
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)


def started_text(lessons: Lessons, steps: int, done: int = 0) -> str:
    """What is learned from, in a line or two."""
    counts = lessons.counts()
    text = f"{counts['pairs']:,} pairs, {counts['lessons']:,} lessons, {counts['tokens']:,} tokens; {steps:,} steps"
    if done:
        text += f", going on after step {done:,}"
    if counts["validation_pairs"]:
        text += f"; {counts['validation_pairs']:,} pairs to validate"
    left = [f"{count:,} lessons of {reason}" for reason, count in counts["left_out"].items()]
    left += [f"{counts['repeated']:,} repeated pairs"] * bool(counts["repeated"])
    return f"{text}; left out: {', '.join(left)}" if left else text


def trained_text(trained: Trained) -> str:
    """What came of a training."""
    summary = trained.summary
    if trained.adapter is None:
        why = " (trainer.max_time)" if summary["stopped"] == "max_time" else ""
        return f"stopped after step {summary['step']} of {summary['steps']}{why}; the same command goes on"
    text = f"{trained.adapter}: {summary['steps']:,} steps"
    if summary["stopped"] == "patience":
        text = f"{trained.adapter}: {summary['steps']:,} of {summary['planned_steps']:,} steps, as the validation loss did not"
        text += " get better any more"
    if summary.get("validation_loss") is not None:
        text += f"; of the best, step {summary['exported_step']:,}, with a validation loss of {summary['validation_loss']:.4f}"
    return text


def _says(progressed: Progressed) -> str:
    parts = [] if progressed.loss is None else [f"loss {progressed.loss:.4f}"]
    if progressed.validation_loss is not None:
        parts.append(f"validation {progressed.validation_loss:.4f}")
    if progressed.preferred is not None:
        parts.append(f"preferred {progressed.preferred:.2f}")
    if (checked := progressed.checked) is not None:
        known = (("usable", checked.usable), ("reward", checked.reward), ("right", checked.right))
        parts += [f"{name} {value:.2f}" for name, value in known if value is not None]
    return ", ".join([*parts, f"{progressed.tokens:,.0f} tokens/s"])
