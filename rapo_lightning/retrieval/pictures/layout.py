"""Where everything stands in the picture of a prompt, the scenes near it and their modifiers.

Columns from left to right: the prompt, one card a scene, then subjects, actions and atmosphere. From the prompt a curve leads to
each scene; from each scene one track a kind runs to the right and turns down into its column, where the modifiers hang on it.
The same views give the same picture, and nothing depends on the fonts at hand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate

from rapo_lightning.retrieval.pictures.shapes import Bar, Card, Drawing, Legend, Link, ModifierDrawing, SceneDrawing, Text
from rapo_lightning.retrieval.pictures.text import clean, text_width, wrap
from rapo_lightning.retrieval.pictures.view import Kind, ModifierView, SceneView

__all__ = ["KIND_TITLES", "count_text", "lay_out", "number_text"]

#: Kinds in the order of their columns, with the columns' headings.
KIND_TITLES: dict[Kind, str] = {"subject": "Subjects", "action": "Actions", "atmosphere": "Atmosphere"}

WIDTH, MARGIN = 1400.0, 28.0
PROMPT_WIDTH, SCENE_WIDTH, COLUMN_WIDTH = 220.0, 206.0, 244.0
SCENE_X = MARGIN + PROMPT_WIDTH + 82
COLUMN_X = {kind: SCENE_X + SCENE_WIDTH + 40 + number * (COLUMN_WIDTH + 32) for number, kind in enumerate(KIND_TITLES)}
#: Inside the cards, between text and edge; from a column's track to the text beside it; between two scenes.
PAD, INDENT, GAP = 14.0, 16.0, 34.0
#: Below a scene's upper edge: where curve and tracks meet it, and where its modifiers begin.
PORT, FIRST_ROW = 22.0, 40.0
THINNEST, THICKEST = 1.5, 16.0
#: How far each kind's track runs above the others.
TRACK = {kind: 5.0 * (1 - number) for number, kind in enumerate(KIND_TITLES)}
BEND = 10.0
#: Before a number at the end of a line.
APART = 6.0
#: How far down the prompt's middle may stand, so that it is seen with the first scenes.
LOWEST = 380.0
#: Most lines of a prompt, a scene and a modifier.
PROMPT_LINES, SCENE_LINES, MODIFIER_LINES = 22, 4, 2


def lay_out(prompt: str, scenes: Sequence[SceneView], *, title: str, threshold: float | None, rows: int) -> Drawing:
    """The picture; of each scene and kind the first ``rows`` modifiers are drawn and the others counted.

    Args:
        prompt: the prompt.
        scenes: in the order shown.
        title: what stands above; empty: nothing does, and there are no margins at the sides.
        threshold: the similarity from which on modifiers were chosen, marked on the bars; None: not marked.
        rows: at least 0.
    """
    head = _text(title, MARGIN, 24.0, WIDTH - 2 * MARGIN, 20, style="title strong", lines=2) if title else None
    top = head.bottom + 22 if head else 14.0
    places = {"Prompt": MARGIN, "Scenes near it": SCENE_X} | {name: COLUMN_X[kind] for kind, name in KIND_TITLES.items()}
    styles = {name: f"heading strong {kind}" for kind, name in KIND_TITLES.items()}
    headings = [_text(name, x, top, 200, 13, style=styles.get(name, "heading strong")) for name, x in places.items()]
    top += 34
    most = max((modifier.count for scene in scenes for modifier in scene.modifiers), default=1)
    drawn: list[SceneDrawing] = []
    for scene in scenes:
        above = drawn[-1].bottom + GAP if drawn else top
        drawn.append(_scene(scene, above, threshold=threshold, rows=rows, most=most))
    empty = [] if drawn else [_text("none in the graph", SCENE_X, top + PAD, SCENE_WIDTH, 13, style="quiet")]
    card = _prompt(prompt, top, [scene.card.top + PORT for scene in drawn])
    bottom = max([card.top + card.height, *(scene.bottom for scene in drawn)])
    legend = _legend(bottom + 34, threshold) if drawn else []
    return Drawing(
        left=0.0 if title else MARGIN - 2,
        width=WIDTH if title else WIDTH - 2 * (MARGIN - 2),
        height=math.ceil(max([bottom, *(item.text.bottom for item in legend)]) + 24),
        title=head,
        headings=[*headings, *empty],
        prompt=card,
        links=_links(card, drawn),
        scenes=drawn,
        legend=legend,
    )


def number_text(value: float) -> str:
    """A similarity as shown: two decimals, a true minus sign, no minus zero."""
    return f"{round(value, 2) + 0.0:.2f}".replace("-", "−")


def count_text(number: int, name: str = "") -> str:
    """``1 caption``, ``1 204 captions``; without a name ``1``, ``1 204``."""
    digits = f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    return f"{digits} {name}{'s' * (number != 1)}" if name else digits


def _text(
    text: str,
    x: float,
    top: float,
    width: float,
    size: float,
    *,
    style: str,
    lines: int = 1,
    leading: float = 0,
    at_end: bool = False,
) -> Text:
    found = wrap(clean(text), width, size, lines=lines, bold="strong" in style.split())
    return Text(lines=found, x=x, top=top, width=width, size=size, leading=leading or 1.4 * size, style=style, at_end=at_end)


def _prompt(prompt: str, top: float, ports: Sequence[float]) -> Card:
    """The prompt's card, in the middle of the scenes' ports, but neither above ``top`` nor far below it."""
    text = _text(prompt, MARGIN + PAD, 0, PROMPT_WIDTH - 2 * PAD, 15, style="prompt", lines=PROMPT_LINES, leading=22)
    height = text.bottom + 2 * PAD
    above = max(top, min((ports[0] + ports[-1]) / 2, top + LOWEST) - height / 2) if ports else top
    text = replace(text, top=above + PAD)
    return Card(x=MARGIN, top=above, width=PROMPT_WIDTH, height=height, text=text)


def _links(card: Card, scenes: Sequence[SceneDrawing]) -> list[Link]:
    """Curves to the scenes that leave the prompt's card side by side, as thick as the scenes are near."""
    weights = [THINNEST + (THICKEST - THINNEST) * min(max(scene.view.similarity, 0.0), 1.0) for scene in scenes]
    room = min(1.0, (card.height - 2 * PAD) / max(sum(weights), 1.0))
    start, end = card.x + card.width, SCENE_X
    middle = (start + end) / 2
    y = card.top + card.height / 2 - room * sum(weights) / 2
    links = []
    for scene, weight, below in zip(scenes, weights, accumulate(weights)):
        at, to = y + room * (below - weight / 2), scene.card.top + PORT
        links.append(
            Link(
                path=f"M{start:.1f},{at:.1f} C{middle:.1f},{at:.1f} {middle:.1f},{to:.1f} {end:.1f},{to:.1f}",
                weight=round(weight, 2),
            )
        )
    return links


