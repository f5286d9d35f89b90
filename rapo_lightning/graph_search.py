"""What is found in a graph folder: ``rapo graph stats``, ``search`` and ``show``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rapo_lightning.errors import InputError
from rapo_lightning.protocols import TextEncoder
from rapo_lightning.retrieval import describe, pictures, store
from rapo_lightning.retrieval.identity import check_encoder
from rapo_lightning.retrieval.pictures import SceneView, view

__all__ = ["draw", "search", "statistics"]


def statistics(folder: Path) -> dict[str, Any]:
    """What is in a graph, as plain JSON."""
    return describe.statistics(store.load_graph(folder))


def search(
    folder: Path, prompt: str, encoder: TextEncoder, *, scenes: int = 3, modifiers: int = 5, threshold: float = 0.0
) -> list[SceneView]:
    """The scenes nearest to a prompt with their nearest modifiers, all of them ranked."""
    if not prompt.strip():
        raise InputError("the prompt is empty")
    graph = store.load_graph(folder)
    check_encoder(encoder, graph=str(folder), name=graph.encoder, known=graph.probe, dimension=graph.dimension)
    vector = encoder.encode([prompt])[0]
    return view(graph, prompt, vector, scenes=scenes, modifiers=modifiers, threshold=threshold)


def draw(
    folder: Path,
    prompt: str,
    out: Path,
    encoder: TextEncoder,
    *,
    scenes: int = 3,
    modifiers: int = 8,
    threshold: float = 0.6,
) -> None:
    """Write the picture of what `search` finds, as SVG or HTML."""
    if out.suffix.lower() not in {".svg", ".html", ".htm"}:
        raise InputError(f"{out}: a picture's name ends in .svg or .html")
    views = search(folder, prompt, encoder, scenes=scenes, modifiers=modifiers, threshold=threshold)
    manifest = store.read_manifest(folder)
    note = f"{folder.resolve().name}: {manifest.captions:,} captions, encoder {manifest.encoder}"
    pictures.write(out, prompt, views, title="Scenes and modifiers near a prompt", threshold=threshold, note=note)
