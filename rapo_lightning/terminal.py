"""What the commands print: results on stdout, everything else on stderr. Plain lines; tables only where a table is the result."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rapo_lightning.planning import Plan
from rapo_lightning.types import Trajectory

if TYPE_CHECKING:
    from rapo_lightning.session import Outcome

__all__ = ["best_rows", "comparison", "one_line", "outcome_notes", "outcome_text", "plan_text", "say"]

#: How many prompts are printed at the end of a run; all are in the run folder.
SHOWN = 10
_STOPS = {
    "rounds": "after all rounds",
    "patience": "as nothing got better",
    "good_enough": "at a good enough score",
    "budget": "at the end of the budget",
    "interrupted": "by a signal",
}


def say(text: str) -> None:
    """A line on stderr."""
    print(text, file=sys.stderr)


def one_line(text: str, length: int | None = None) -> str:
    """Text of users and models on one line, without what would steer a terminal or turn the direction of writing."""
    kept = "".join(character if character.isprintable() or character == "\u200d" else " " for character in text)
    line = " ".join(kept.split())
    return line if length is None or len(line) <= length else f"{line[: length - 1]}…"


def plan_text(plan: Plan) -> str:
    """The plan in one line."""
    counts = {"video": plan.videos, "judgement": plan.judgements, "rewrite": plan.rewrites}
    bounds = ", ".join(_count(number, name) for name, number in counts.items())
    models = ", ".join(f"{model} (not here)" if model in plan.missing else model for model in plan.models)
    return f"{_count(plan.prompts, 'prompt')}, at most {bounds}; models: {models or 'none'}"


def best_rows(trajectories: Sequence[Trajectory]) -> list[dict[str, Any]]:
    """Each prompt's best as plain JSON; ``best`` and ``reward`` are None where no video could be scored."""
    return [
        {
            "id": trajectory.prompt.id,
            "original": trajectory.prompt.text,
            "best": trajectory.best.text if trajectory.best else None,
            "reward": trajectory.best.reward if trajectory.best else None,
        }
        for trajectory in trajectories
    ]


def outcome_text(outcome: Outcome) -> str:
    """The first prompts with their best texts, and where the report is."""
    rows = best_rows(outcome.trajectories)
    lines = [f"{one_line(row['original'])}\n  -> {one_line(row['best'] or '(no video could be scored)')}" for row in rows[:SHOWN]]
    if len(rows) > SHOWN:
        lines.append(f"and {len(rows) - SHOWN} more in {outcome.folder / 'best.jsonl'}")
    return "\n".join([*lines, str(outcome.folder / "report.html")])


def outcome_notes(outcome: Outcome) -> list[str]:
    """Why the prompts stopped, what failed, and whether the run can be continued."""
    stops = Counter(outcome.stops.values())
    notes = ["stopped: " + ", ".join(f"{_count(stops[stop], 'prompt')} {_STOPS[stop]}" for stop in _STOPS if stops[stop])]
    if outcome.failed:
        notes.append(f"{_count(len(outcome.failed), 'prompt')} without a scored video; --retry-errors tries again")
    if outcome.interrupted:
        notes.append("interrupted; the same command continues")
    return notes


def comparison(found: Mapping[str, Any]) -> None:
    """Print the comparison of `rapo quickstart`."""
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table

    arms = found["arms"]
    table = Table(title=found["title"], title_justify="left", box=SIMPLE)
    for name in ("arm", "videos", "verified right", "vs raw (95 % interval)", "judge says", "kappa", "seconds"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in arms:
        gain = f"{100 * arm['difference']:+.0f} ({_points(arm['difference_low'])} to {_points(arm['difference_high'])})"
        table.add_row(
            arm["name"],
            format(arm["videos_per_prompt"], "g"),
            f"{100 * arm['right']:.0f} %",
            "" if arm is arms[0] else gain,
            _number(arm["judge"], ".2f"),
            _number(arm["kappa"], ".2f"),
            _number(arm["seconds"], ".0f"),
        )
    names = list(dict.fromkeys(name for arm in arms for name in arm["by_attribute"]))
    attributes = Table(title="by attribute, % found", title_justify="left", box=SIMPLE)
    for name in ("arm", *names):
        attributes.add_column(name, justify="left" if name == "arm" else "right")
    for arm in arms:
        shares = [arm["by_attribute"].get(name) for name in names]
        attributes.add_row(arm["name"], *("-" if share is None else f"{100 * share:.0f}" for share in shares))
    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else 130, highlight=False, markup=False)
    console.print(table, attributes)
    console.print(found["note"], soft_wrap=True)
    closed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in found["gap_closed"].items() if share is not None)
    if closed:
        console.print(f"of the gap between raw and oracle closed: {closed}", soft_wrap=True)
    for case in found["worst"]:
        console.print(f"worst: {one_line(case['prompt'])}: {case['why']}", soft_wrap=True)


def _points(share: float | None) -> str:
    return _number(None if share is None else 100 * share, "+.0f")


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number != 1)}"
