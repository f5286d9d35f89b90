"""What can happen in the shapes world: one or two objects over a place, sampled from a seed, split by combination.

A `Scene` names everything (`sample`); a scene with None in some fields is what a user's shorter sentence states of it.
Some (shape, colour, action) triples never occur in training (`held_out`); every test scene has one.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal, get_args

import numpy as np

__all__ = [
    "ACTIONS",
    "ATMOSPHERES",
    "COLOURS",
    "PLACES",
    "RELATIONS",
    "SHAPES",
    "SIZES",
    "SPEEDS",
    "TRANSLATIONS",
    "Item",
    "Scene",
    "Split",
    "held_out",
    "mirrored",
    "sample",
]

SHAPES = ("circle", "square", "triangle", "cross")
COLOURS = ("red", "orange", "yellow", "green", "blue", "purple")
SIZES = ("small", "large")
TRANSLATIONS = ("left", "right", "up", "down")
ACTIONS = (*TRANSLATIONS, "bounce", "still", "grow", "shrink")
SPEEDS = ("slow", "fast")
PLACES = ("desert", "sea", "meadow", "snow", "city")
ATMOSPHERES = ("day", "sunset", "night", "fog")
RELATIONS = ("left of", "right of", "above", "below")

Split = Literal["train", "validation", "test"]
_MIRROR = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One object. ``speed`` is None for actions other than the four translations; any field is None when left unsaid."""

    shape: str | None
    colour: str | None
    size: str | None = None
    action: str | None = None
    speed: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One or two objects over a place in an atmosphere; ``relation`` places the first object against the second."""

    items: tuple[Item, ...]
    place: str | None = None
    atmosphere: str | None = None
    relation: str | None = None

    def attributes(self) -> dict[str, str]:
        """What the scene states, flat: ``{"count": "1", "1.colour": "red", ..., "place": "sea"}``."""
        stated = {"count": str(len(self.items))}
        for number, item in enumerate(self.items, start=1):
            for field in fields(item):
                value = getattr(item, field.name)
                if value is not None:
                    stated[f"{number}.{field.name}"] = value
        for name in ("relation", "place", "atmosphere"):
            value = getattr(self, name)
            if value is not None:
                stated[name] = value
        return stated


def mirrored(scene: Scene) -> Scene:
    """The same scene with its two objects named in the other order."""
    if len(scene.items) != 2:
        return scene
    relation = _MIRROR[scene.relation] if scene.relation else None
    return replace(scene, items=scene.items[::-1], relation=relation)


def held_out(item: Item) -> bool:
    """Whether this (shape, colour, action) triple is kept from training.

    About one in seven is, spread as in a Latin square: every pair of a shape, a colour and an action occurs in training, and at
    most two of the eight actions of any coloured shape are missing there.
    """
    place = SHAPES.index(str(item.shape)) + 2 * COLOURS.index(str(item.colour)) + 3 * ACTIONS.index(str(item.action))
    return place % 7 == 0


def sample(rng: np.random.Generator, split: Split = "train", objects: int | None = None) -> Scene:
    """Draw a scene: every attribute uniform, one object with probability 0.6 unless ``objects`` says.

    ``train`` and ``validation`` hold only triples that are not held out; a ``test`` scene has at least one that is.
    The two objects of a scene differ in shape and in colour. Not every pair of actions fits the frame:
    `rapo_lightning.shapes.layout.place_items` says which do.
    """
    if split not in get_args(Split):
        raise ValueError(f"unknown split {split!r}")
    count = objects or (1 if rng.random() < 0.6 else 2)
    while True:
        items = tuple(_item(rng) for _ in range(count))
        if count == 2 and (items[0].shape == items[1].shape or items[0].colour == items[1].colour):
            continue
        if any(map(held_out, items)) == (split == "test"):
            break
    return Scene(
        items=items,
        place=_pick(rng, PLACES),
        atmosphere=_pick(rng, ATMOSPHERES),
        relation=_pick(rng, RELATIONS) if count == 2 else None,
    )


def _item(rng: np.random.Generator) -> Item:
    action = _pick(rng, ACTIONS)
    return Item(
        shape=_pick(rng, SHAPES),
        colour=_pick(rng, COLOURS),
        size=_pick(rng, SIZES),
        action=action,
        speed=_pick(rng, SPEEDS) if action in TRANSLATIONS else None,
    )


def _pick(rng: np.random.Generator, values: tuple[str, ...]) -> str:
    return values[int(rng.integers(len(values)))]
