"""What ``rapo evaluate`` prints."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from rapo_lightning.terminal import one_line

if TYPE_CHECKING:
    from evaluation.run import Plan
    from rapo_lightning.evaluating import Evaluated

__all__ = ["plan_data", "plan_text", "summary_text"]


def plan_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON."""
    return {
        "videos": plan.videos,
        "missing_files": list(plan.missing_files),
        "known": plan.known,
        "to_score": sum(len(work.items) for work in plan.todo),
        "videos_to_decode": len(plan.todo),
        "metrics": list(plan.measures),
        "licences": list(plan.licences),
    }


def plan_text(plan: Plan) -> str:
    """How many videos were matched, with what, what is there already, whose weights; a line each."""
    count = sum(len(work.items) for work in plan.todo)
    lines = [
        f"{plan.videos:,} videos, {len(plan.measures)} metrics: {count:,} scores to find in {len(plan.todo):,} videos"
        + (f", {plan.known:,} are there already" if plan.known else "")
    ]
    if plan.missing_files:
        shown = ", ".join(plan.missing_files[:3]) + ", ..." * (len(plan.missing_files) > 3)
        lines.append(f"{len(plan.missing_files):,} files are not there: {shown}")
    if plan.licences:
        lines.append(f"weights: {'; '.join(plan.licences)}")
    return "\n".join(one_line(line) for line in lines)


def summary_text(found: Evaluated) -> str:
    """The tables, what does not meet its gate, and where everything is."""
    from evaluation.output.terminal import summary_text as tables

    lines = [tables(found.summary, width=shutil.get_terminal_size((80, 24)).columns).rstrip()]
    lines += [f"not met: {failure.message}" for failure in found.failures]
    lines.append(f"{found.done.folder}: scores.csv, summary.json, report.html")
    return "\n\n".join(lines)
