"""``style.json`` beside a graph: how its captions are written, and what that was counted from, so that it grows with the graph.

A person may edit it. Its size does not depend on how many captions there were.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, final

from rapo_lightning.errors import InputError
from rapo_lightning.records import parse_json, write_text_atomic

if TYPE_CHECKING:
    from rapo_lightning.retrieval.style import StyleCount, StyleProfile

__all__ = ["GrowingStyle", "load_style", "save_style"]

_COUNTED = "counted"


def load_style(folder: Path) -> StyleProfile | None:
    """The captions' style that lies with a graph; None where there is none."""
    return _read(folder)[0]


def save_style(folder: Path, style: StyleProfile, count: StyleCount | None = None, *, name: str = "style.json") -> None:
    """Lay a style with a graph; with what it was ``count``-ed from, additions to the graph renew it."""
    lines = json.dumps(style.values(), indent=1, ensure_ascii=False).removesuffix("\n}")
    counted = "" if count is None else f',\n "{_COUNTED}": {json.dumps(count.values(), ensure_ascii=False)}'
    write_text_atomic(folder / name, f"{lines}{counted}\n}}\n")


@final
class GrowingStyle:
    """The style of a graph that is added to: it is renewed by new captions, at a cost that they alone set.

    `prepare` lays the style that will be beside the one that is, under the number of captions that it is for; `settle` puts it in
    its place once the graph has so many. What is found prepared was left by a kill between the two, and is settled or deleted.
    Figures that a person changed stay, and so does a person's ``description``. Nothing is done where earlier captions were not
    counted: a graph in the published form does not tell them.

    Args:
        folder: the graph's.
        captions: how many captions the graph has.

    Raises:
        InputError: the style that is there cannot be used.
    """

    def __init__(self, folder: Path, *, captions: int) -> None:
        from rapo_lightning.retrieval.style import StyleCount

        self._folder = folder
        self.settle(captions)
        self._style, count = _read(folder)
        self._count = count or (None if captions or self._style else StyleCount())
        self._edited = bool(count and self._style and count.profile(self._style.description) != self._style)

    def prepare(self, captions: Iterable[str], total: int) -> None:
        """Count captions, each new to the graph, and lay the style ready for when it has ``total``."""
        if self._count is None:
            return
        for caption in captions:
            self._count.add(caption)
        self._count.shorten()
        if self._count.captions:
            if not self._edited:
                self._style = self._count.profile(self._style.description if self._style else "")
            assert self._style is not None
            save_style(self._folder, self._style, self._count, name=f".style-{total}.json")

    def settle(self, captions: int) -> None:
        """Put the style that was prepared for a graph of so many captions in its place; others are of no use."""
        for path in self._folder.glob(".style-*.json"):
            if path.name == f".style-{captions}.json":
                path.replace(self._folder / "style.json")
            else:
                path.unlink()


def _read(folder: Path) -> tuple[StyleProfile | None, StyleCount | None]:
    from rapo_lightning.retrieval.style import StyleCount, StyleProfile

    path = folder / "style.json"
    if not path.is_file():
        return None, None
    try:
        values = parse_json(path.read_bytes())
        count = values.pop(_COUNTED, None)
        return StyleProfile.of(values), None if count is None else StyleCount.of(count)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: no style of captions: {error}") from error