def _scene(view: SceneView, top: float, *, threshold: float | None, rows: int, most: int) -> SceneDrawing:
    width = SCENE_WIDTH - 2 * PAD
    left = SCENE_X + PAD
    text = _text(view.text, left, top + 11, width, 14, style="scene strong", lines=SCENE_LINES, leading=20)
    number = _number(view.similarity, left + width, text.bottom + 5, "strong", 17)
    note = _text(
        count_text(view.captions, "caption"), left, number.top, width - number.width - APART, 12, style="quiet", leading=17
    )
    bar = _bar(left, note.bottom + 4, width, view.similarity, None)
    height = bar.y + 4 + 14 - top
    modifiers: list[ModifierDrawing] = []
    rests: list[Text] = []
    tracks: dict[Kind, str] = {}
    bottom = top + height
    for kind, x in COLUMN_X.items():
        of_kind = [modifier for modifier in view.modifiers if modifier.kind == kind]
        hanging: list[ModifierDrawing] = []
        edge = top + FIRST_ROW
        for modifier in of_kind[:rows]:
            hanging.append(_modifier(modifier, x, edge, threshold=threshold, most=most))
            edge = hanging[-1].bar.y + 4 + 9
        more = max(len(of_kind) - rows, 0) + view.more.get(kind, 0)
        if more or not hanging:
            words = f"and {count_text(more)} more" if hanging else f"{count_text(more)} not shown" if more else "none"
            rests.append(_text(words, x + INDENT, edge, COLUMN_WIDTH - INDENT, 12, style="quiet"))
            edge = rests[-1].bottom
        if hanging:
            tracks[kind] = _track(x, top + PORT + TRACK[kind], hanging[-1].y)
        modifiers += hanging
        bottom = max(bottom, edge)
    card = Card(x=SCENE_X, top=top, width=SCENE_WIDTH, height=height, text=text)
    return SceneDrawing(
        view=view, card=card, number=number, note=note, bar=bar, tracks=tracks, modifiers=modifiers, rests=rests, bottom=bottom
    )


