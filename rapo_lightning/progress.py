"""Live progress: of a run a table on a terminal, of other work a line; elsewhere a plain line every few seconds.

Rank 0 only, always on stderr.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, final

from rapo_lightning.terminal import one_line
from rapo_lightning.types import Candidate, Trajectory

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

__all__ = ["Counting", "Listen", "Progress", "Tally"]

_ROWS = 8  # prompts shown on a terminal
_LENGTH = 300  # characters kept of a prompt, more than a terminal's width


@final
class Progress:
    """Use as a context and hand `on_candidate` to the run.

    Args:
        videos: how many videos the run will render at most.
        title: what is running.
        every: seconds between plain lines.
        clock: seconds.
    """

    def __init__(
        self,
        videos: int,
        title: str = "",
        *,
        every: float = 10.0,
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._videos = videos
        self._title = title
        self._every = every
        self._console = console
        self._clock = clock
        self._started = self._told = clock()
        self._rendered = 0
        self._latest: dict[str, tuple[str, int, float | None]] = {}
        self._live: Live | None = None

    def __enter__(self) -> Progress:
        from rich.console import Console
        from rich.live import Live

        self._console = self._console or Console(stderr=True)
        self._started = self._told = self._clock()
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None
        if self._console is not None and self._rendered:
            self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

    def on_candidate(self, candidate: Candidate, trajectory: Trajectory) -> None:
        """Take note of a new candidate and, now and then, show how things stand."""
        self._rendered += len(candidate.videos)
        best = trajectory.best.reward if trajectory.best else None
        self._latest.pop(trajectory.prompt.id, None)  # the newest at the end
        self._latest[trajectory.prompt.id] = (one_line(trajectory.prompt.text, _LENGTH), candidate.round, best)
        if self._console is None:
            return
        if self._live is not None:
            self._live.update(self._table())
        elif self._clock() - self._told >= self._every:
            self._told = self._clock()
            self._console.print(self.line(), highlight=False, markup=False, soft_wrap=True)

    def line(self) -> str:
        """How things stand, e.g. ``loop: 24/60 videos, 31.5 videos/min, 1:09 left, mean best score 0.71``."""
        minutes = (self._clock() - self._started) / 60
        rate = self._rendered / minutes if minutes > 0 else 0.0
        parts = [f"{self._rendered}/{self._videos} videos", f"{rate:.1f} videos/min"]
        if rate and self._rendered < self._videos:
            parts.append(f"at most {_minutes((self._videos - self._rendered) / rate)} left")
        scores = [best for _, _, best in self._latest.values() if best is not None]
        if scores:
            parts.append(f"mean best score {sum(scores) / len(scores):.2f}")
        return f"{self._title}: " * bool(self._title) + ", ".join(parts)

    def _table(self) -> Table:
        from rich.table import Table
        from rich.text import Text

        table = Table(caption=self.line(), box=None, padding=(0, 2, 0, 0), expand=True)
        table.add_column("prompt", ratio=1, no_wrap=True, overflow="ellipsis")
        table.add_column("round", justify="right")
        table.add_column("best score", justify="right")
        for text, round, best in list(self._latest.values())[-_ROWS:]:
            table.add_row(Text(text), str(round), "-" if best is None else f"{best:.2f}")
        return table


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Where counted work stands: ``text`` tells it; ``done`` of ``total`` pieces, which take about as long each, are done."""

    text: str
    done: int
    total: int


#: Is told what happens: a line, or where counted work stands.
Listen = Callable[[str | Tally], None]


@final
class Counting:
    """Tells how work goes that is counted, not rendered: use as a context and call it with a line or a `Tally`.

    A line is printed as it is. A tally is told with its pace and the time left: on a terminal on one line that changes, elsewhere
    every few seconds, and the last one at the end.

    Args:
        every: seconds between plain lines.
        clock: seconds.
    """

    def __init__(
        self, *, every: float = 10.0, console: Console | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._every = every
        self._console = console
        self._clock = clock
        self._began = self._told = clock()
        self._first: Tally | None = None
        self._waiting = ""
        self._live: Live | None = None

    def __enter__(self) -> Counting:
        from rich.console import Console
        from rich.live import Live

        self._console = self._console or Console(stderr=True)
        if self._console.is_terminal:
            self._live = Live("", console=self._console, refresh_per_second=4, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)
            self._live = None
        self._print_waiting()

    def __call__(self, news: str | Tally) -> None:
        """Tell a line or a tally. The first tally begins the clock."""
        if isinstance(news, str):
            self._print_waiting()
            self._print(one_line(news))
            return
        if self._first is None or news.done < self._first.done or news.total != self._first.total:
            self._first, self._began, self._told = news, self._clock(), self._clock()
        self._waiting = self.line(news)
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(self._waiting, no_wrap=True, overflow="ellipsis"))
        elif self._clock() - self._told >= self._every:
            self._print_waiting()

    def line(self, tally: Tally) -> str:
        """A tally with its pace, e.g. ``extracted: 320 of 1,000 captions, 41.2/min, 16:30 left``."""
        first = self._first or tally
        minutes = (self._clock() - self._began) / 60
        rate = (tally.done - first.done) / minutes if minutes > 1 / 60 else 0.0
        left = f", {_minutes((tally.total - tally.done) / rate)} left" if rate and tally.done < tally.total else ""
        return f"{one_line(tally.text)}{f', {rate:,.1f}/min' if rate else ''}{left}"

    def _print_waiting(self) -> None:
        if self._waiting:
            line, self._waiting, self._told = self._waiting, "", self._clock()
            self._print(line)

    def _print(self, line: str) -> None:
        if self._console is not None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _minutes(minutes: float) -> str:
    """``1:09``, and ``2:03:00`` from an hour on."""
    seconds = round(minutes * 60)
    hours = f"{seconds // 3600}:{seconds // 60 % 60:02d}" if seconds >= 3600 else str(seconds // 60)
    return f"{hours}:{seconds % 60:02d}"
