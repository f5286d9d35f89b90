"""A picture of a prompt, the scenes of a relation graph near it and their modifiers, as an SVG or as a page around it.

    from rapo_lightning.retrieval import pictures
    scenes = pictures.view(graph, prompt, vector)
    pictures.write("near.svg", prompt, scenes, title="A boat at dusk")

Both stand alone: no network, no script, no font files. Texts of captions and prompts are escaped wherever they stand.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.pictures.layout import KIND_TITLES, count_text, lay_out, number_text
from rapo_lightning.retrieval.pictures.text import clean
from rapo_lightning.retrieval.pictures.view import ModifierView, SceneView, view

__all__ = ["ModifierView", "SceneView", "page", "picture", "view", "write"]

#: How many modifiers of a scene and kind are drawn; of more, the number is.
ROWS = 12


def picture(prompt: str, scenes: Sequence[SceneView], *, title: str, threshold: float | None = None, rows: int = ROWS) -> str:
    """The picture as a self-contained SVG, well-formed XML, light or dark as the viewer prefers.

    Args:
        prompt: the prompt the scenes are near to.
        scenes: nearest first, as `view` gives them.
        title: what stands above.
        threshold: the similarity from which on modifiers were chosen, marked on their bars; None: not marked.
        rows: how many modifiers of a scene and kind are drawn; of more, the number is.
    """
    drawing = lay_out(prompt, scenes, title=title, threshold=threshold, rows=rows)
    module: Any = _templates().get_template("picture_drawing.html").module
    return str(module.svg_element(drawing, clean(title), _description(prompt, scenes), clean(prompt), True))


def page(
    prompt: str,
    scenes: Sequence[SceneView],
    *,
    title: str,
    threshold: float | None = None,
    rows: int = ROWS,
    note: str = "",
) -> str:
    """The picture within an HTML page that may load nothing, with all that is shown as a table below; arguments as of `picture`.

    Args:
        note: a line below the title, e.g. which graph this is and which encoder made it.
    """
    return (
        _templates()
        .get_template("picture.html")
        .render(
            title=clean(title),
            note=clean(note),
            prompt=prompt,
            scenes=scenes,
            drawing=lay_out(prompt, scenes, title="", threshold=threshold, rows=rows),
            description=_description(prompt, scenes),
        )
    )


def write(
    path: str | Path, prompt: str, scenes: Sequence[SceneView], *, title: str, threshold: float | None = None, note: str = ""
) -> Path:
    """Write the picture, as its name ends: ``.svg`` or ``.html``; returns the path.

    Raises:
        InputError: another ending.
        StorageError: the file cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() == ".svg":
        text = picture(prompt, scenes, title=title, threshold=threshold)
    elif path.suffix.lower() in {".html", ".htm"}:
        text = page(prompt, scenes, title=title, threshold=threshold, note=note)
    else:
        raise InputError(f"{path}: a picture's name ends in .svg or .html")
    records.write_text_atomic(path, text)
    return path


def _description(prompt: str, scenes: Sequence[SceneView]) -> str:
    """What the picture shows, for those who do not see it."""
    said = [
        f"The prompt “{clean(prompt)}”, the {count_text(len(scenes), 'scene')} of the graph nearest to it, and their modifiers."
    ]
    for number, scene in enumerate(scenes, start=1):
        chosen = [
            f"{title.lower()} {', '.join(found)}"
            for kind, title in KIND_TITLES.items()
            if (found := [f"“{clean(m.text)}”" for m in scene.modifiers if m.kind == kind and m.chosen])
        ]
        said.append(
            f"Scene {number}: “{clean(scene.text)}”, similarity {number_text(scene.similarity)}, "
            f"{count_text(len(scene.modifiers), 'modifier')}; chosen: {'; '.join(chosen) or 'none'}."
        )
    return " ".join(said)


@cache
def _templates() -> Environment:
    folder = Path(__file__).parents[2] / "templates"
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(csp_hash=_csp_hash, plain=clean, number=number_text, counted=count_text)
    return environment


def _csp_hash(text: str) -> str:
    """What the content security policy calls an inline style by."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
