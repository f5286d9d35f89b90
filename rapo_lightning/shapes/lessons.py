"""The tiny language model's tasks: conversations in the suite's own templates, with the answers it should give.

It learns what Stage 1 and Stage 2 ask of a chat model: rewrite a prompt given everything tried and criticised, merge a detail,
list what a caption holds, say a caption as people would. As a general chat model does, it restyles and expands in a prose of its
own (`prose`), and of two prompts it chooses the one that keeps the request, in whatever style. To restyle as the video model's
captions, to choose what renders better, to expand so that it renders is left to adapters: L_r, L_d and Stage 3. All lessons are
from the training split; critiques are imagined.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from rapo_lightning.rewriters.memory import conversation
from rapo_lightning.shapes.captions import ACTION, ATMOSPHERE, PACE, PLACE, RELATION, caption, details, state, user_prompt
from rapo_lightning.shapes.critique import critique
from rapo_lightning.shapes.scene import ACTIONS, ATMOSPHERES, PLACES, RELATIONS, SIZES, SPEEDS, TRANSLATIONS, Item, Scene, sample
from rapo_lightning.templates import Template
from rapo_lightning.types import Candidate, Feedback, Message, Prompt, Trajectory

__all__ = ["STYLE", "TEMPLATES", "complete", "lesson", "prose"]

#: The templates whose conversations are taught.
TEMPLATES = ("rewrite", "refactor", "refine", "naive", "merge", "extract", "deformat", "select")

#: How Stage 1 describes the captions' style to a language model.
STYLE = "A smooth animated clip of a place and its light, then how many objects and which, then how each one moves."
_MAX_WORDS = 120
_PLAIN_WORDS = 30
_REFINED_WORDS = (32, 40)  # asked for of `ChatRefiner` with ``max_words: 40``: at least, at most
_GOOD = 0.7  # a try that is worth mending

Lesson = tuple[Sequence[Message], str]


def complete(stated: Scene, rng: np.random.Generator) -> Scene:
    """A full scene that holds everything ``stated``; what was left unsaid is filled in."""

    def pick(value: str | None, values: tuple[str, ...]) -> str:
        return value or values[int(rng.integers(len(values)))]

    items = []
    for item in stated.items:
        action = pick(item.action, ACTIONS)
        speed = pick(item.speed, SPEEDS) if action in TRANSLATIONS else None
        items.append(replace(item, size=pick(item.size, SIZES), action=action, speed=speed))
    relation = pick(stated.relation, RELATIONS) if len(items) == 2 else None
    return Scene(
        items=tuple(items),
        place=pick(stated.place, PLACES),
        atmosphere=pick(stated.atmosphere, ATMOSPHERES),
        relation=relation,
    )


def lesson(rng: np.random.Generator, templates: dict[str, Template]) -> Lesson:
    """One conversation and its answer; half of them are rewrites."""
    scene = sample(rng, "train")
    stated = state(scene, rng)
    request = user_prompt(stated, rng)
    tasks: list[tuple[float, Callable[..., Lesson]]] = [
        (0.46, _rewrite),
        (0.12, _refactor),
        (0.05, _refine),
        (0.05, _naive),
        (0.10, _merge),
        (0.08, _extract),
        (0.07, _deformat),
        (0.07, _select),
    ]
    task = tasks[int(rng.choice(len(tasks), p=[share for share, _ in tasks]))][1]
    return task(rng, templates, stated, request)


class _Try(NamedTuple):
    """A text tried, how it was judged, the attributes it got wrong, and the scene it described (None: the user's own words)."""

    candidate: Candidate
    wrong: list[str]
    scene: Scene | None


def _rewrite(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    tries = [_tried(0, request, None, stated, rng)]
    for round in range(1, int(rng.integers(0, 4)) + 1):
        text, scene = _next_text(stated, tries, rng)
        tries.append(_tried(round, text, scene, stated, rng))
    answer, _ = _next_text(stated, tries, rng)
    candidates = tuple(one.candidate for one in tries)
    trajectory = Trajectory(prompt=Prompt.of(request), candidates=candidates, best=_best(tries).candidate)
    return conversation(trajectory, templates["rewrite"], max_words=_MAX_WORDS), answer


def _next_text(stated: Scene, tries: list[_Try], rng: np.random.Generator) -> tuple[str, Scene]:
    """A text that was not tried: a good best try is mended where it was criticised, else what was left open is filled anew."""
    best = _best(tries)
    if best.scene is not None and (best.candidate.reward or 0.0) >= _GOOD:
        scene, wrong = best.scene, best.wrong
    else:
        scene, wrong = complete(stated, rng), tries[-1].wrong if len(tries) > 1 else []
    said = details(scene)
    text = caption(scene, tuple(said[name] for name in wrong if name in said)[:2])
    while any(text == one.candidate.text for one in tries):
        scene = complete(stated, rng)
        said = details(scene)
        chosen = rng.choice(list(said), size=int(rng.integers(0, 3)), replace=False)
        text = caption(scene, tuple(said[name] for name in chosen))
    return text, scene


def _best(tries: list[_Try]) -> _Try:
    return max(tries, key=lambda one: (one.candidate.reward or 0.0, -one.candidate.round))


def _tried(round: int, text: str, scene: Scene | None, stated: Scene, rng: np.random.Generator) -> _Try:
    """The text with an imagined judgement; rewrites go wrong less often than the user's own words."""
    names = [name for name in stated.attributes() if name != "count"]
    wrong = [name for name in names if rng.random() < (0.15 if scene else 0.35)]
    count = len(stated.items)
    if rng.random() < 0.1:
        count = 3 - count if count == 1 or rng.random() < 0.7 else 0
    checks = {"count": count == len(stated.items)} | {name: name not in wrong for name in names}
    score, told = critique(stated, checks, count)
    score = float(np.clip(score + rng.normal(0, 0.06), 0, 1))
    candidate = Candidate(
        id=f"r{round}",
        prompt_id="p",
        round=round,
        text=text,
        origin="rewrite" if scene else "user",
        feedback=(Feedback(judge="alignment", score=score, critique=told),),
        reward=score,
    )
    return _Try(candidate, wrong, scene)


def prose(stated: Scene) -> str:
    """What ``stated`` says, as a chat model says it that has never seen the video model's captions."""
    items = [f"{_an(item)} {_moving(item)}".rstrip() for item in stated.items]
    setting = f" over {PLACE[stated.place]}" if stated.place else ""
    setting += f" {ATMOSPHERE[stated.atmosphere]}" if stated.atmosphere else ""
    text = f"In this video there is {' and there is '.join(items)}{setting}."
    if stated.relation:
        first, second = (item.shape for item in stated.items)
        text += f" The {first} is {RELATION[stated.relation]} the {second}."
    return text


def _refactor(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    scene = complete(stated, rng)
    for _ in range(int(rng.integers(0, 5))):  # what has been merged
        _, request, stated = _joined(request, scene, stated, rng)
    return templates["refactor"].messages(style=STYLE, sentence=request), prose(stated)


def _refine(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    words = dict(zip(("least", "words"), map(str, _REFINED_WORDS), strict=True))
    return templates["refine"].messages(request=request, notes="", **words), prose(complete(stated, rng))


def _naive(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    nouns = [f"{_an(item)} that {ACTION[item.action]}" if item.action else _an(item) for item in stated.items]
    text = f"A video of {' and '.join(nouns)}"
    if stated.place:
        text += f" over {PLACE[stated.place]}"
    if stated.atmosphere:
        text += f" {ATMOSPHERE[stated.atmosphere]}"
    return templates["naive"].messages(style=STYLE, request=request, words=str(_PLAIN_WORDS)), f"{text}."


def _merge(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    scene = complete(stated, rng)
    for _ in range(int(rng.integers(0, 5))):  # what earlier steps have merged
        _, request, stated = _joined(request, scene, stated, rng)
    modifier, joined, _ = _joined(request, scene, stated, rng)
    return templates["merge"].messages(body=request, modifier=modifier), joined


def _joined(request: str, scene: Scene, stated: Scene, rng: np.random.Generator) -> tuple[str, str, Scene]:
    """A phrase of ``scene`` as the relation graph holds it, one sentence of the request and the phrase, and what it states."""
    choice = int(rng.integers(2 + len(scene.items)))
    if choice == 0:
        modifier, stated = PLACE[str(scene.place)], replace(stated, place=scene.place)
    elif choice == 1:
        modifier, stated = ATMOSPHERE[str(scene.atmosphere)], replace(stated, atmosphere=scene.atmosphere)
    else:
        item = scene.items[choice - 2]
        modifier = ACTION[str(item.action)] + (f" {PACE[item.speed]}" if item.speed else "")
        items = [
            replace(said, action=item.action, speed=item.speed) if full is item else said
            for said, full in zip(stated.items, scene.items, strict=True)
        ]
        stated = replace(stated, items=tuple(items))
    return modifier, f"{request.rstrip('.')}, {modifier}.", stated


def _extract(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    scene = complete(stated, rng)
    actions = [ACTION[str(i.action)] + (f" {PACE[i.speed]}" if i.speed else "") for i in scene.items]
    parts = {
        "scenes": [PLACE[str(scene.place)]],
        "subjects": [_an(item) for item in scene.items],
        "actions": list(dict.fromkeys(actions)),
        "atmosphere": [ATMOSPHERE[str(scene.atmosphere)]],
    }
    return templates["extract"].messages(caption=caption(scene)), json.dumps(parts)


def _deformat(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    scene = complete(stated, rng)
    return templates["deformat"].messages(caption=caption(scene)), user_prompt(scene, rng)


def _select(rng: np.random.Generator, templates: dict[str, Template], stated: Scene, request: str) -> Lesson:
    good, other = _said(complete(stated, rng), rng), _said(complete(_altered(stated, rng), rng), rng)
    first = rng.random() < 0.5
    a, b = (good, other) if first else (other, good)
    return templates["select"].messages(request=request, a=a, b=b), "A" if first else "B"


def _said(scene: Scene, rng: np.random.Generator) -> str:
    """A scene in one of the styles that a prompt may have."""
    return (caption(scene), prose(scene), user_prompt(scene, rng))[int(rng.integers(3))]


def _altered(stated: Scene, rng: np.random.Generator) -> Scene:
    """``stated`` with the first object of another random scene: a prompt that lost what was asked for."""
    other = sample(rng, "train", objects=1).items[0]
    first = stated.items[0]
    changed = replace(first, colour=other.colour) if other.colour != first.colour else replace(first, shape=other.shape)
    return replace(stated, items=(changed, *stated.items[1:]))


def _an(item: Item) -> str:
    noun = " ".join(word for word in (item.size, item.colour, item.shape) if word)
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


def _moving(item: Item) -> str:
    if not item.action:
        return ""
    return f"that {ACTION[item.action]}" + (f" {PACE[item.speed]}" if item.speed else "")
