"""The exact verifier of the shapes world: reads a video's attributes off its pixels and checks them against a scene.

Every answer has three values: True, False, and None where the pixels do not decide. It only reports: no prompt is ever chosen
by it. ``python -m rapo_lightning.shapes.verify_gates`` measures how far it can be trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from rapo_lightning.shapes.layout import SIDE
from rapo_lightning.shapes.recognise import recognise_item, recognise_relation, recognise_setting
from rapo_lightning.shapes.scene import TRANSLATIONS, Item, Scene, mirrored
from rapo_lightning.shapes.segment import segment

__all__ = ["Reading", "all_right", "check", "read"]

_LEAST_FRAMES = 9  # fewer do not show a bounce's two hops


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a video shows; None where the pixels do not decide.

    ``items`` is empty unless ``count`` is 1 or 2. ``relation`` places the first item against the second. An item's ``speed`` is
    also None when its action is no translation.
    """

    count: int | None
    items: tuple[Item, ...] = ()
    relation: str | None = None
    place: str | None = None
    atmosphere: str | None = None


def read(frames_THWC: npt.NDArray[np.uint8]) -> Reading:
    """Read a video of at least 9 frames, (T, 64, 64, 3) uint8 RGB. The order of two objects means nothing.

    Raises:
        ValueError: frames of another type, shape or number.
    """
    shape = frames_THWC.shape
    if frames_THWC.dtype != np.uint8 or shape[1:] != (SIDE, SIDE, 3) or shape[0] < _LEAST_FRAMES:
        raise ValueError(f"needs uint8 (T >= {_LEAST_FRAMES}, {SIDE}, {SIDE}, 3), not {frames_THWC.dtype} {shape}")
    seen = segment(frames_THWC)
    place, atmosphere = recognise_setting(seen.background)
    return Reading(
        count=seen.count,
        items=tuple(recognise_item(track) for track in seen.tracks),
        relation=recognise_relation(*seen.tracks) if len(seen.tracks) == 2 else None,
        place=place,
        atmosphere=atmosphere,
    )


def check(reading: Reading, scene: Scene) -> dict[str, bool | None]:
    """Whether the video shows each attribute that the (possibly partial) scene states, by the keys of `Scene.attributes`.

    Objects are matched in the order that agrees best. Whatever is said of an object that is not there is wrong; where the number
    of objects is unclear, or above two, all that is said of objects is None.
    """
    missing = [None] * max(0, len(scene.items) - len(reading.items))
    items = [*reading.items, *missing]
    turned = mirrored(Scene(items=reading.items, relation=reading.relation)).relation
    answers = [_check_in_order(reading, *order, scene) for order in ((items, reading.relation), (items[::-1], turned))]
    return min(answers, key=lambda answer: (list(answer.values()).count(False), -list(answer.values()).count(True)))


def all_right(checks: Mapping[str, bool | None]) -> bool | None:
    """False when any attribute is wrong, else None when any is undecided, else True."""
    values = checks.values()
    if False in values:
        return False
    return None if None in values else True


def _check_in_order(reading: Reading, items: Sequence[Item | None], relation: str | None, scene: Scene) -> dict[str, bool | None]:
    absent = "" if reading.count in (0, 1, 2) else None  # what an object that is not in ``items`` shows
    seen = {
        "count": None if reading.count is None else str(reading.count),
        "relation": relation if reading.count == 2 else absent,
        "place": reading.place,
        "atmosphere": reading.atmosphere,
    }
    for number, item in zip(range(1, len(scene.items) + 1), items, strict=False):
        for field in fields(Item):
            seen[f"{number}.{field.name}"] = absent if item is None else getattr(item, field.name)
        if item and item.action and item.action not in TRANSLATIONS:
            seen[f"{number}.speed"] = ""
    return {key: None if seen[key] is None else seen[key] == value for key, value in scene.attributes().items()}
