"""What ``rapo graph`` prints: plain lines and small tables of what was built, what was left out and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES
from rapo_lightning.retrieval.pictures import SceneView
from rapo_lightning.terminal import one_line

if TYPE_CHECKING:
    from rapo_lightning.graph_search import Sight
    from rapo_lightning.graphs import Growth

__all__ = ["growth_data", "growth_text", "search_data", "search_text", "skipped_lines", "statistics_text"]

_REASONS = 8
_PLURALS = {"scene": "scenes", "subject": "subjects", "action": "actions", "atmosphere": "atmospheres"}


def growth_data(growth: Growth, exit_code: int) -> dict[str, Any]:
    """A `Growth` as plain JSON, with the command's exit code."""
    return {**asdict(growth), "folder": str(growth.folder), "seconds": round(growth.seconds, 1), "exit_code": exit_code}


def growth_text(growth: Growth) -> str:
    """What was added and what was not."""
    added = growth.added
    phrases = ", ".join(f"{added.nodes[kind]:,} {_PLURALS[kind]}" for kind in NODE_TYPES)
    lines = [f"{growth.folder}: {added.captions:,} captions added in {growth.seconds:.1f} s; new: {phrases}"]
    if added.duplicates or added.empty:
        lines.append(f"not added: {added.duplicates:,} known already, {added.empty:,} without a scene or without a modifier")
    lines += skipped_lines(growth.skipped, growth.folder / "skipped.jsonl")
    if growth.failed:
        lines.append(f"the language model failed on {growth.failed:,} of them; `rapo graph add` with the same file asks again")
    return "\n".join(lines)


def skipped_lines(skipped: Mapping[str, int], listed: Path) -> list[str]:
    """How many rows were left out, where they are ``listed``, and the most frequent reasons; nothing if there are none."""
    if not skipped:
        return []
    reasons = sorted(skipped.items(), key=lambda item: -item[1])
    lines = [f"  {count:,} x {one_line(reason, 100)}" for reason, count in reasons[:_REASONS]]
    return [f"skipped: {sum(skipped.values()):,} rows, listed in {listed}", *lines]


def statistics_text(found: Mapping[str, Any]) -> str:
    """The figures of `describe.statistics`, and the most frequent phrases."""
    lines = [f"{found['captions']:,} captions; encoder {found['encoder']}, {found['dimension']} dimensions", ""]
    lines.append(f"{'':<12}{'nodes':>12}{'edges':>12}{'a scene':>10}{'isolated':>10}{'aliases':>10}")
    for kind in NODE_TYPES:
        edges = f"{found['edges'][kind]:,}" if kind in KINDS else ""
        mean = found["modifiers_per_scene"].get(kind)
        mean_text = "" if mean is None else f"{mean:.1f}"
        counts = f"{found['isolated'][kind]:>10,}{found['aliases'][kind]:>10,}"
        lines.append(f"{_PLURALS[kind]:<12}{found['nodes'][kind]:>12,}{edges:>12}{mean_text:>10}{counts}")
    for kind in NODE_TYPES:
        names = ", ".join(f"{one_line(row['text'], 40)} ({row['captions']:,})" for row in found["frequent"][kind][:5])
        lines += ["", f"most frequent {_PLURALS[kind]}: {names}"] if names else []
    return "\n".join(lines)


def search_text(views: Sequence[SceneView], sight: Sight) -> str:
    """Scenes with their modifiers, similarities first; what is not taken has a mark."""
    lines = []
    for scene in views:
        taken = ", taken itself" if scene.chosen and sight.most is not None else ""
        lines.append(f"{scene.similarity:5.2f}  {one_line(scene.text)}  ({scene.captions:,} captions{taken})")
        for kind in KINDS:
            for row in (row for row in scene.modifiers if row.kind == kind):
                why = "below the threshold" if row.similarity < sight.threshold else f"not among the nearest {sight.most}"
                mark = "" if row.chosen else f"  ({why})"
                lines.append(f"       {row.similarity:5.2f}  {kind:<11}{one_line(row.text)}{mark}")
    return "\n".join(lines) or "the graph is empty"


def search_data(prompt: str, views: Sequence[SceneView], sight: Sight) -> dict[str, Any]:
    """The same as plain JSON, with how it was looked for."""
    return {"prompt": prompt, "sight": asdict(sight), "scenes": [asdict(scene) for scene in views]}