def _track(x: float, y: float, end: float) -> str:
    """From the scene's card at height ``y`` to the column at ``x`` and down to ``end``."""
    start = SCENE_X + SCENE_WIDTH
    return f"M{start:.1f},{y:.1f} H{x - BEND:.1f} Q{x:.1f},{y:.1f} {x:.1f},{y + BEND:.1f} V{max(end, y + BEND):.1f}"


def _modifier(view: ModifierView, x: float, top: float, *, threshold: float | None, most: int) -> ModifierDrawing:
    left, width = x + INDENT, COLUMN_WIDTH - INDENT
    style = "chosen strong" if view.chosen else "quiet"
    number = _number(view.similarity, left + width, top, style, 17)
    text = _text(view.text, left, top, width - number.width - APART, 13, style=style, lines=MODIFIER_LINES, leading=17)
    number = replace(number, top=text.bottom - number.leading)
    bar = _bar(left, text.bottom + 2, width, view.similarity, threshold)
    radius = 3.0 + 3.0 * math.sqrt(view.count / max(most, 1))
    return ModifierDrawing(view=view, x=x, y=top + 8.5, radius=round(radius, 2), text=text, number=number, bar=bar)


def _number(value: float, end: float, top: float, style: str, leading: float) -> Text:
    """A similarity that ends at x = ``end``."""
    said = number_text(value)
    width = text_width(said, 12, bold="strong" in style.split())
    return Text(
        lines=(said,), x=end - width, top=top, width=width, size=12, leading=leading, style=f"number {style}", at_end=True
    )


def _bar(x: float, y: float, width: float, similarity: float, threshold: float | None) -> Bar:
    length = round(width * min(max(similarity, 0.0), 1.0), 1)
    tick = None if threshold is None else round(x + width * min(max(threshold, 0.0), 1.0), 1)
    return Bar(x=x, y=y, length=length, whole=width, tick=tick)


def _legend(top: float, threshold: float | None) -> list[Legend]:
    """The signs and their words in rows that are filled from the left."""
    words = {
        "chosen": (12, "chosen" if threshold is None else f"chosen, threshold {number_text(threshold)}"),
        "linked": (12, "not chosen"),
        "size": (26, "said with the scene in more captions"),
        "bar" if threshold is None else "threshold": (
            36,
            "similarity to the prompt, 0 to 1" + ("" if threshold is None else ", and the threshold"),
        ),
        "weight": (36, "nearer scene"),
    }
    found: list[Legend] = []
    x = MARGIN
    for sign, (room, text) in words.items():
        size = text_width(text, 12) + 1
        if found and x + room + 8 + size > WIDTH - MARGIN:
            x, top = MARGIN, top + 26
        found.append(Legend(sign=sign, x=x, y=round(top + 8.4, 1), text=_text(text, x + room + 8, top, size, 12, style="quiet")))
        x += room + 8 + size + 32
    return found
