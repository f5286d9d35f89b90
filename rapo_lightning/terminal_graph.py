"""What ``rapo graph`` prints: plain lines and small tables of what was built and what was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES
from rapo_lightning.retrieval.pictures import SceneView
from rapo_lightning.terminal import one_line

if TYPE_CHECKING:
    from rapo_lightning.graphs import Growth

__all__ = ["growth_data", "growth_text", "search_data", "search_text", "statistics_text"]

_REASONS = 8
_PLURALS = {"scene": "scenes", "subject": "subjects", "action": "actions", "atmosphere": "atmospheres"}


def growth_data(growth: Growth) -> dict[str, Any]:
    """A `Growth` as plain JSON."""
    return {**asdict(growth), "folder": str(growth.folder), "seconds": round(growth.seconds, 1)}


def growth_text(growth: Growth) -> str:
    """What was added and what was not."""
    added = growth.added
    phrases = ", ".join(f"{added.nodes[kind]:,} {_PLURALS[kind]}" for kind in NODE_TYPES)
    lines = [f"{growth.folder}: {added.captions:,} captions added in {growth.seconds:.1f} s; new: {phrases}"]
    if added.duplicates or added.empty:
        lines.append(f"not added: {added.duplicates:,} known already, {added.empty:,} without a scene or without a modifier")
    if growth.skipped:
        lines.append(f"skipped: {sum(growth.skipped.values()):,} rows, listed in {growth.folder / 'skipped.jsonl'}")
        reasons = sorted(growth.skipped.items(), key=lambda item: -item[1])
        lines += [f"  {count:,} x {one_line(reason, 100)}" for reason, count in reasons[:_REASONS]]
    return "\n".join(lines)


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


def search_text(views: Sequence[SceneView]) -> str:
    """Scenes with their modifiers, similarities first."""
    lines = []
    for scene in views:
        lines.append(f"{scene.similarity:5.2f}  {one_line(scene.text)}  ({scene.captions:,} captions)")
        for kind in KINDS:
            for row in (row for row in scene.modifiers if row.kind == kind):
                mark = "" if row.chosen else "  (below the threshold)"
                lines.append(f"       {row.similarity:5.2f}  {kind:<11}{one_line(row.text)}{mark}")
    return "\n".join(lines) or "the graph is empty"


def search_data(prompt: str, views: Sequence[SceneView]) -> dict[str, Any]:
    """The same as plain JSON."""
    return {"prompt": prompt, "scenes": [asdict(scene) for scene in views]}
