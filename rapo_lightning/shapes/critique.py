"""What there is to say about a video of one scene for a request of another: the replies the tiny judge learns to give.

Training only: the judge reads pixels, and the loop reads the judge. The reply has the form that ``judge_alignment.md`` asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from rapo_lightning.shapes.captions import ACTION, ATMOSPHERE, PACE, PLACE, RELATION
from rapo_lightning.shapes.scene import Item, Scene, mirrored

__all__ = ["Verdict", "compare", "critique", "reply", "verdict"]

_NAMED = 4

#: Attributes by the name of `Scene.attributes` -> whether the video shows them.
Verdict = Mapping[str, bool]


def compare(stated: Scene, shown: Scene) -> dict[str, bool]:
    """For each attribute that ``stated`` states, whether ``shown`` (a complete scene) has it; objects matched as agrees best."""
    orders = [shown] if len(shown.items) == 1 else [shown, mirrored(shown)]
    if len(stated.items) == 2 and len(shown.items) == 1:
        first = _match(stated, orders[0])
        second = _match(mirrored(stated), orders[0])
        if sum(second.values()) > sum(first.values()):
            return {_swapped(name): value for name, value in second.items()}
        return first
    return max((_match(stated, order) for order in orders), key=lambda checks: sum(checks.values()))


def verdict(stated: Scene, checks: Verdict, shown_count: int) -> tuple[int, list[str], list[str], list[str]]:
    """The score from 1 to 5 (one off for each thing wrong, two for a missing object), and what is missing, wrong and extra.

    Of what is wrong the first four are named: more would change neither the score nor what to do.
    """
    missing, wrong, extra = [], [], []
    absent = 2 if len(stated.items) == 2 and shown_count < 2 else None
    if absent:
        absent = 1 if not checks.get("1.colour", True) and checks.get("2.colour", False) else 2
        missing.append(_article(_noun(stated.items[absent - 1])))
    elif shown_count == 0:
        missing.append(_article(_noun(stated.items[0])))
    elif not checks["count"]:
        extra.append("another object")
    for name, right in checks.items():
        if right or name == "count" or (absent and (name.startswith(f"{absent}.") or name == "relation")):
            continue
        if shown_count == 0 and name[0].isdigit():
            continue
        wrong.append(_phrase(stated, name))
    score = max(1, 5 - len(wrong) - 2 * len(missing) - len(extra))
    return score, missing, wrong[:_NAMED], extra


def reply(stated: Scene, checks: Verdict, shown_count: int) -> str:
    """The judge's reply as JSON, keys in the template's order."""
    score, missing, wrong, extra = verdict(stated, checks, shown_count)
    return json.dumps({"score": score, "missing": missing, "wrong": wrong, "extra": extra})


def critique(stated: Scene, checks: Verdict, shown_count: int) -> tuple[float, str]:
    """The judge's score in [0, 1] and its critique as the rewriter reads them, see ``judges.reply.Parsed``."""
    score, *lists = verdict(stated, checks, shown_count)
    said = [f"{name}: {', '.join(items)}" for name, items in zip(("missing", "wrong", "extra"), lists) if items]
    return (score - 1) / 4, "; ".join(said) or "nothing is missing or wrong"


def _match(stated: Scene, shown: Scene) -> dict[str, bool]:
    has = shown.attributes()
    return {name: has.get(name) == value for name, value in stated.attributes().items()}


def _swapped(name: str) -> str:
    return {"1": "2", "2": "1"}[name[0]] + name[1:] if name[0].isdigit() else name


def _noun(item: Item) -> str:
    return " ".join(word for word in (item.size, item.colour, item.shape) if word)


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _phrase(stated: Scene, name: str) -> str:
    """E.g. ``the circle is not red``: names the attribute and what was asked for."""
    if name == "place":
        return f"the setting is not {PLACE[str(stated.place)]}"
    if name == "atmosphere":
        return f"it is not {ATMOSPHERE[str(stated.atmosphere)]}"
    if name == "relation":
        first, second = (item.shape for item in stated.items)
        return f"the {first} is not {RELATION[str(stated.relation)]} the {second}"
    item = stated.items[int(name[0]) - 1]
    field = name[2:]
    if field == "shape":
        return f"the {item.colour} object is not a {item.shape}"
    if field == "action":
        return f"the {item.shape} does not do this: {ACTION[str(item.action)]}"
    if field == "speed":
        return f"the {item.shape} does not move {PACE[str(item.speed)]}"
    return f"the {item.shape} is not {getattr(item, field)}"
