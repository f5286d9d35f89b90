"""What is seen of a run while it goes on, and what the commands say: one line a fact, whatever users write."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from rapo_lightning import terminal
from rapo_lightning.planning import Plan
from rapo_lightning.progress import Counting, Progress, Tally
from rapo_lightning.session import Outcome
from rapo_lightning.terminal import one_line
from rapo_lightning.types import Candidate, Prompt, Trajectory, Video

ODD = [
    "a red ball",
    "family 👨‍👩‍👧‍👦 in the park 🏞️",
    "一只红色的气球飘过屋顶" * 20,
    "كرة حمراء تطفو فوق الأسطح",
    "very " * 2000 + "long",
    "two\nlines\tand \x1b[31mred\x1b[0m, \u202eturned\u202c",
    "[bold]markup[/bold] [/]",
]


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def tried(text: str, reward: float | None = 0.5, round: int = 0) -> tuple[Candidate, Trajectory]:
    """A candidate with one video, and its trajectory."""
    prompt = Prompt.of(text)
    video = Video(path="x.mp4", seed=1, frames=1, fps=1.0, height=2, width=2)
    candidate = Candidate(
        id=f"r{round}", prompt_id=prompt.id, round=round, text=text, origin="user", videos=(video,), reward=reward
    )
    return candidate, Trajectory(prompt=prompt, candidates=(candidate,), best=candidate if reward is not None else None)


def console(*, terminal: bool, width: int = 60) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=width, color_system=None)


def written(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_plain_lines_every_few_seconds_and_one_at_the_end() -> None:
    clock, plain = Clock(), console(terminal=False, width=20)
    with Progress(12, "loop", every=10, console=plain, clock=clock) as progress:
        progress.on_candidate(*tried("a"))
        assert written(plain) == ""
        clock.now += 30
        progress.on_candidate(*tried("b", 1.0))
        progress.on_candidate(*tried("c", None))
    line = "loop: 2/12 videos, 4.0 videos/min, at most 2:30 left, mean best score 0.75"
    assert written(plain).splitlines() == [line, "loop: 3/12 videos, 6.0 videos/min, at most 1:30 left, mean best score 0.75"]


def test_nothing_is_said_of_a_run_that_rendered_nothing() -> None:
    plain = console(terminal=False)
    with Progress(0, console=plain):
        pass
    assert written(plain) == ""


@pytest.mark.parametrize("width", [20, 60, 200])
def test_the_table_holds_whatever_users_write(width: int) -> None:
    seen = console(terminal=True, width=width)
    progress = Progress(100, console=seen)
    for number, text in enumerate(ODD):
        progress.on_candidate(*tried(text, round=number))
    with seen.capture() as capture:
        seen.print(progress._table())
    lines = capture.get().splitlines()
    rows = lines[1 : 1 + len(ODD)]
    assert max(map(cell_len, lines)) <= width
    if width >= 60:
        assert [row.split()[-2:] for row in rows] == [[str(number), "0.50"] for number in range(len(ODD))]
        assert "\x1b" not in capture.get()
        assert "[bold]markup" in capture.get()


def test_a_terminal_shows_the_latest_prompts_only_and_is_left_clean() -> None:
    seen = console(terminal=True)
    with Progress(100, console=seen) as progress:
        for number in range(20):
            progress.on_candidate(*tried(f"prompt {number}"))
        assert progress._live is not None
        assert len(progress._table().rows) == 8
    assert progress._live is None
    assert written(seen).rstrip().endswith("mean best score 0.50")


def test_counted_work_is_told_with_its_pace_and_the_time_left() -> None:
    clock, plain = Clock(), console(terminal=False, width=20)
    with Counting(every=10, console=plain, clock=clock) as tell:
        tell("1,000 captions, 300 known already")
        clock.now += 500  # a model loads: no part of the pace
        for done in (0, 5, 10, 15, 20):
            tell(Tally(text=f"extracted: {done} of 700", done=done, total=700))
            clock.now += 6
        tell("\x1b[31mbatch written")
        tell(Tally(text="extracted: 700 of 700", done=700, total=700))
    assert written(plain).splitlines() == [
        "1,000 captions, 300 known already",
        "extracted: 10 of 700, 50.0/min, 13:48 left",
        "extracted: 20 of 700, 50.0/min, 13:36 left",
        "[31mbatch written",
        "extracted: 700 of 700, 1,400.0/min",
    ]


def test_counted_work_on_a_terminal_is_one_line_that_changes() -> None:
    seen = console(terminal=True)
    with Counting(console=seen, clock=Clock()) as tell:
        for number in range(20):
            tell(Tally(text=f"number {number}", done=number, total=19))
        assert "number 3" not in written(seen)
    assert written(seen).rstrip().endswith("number 19")


def test_hours_are_told_as_hours() -> None:
    clock = Clock()
    tell = Counting(clock=clock)
    tell(Tally(text="done", done=0, total=1000))
    clock.now += 60
    assert tell.line(Tally(text="done", done=4, total=1000)) == "done, 4.0/min, 4:09:00 left"


def test_texts_become_one_harmless_line() -> None:
    lines = [one_line(text, 60) for text in ODD]
    assert lines[:2] == ODD[:2]
    assert all(len(line) <= 60 for line in lines)
    assert lines[4].endswith("very very…")
    assert lines[5] == "two lines and [31mred [0m, turned"


def outcome(**stops: str) -> Outcome:
    trajectories = tuple(tried(text)[1] for text in ODD)
    interrupted = "interrupted" in stops.values()
    return Outcome(folder=Path("runs/mine"), trajectories=trajectories, stops=stops, interrupted=interrupted)


def test_results_are_two_lines_a_prompt() -> None:
    lines = terminal.outcome_text(outcome()).splitlines()
    assert len(lines) == 2 * len(ODD) + 1
    assert lines[-1] == "runs/mine/report.html"


def test_many_results_are_left_to_the_folder() -> None:
    trajectories = tuple(tried(f"prompt {number}")[1] for number in range(50))
    found = Outcome(folder=Path("runs/mine"), trajectories=trajectories, stops={}, interrupted=False)
    assert terminal.outcome_text(found).splitlines()[-2:] == ["and 40 more in runs/mine/best.jsonl", "runs/mine/report.html"]


def test_the_stop_is_named() -> None:
    found = outcome(a="rounds", b="rounds", c="budget", d="interrupted")
    assert terminal.outcome_notes(found) == [
        "stopped: 2 prompts after all rounds, 1 prompt at the end of the budget, 1 prompt by a signal",
        "interrupted; the same command continues",
    ]
    assert found.exit_code == 75


def test_plans_are_one_line() -> None:
    plan = Plan(prompts=1, candidates=3, seeds=1, videos=1, judgements=0, rewrites=2, models=())
    assert terminal.plan_text(plan) == "1 prompt, at most 1 video, 0 judgements, 2 rewrites; models: none"
