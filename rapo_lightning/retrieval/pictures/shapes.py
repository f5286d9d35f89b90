"""The shapes a picture of a relation graph is drawn with: numbers and lines of text, no markup.

All lengths are in the SVG's own units; y grows downwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rapo_lightning.retrieval.pictures.text import is_right_to_left, text_width
from rapo_lightning.retrieval.pictures.view import Kind, ModifierView, SceneView

__all__ = ["Bar", "Card", "Drawing", "Legend", "Link", "ModifierDrawing", "SceneDrawing", "Text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Lines of text in a box: ``x`` and ``top`` are its upper left corner, ``width`` what the lines have at most.

    ``style`` is the CSS class, ``at_end`` sets the lines flush right.
    """

    lines: tuple[str, ...]
    x: float
    top: float
    width: float
    size: float
    leading: float
    style: str
    at_end: bool = False

    @property
    def right_to_left(self) -> bool:
        """Whether the text runs from the right."""
        return is_right_to_left("".join(self.lines))

    @property
    def anchor(self) -> float:
        """The x that the lines start at or, set flush right, end at."""
        return self.x + self.width if self.right_to_left or self.at_end else self.x

    @property
    def baselines(self) -> list[float]:
        """The y of each line's foot."""
        return [self.top + number * self.leading + (self.leading + 0.72 * self.size) / 2 for number in range(len(self.lines))]

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.top + len(self.lines) * self.leading

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of what the lines fill at most."""
        filled = max(text_width(line, self.size, bold="strong" in self.style.split()) for line in self.lines)
        left = self.x + self.width - filled if self.anchor > self.x else self.x
        return left, self.top, left + filled, self.bottom


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A similarity as a bar: ``length`` of ``whole``; ``tick`` is the x of the threshold, None where there is none."""

    x: float
    y: float
    length: float
    whole: float
    tick: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """A box with text in it."""

    x: float
    top: float
    width: float
    height: float
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A curve from the prompt to a scene: path data and thickness."""

    path: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifierDrawing:
    """A modifier's dot on its track (centre and radius), text, number and bar."""

    view: ModifierView
    x: float
    y: float
    radius: float
    text: Text
    number: Text
    bar: Bar


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneDrawing:
    """A scene's card with its number, bar and note, the ``tracks`` to the columns and what hangs on them.

    ``rests`` say of a column that there is more, or nothing.
    """

    view: SceneView
    card: Card
    number: Text
    note: Text
    bar: Bar
    tracks: dict[Kind, str]
    modifiers: list[ModifierDrawing]
    rests: list[Text]
    bottom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """What one sign means. ``sign`` is chosen, linked, size, bar, threshold or weight, drawn from ``x`` on at height ``y``."""

    sign: str
    x: float
    y: float
    text: Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawing:
    """The whole picture, from x = ``left`` and y = 0."""

    left: float
    width: float
    height: float
    title: Text | None
    headings: list[Text]
    prompt: Card
    links: list[Link]
    scenes: list[SceneDrawing]
    legend: list[Legend]

    @property
    def texts(self) -> Iterator[Text]:
        """All texts."""
        yield from ([self.title] if self.title else [])
        yield from (*self.headings, self.prompt.text, *(item.text for item in self.legend))
        for scene in self.scenes:
            yield from (scene.card.text, scene.number, scene.note, *scene.rests)
            yield from (text for modifier in scene.modifiers for text in (modifier.text, modifier.number))
