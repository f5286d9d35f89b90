"""What the tiny judge is asked and what it should answer: requests that fit a video, that miss it by a little or by much.

`clean_lessons` are about rendered scenes, whose truth is known; those about videos of the tiny video model are made by
`rapo_lightning.shapes.generated`. Besides judging, the judge learns to describe what it sees, which teaches it to look.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np

from rapo_lightning.shapes.captions import caption, state, user_prompt
from rapo_lightning.shapes.critique import compare, reply
from rapo_lightning.shapes.scene import (
    ACTIONS,
    ATMOSPHERES,
    COLOURS,
    PLACES,
    RELATIONS,
    SHAPES,
    SIZES,
    SPEEDS,
    TRANSLATIONS,
    Item,
    Scene,
    sample,
)
from rapo_lightning.templates import Template
from rapo_lightning.types import Message

__all__ = ["altered", "clean_lessons", "description_lesson", "judge_lesson", "request_for"]

_VALUES = {
    "shape": SHAPES,
    "colour": COLOURS,
    "size": SIZES,
    "action": ACTIONS,
    "speed": SPEEDS,
    "place": PLACES,
    "atmosphere": ATMOSPHERES,
    "relation": RELATIONS,
}
_DESCRIBE = "Describe the video."

Lesson = tuple[Sequence[Message], str]


def clean_lessons(shown: Scene, count: int, rng: np.random.Generator, template: Template) -> list[Lesson]:
    """``count`` conversations about a rendered scene, the first three in eight of them descriptions."""
    lessons: list[Lesson] = [description_lesson(shown, template)] * (3 * count // 8)
    while len(lessons) < count:
        asked = request_for(shown, rng)
        checks = compare(asked, shown)
        lessons.append(judge_lesson(asked, checks, len(shown.items), rng, template))
    return lessons


def description_lesson(shown: Scene, template: Template) -> Lesson:
    """What there is to see, in the words of a caption."""
    system = template.messages(prompt="")[0]
    return [system, {"role": "user", "content": _DESCRIBE}], caption(shown)


def judge_lesson(
    asked: Scene, checks: Mapping[str, bool], shown_count: int, rng: np.random.Generator, template: Template
) -> Lesson:
    """A request in a user's words and the reply that ``checks`` call for."""
    return template.messages(prompt=user_prompt(asked, rng)), reply(asked, checks, shown_count)


def request_for(shown: Scene, rng: np.random.Generator) -> Scene:
    """What a user may have asked for when the video shows this: a third fits, the rest misses by one thing or more."""
    asked = state(shown, rng)
    kind = rng.random()
    if kind < 0.35:
        return asked
    if kind < 0.75:
        return altered(asked, rng)
    if kind < 0.92:
        for _ in range(int(rng.integers(2, 4))):
            asked = altered(asked, rng)
        return asked
    return state(sample(rng, "train"), rng)


def altered(asked: Scene, rng: np.random.Generator) -> Scene:
    """``asked`` with one thing changed: a stated attribute, or an object more or less."""
    if rng.random() < 0.12:
        if len(asked.items) == 2:
            return replace(asked, items=(asked.items[int(rng.integers(2))],), relation=None)
        other = state(sample(rng, "train", objects=1), rng).items[0]
        if other.shape != asked.items[0].shape and other.colour != asked.items[0].colour:
            return replace(asked, items=(asked.items[0], other), relation=RELATIONS[int(rng.integers(4))])
    stated = [name for name in asked.attributes() if name != "count"]
    name = stated[int(rng.integers(len(stated)))]
    if not name[0].isdigit():
        changed_field: dict[str, Any] = {name: _other(str(getattr(asked, name)), _VALUES[name], rng)}
        return replace(asked, **changed_field)
    index, field = int(name[0]) - 1, name[2:]
    item = asked.items[index]
    changed = replace(item, **{field: _other(str(getattr(item, field)), _VALUES[field], rng)})
    if changed.action not in TRANSLATIONS:
        changed = replace(changed, speed=None)
    items = tuple(changed if i == index else other for i, other in enumerate(asked.items))
    return asked if _alike(items) else replace(asked, items=items)


def _alike(items: tuple[Item, ...]) -> bool:
    """Two objects of one shape or one colour do not occur."""
    return len(items) == 2 and any(
        getattr(items[0], field.name) == getattr(items[1], field.name)
        for field in fields(Item)
        if field.name in ("shape", "colour")
    )


def _other(value: str, values: tuple[str, ...], rng: np.random.Generator) -> str:
    rest = [candidate for candidate in values if candidate != value]
    return rest[int(rng.integers(len(rest)))]
