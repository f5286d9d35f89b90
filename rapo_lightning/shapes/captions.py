"""Two ways of saying a scene: the one style of the training captions, and the many ways of people who type prompts.

`caption` names everything, always in the same order and with the same words (`varied` takes other words now and then);
`user_prompt` is short, reordered, colloquial, full of synonyms, and leaves things out. The video model is trained on the first
and asked with the second.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from rapo_lightning.shapes.scene import TRANSLATIONS, Item, Scene

__all__ = ["SIDES", "SYNONYMS", "caption", "details", "state", "user_prompt", "varied"]

T = TypeVar("T")

PLACE = {
    "desert": "a sandy desert",
    "sea": "a calm sea",
    "meadow": "a grassy meadow",
    "snow": "a snowy field",
    "city": "a grey city",
}
ATMOSPHERE = {"day": "in clear daylight", "sunset": "at sunset", "night": "at night", "fog": "in thick fog"}
RELATION = {"left of": "to the left of", "right of": "to the right of", "above": "above", "below": "below"}
#: Where captions say that the first and the second object are.
SIDES = {
    "left of": ("on the left", "on the right"),
    "right of": ("on the right", "on the left"),
    "above": ("at the top", "at the bottom"),
    "below": ("at the bottom", "at the top"),
}
PACE = {"slow": "at a slow pace", "fast": "at a fast pace"}
ACTION = {
    "left": "moves to the left",
    "right": "moves to the right",
    "up": "moves upward",
    "down": "moves downward",
    "bounce": "bounces up and down",
    "still": "stays in place",
    "grow": "grows steadily larger",
    "shrink": "shrinks steadily smaller",
}

#: What people write for a word of the captions; the caption's own word is among them.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "circle": ("circle", "ball", "disc", "dot", "orb", "round thing"),
    "square": ("square", "box", "block", "cube"),
    "triangle": ("triangle", "pyramid", "wedge", "tent shape"),
    "cross": ("cross", "plus sign", "plus", "x shape"),
    "red": ("red", "crimson", "scarlet", "ruby"),
    "orange": ("orange", "tangerine", "amber"),
    "yellow": ("yellow", "golden", "lemon"),
    "green": ("green", "emerald", "jade"),
    "blue": ("blue", "azure", "cobalt"),
    "purple": ("purple", "violet", "lilac"),
    "small": ("small", "little", "tiny", "mini"),
    "large": ("large", "big", "huge", "giant"),
    "desert": ("desert", "dunes", "sand", "sahara"),
    "sea": ("sea", "ocean", "water", "waves"),
    "meadow": ("meadow", "grass", "field of grass", "pasture"),
    "snow": ("snow", "snowy field", "winter field", "ice"),
    "city": ("city", "town", "downtown", "streets"),
    "day": ("in daylight", "in clear daylight", "on a sunny day", "by day", "at noon"),
    "sunset": ("at sunset", "at dusk", "in the evening", "as the sun sets"),
    "night": ("at night", "in the dark", "after dark", "at midnight"),
    "fog": ("in fog", "in thick fog", "in the mist", "on a foggy morning"),
    "slow": ("slowly", "at a slow pace", "without hurry", "lazily"),
    "fast": ("fast", "quickly", "at a fast pace", "in a rush"),
    "left of": ("to the left of", "left of", "on the left side of"),
    "right of": ("to the right of", "right of", "on the right side of"),
    "above": ("above", "over", "on top of", "higher than"),
    "below": ("below", "under", "beneath", "lower than"),
}
# (finite form, participle) of each action
_VERBS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "left": (("moves to the left", "moving to the left"), ("goes left", "going left"), ("slides left", "sliding left"),
             ("drifts leftwards", "drifting leftwards"), ("heads left", "heading left")),
    "right": (("moves to the right", "moving to the right"), ("goes right", "going right"), ("slides right", "sliding right"),
              ("drifts rightwards", "drifting rightwards"), ("heads right", "heading right")),
    "up": (("moves upward", "moving upward"), ("goes up", "going up"), ("rises", "rising"), ("floats up", "floating up"),
           ("climbs", "climbing")),
    "down": (("moves downward", "moving downward"), ("goes down", "going down"), ("falls", "falling"), ("sinks", "sinking"),
             ("drops", "dropping")),
    "bounce": (("bounces up and down", "bouncing up and down"), ("bounces", "bouncing"), ("hops", "hopping"),
               ("jumps up and down", "jumping up and down")),
    "still": (("stays in place", "staying in place"), ("stands still", "standing still"), ("does not move", "not moving"),
              ("just sits there", "just sitting there")),
    "grow": (("grows", "growing"), ("gets bigger", "getting bigger"), ("swells", "swelling"), ("expands", "expanding")),
    "shrink": (("shrinks", "shrinking"), ("gets smaller", "getting smaller"), ("becomes smaller", "becoming smaller"),
               ("dwindles", "dwindling")),
}  # fmt: skip
_AT_PLACE = ("over the", "in the", "at the", "across the")
_OPENERS = ("", "", "", "", "show me ", "i want ", "make a video of ", "can you do ", "please show ", "video: ")


def caption(scene: Scene, extra: tuple[str, ...] = ()) -> str:
    """A complete scene in the style of the training captions; ``extra`` are `details` sentences to end with."""
    names = [f"{item.size} {item.colour} {item.shape}" for item in scene.items]
    moves = [_move(item) for item in scene.items]
    return _in_style(PLACE[str(scene.place)], ATMOSPHERE[str(scene.atmosphere)], names, moves, scene.relation, extra)


def varied(scene: Scene, rng: np.random.Generator) -> str:
    """`caption` with other words for some things, as captions by many hands have them; order and completeness stay."""

    def one(own: str, others: tuple[str, ...]) -> str:
        return others[int(rng.integers(len(others)))] if rng.random() < 0.5 else own

    def say(word: str) -> str:
        return one(word, SYNONYMS[word])

    place = one(PLACE[str(scene.place)], tuple(f"the {word}" for word in SYNONYMS[str(scene.place)]))
    atmosphere = one(ATMOSPHERE[str(scene.atmosphere)], SYNONYMS[str(scene.atmosphere)])
    names = [f"{say(str(item.size))} {say(str(item.colour))} {say(str(item.shape))}" for item in scene.items]
    moves = []
    for item in scene.items:
        move = one(ACTION[str(item.action)], tuple(finite for finite, _ in _VERBS[str(item.action)]))
        moves.append(f"{move} {one(PACE[item.speed], SYNONYMS[item.speed])}" if item.speed else move)
    return _in_style(place, atmosphere, names, moves, scene.relation)


def _in_style(
    place: str, atmosphere: str, names: list[str], moves: list[str], relation: str | None, extra: tuple[str, ...] = ()
) -> str:
    opening = f"A smooth animated clip of {place} {atmosphere}."
    if relation is None:
        subject = f"One object is in view, {_article(names[0])}."
    else:
        first, second = (f"{_article(name)} {side}" for name, side in zip(names, SIDES[relation], strict=True))
        subject = f"Two objects are in view, {first} and {second}."
    sentences = [f"The {name} {move}." for name, move in zip(names, moves, strict=True)]
    return " ".join([opening, subject, *sentences, *extra])


def details(scene: Scene) -> dict[str, str]:
    """Sentences that state one attribute once more, by its name as in `Scene.attributes`; captions may end with some."""
    said = {}
    for number, item in enumerate(scene.items, start=1):
        said[f"{number}.colour"] = f"The {item.shape} is {item.colour}."
        said[f"{number}.shape"] = f"The {item.colour} object is a {item.shape}."
        said[f"{number}.size"] = f"The {item.shape} is {item.size}."
        said[f"{number}.action"] = f"The {item.shape} {ACTION[str(item.action)]}."
        if item.speed:
            said[f"{number}.speed"] = f"The pace of the {item.shape} is {item.speed}."
    if scene.relation:
        first, second = (item.shape for item in scene.items)
        said["relation"] = f"The {first} is {RELATION[scene.relation]} the {second}."
    said["place"] = f"The setting is {PLACE[str(scene.place)]}."
    said["atmosphere"] = f"It takes place {ATMOSPHERE[str(scene.atmosphere)]}."
    return said


def state(scene: Scene, rng: np.random.Generator) -> Scene:
    """What a user says of a scene: colour and shape always, the rest often left out. Speed needs its action."""
    items = []
    for item in scene.items:
        action = item.action if rng.random() < 0.9 else None
        items.append(
            replace(
                item,
                size=item.size if rng.random() < 0.5 else None,
                action=action,
                speed=item.speed if action and rng.random() < 0.4 else None,
            )
        )
    return replace(
        scene,
        items=tuple(items),
        place=scene.place if rng.random() < 0.75 else None,
        atmosphere=scene.atmosphere if rng.random() < 0.5 else None,
        relation=scene.relation if rng.random() < 0.8 else None,
    )


def user_prompt(stated: Scene, rng: np.random.Generator) -> str:
    """A sentence as a person would type it that says what ``stated`` says and nothing else."""

    def one(values: tuple[T, ...]) -> T:
        return values[int(rng.integers(len(values)))]

    def say(word: str) -> str:
        return SYNONYMS[word][0] if rng.random() < 0.4 else one(SYNONYMS[word])

    where = f"{one(_AT_PLACE)} {say(stated.place)}" if stated.place else ""
    when = say(stated.atmosphere) if stated.atmosphere else ""
    setting = [part for part in (where, when) if part]
    if rng.random() < 0.3:
        setting.reverse()
    nouns = [_article(" ".join(say(word) for word in (item.size, item.colour, item.shape) if word)) for item in stated.items]
    order = rng.random()  # below 0.4 the setting comes first
    opener = one(_OPENERS) if order >= 0.4 or not setting else ""
    form = int(bool(opener) or rng.random() < 0.5)  # "show me a ball going left", but also "a ball goes left"
    moves = [_colloquial(item, one, say, form) for item in stated.items]
    if len(nouns) == 1:
        core = " ".join(part for part in (nouns[0], moves[0]) if part)
    elif stated.relation:
        relation = say(stated.relation)
        second = f"{nouns[1]} that {_colloquial(stated.items[1], one, say, 0)}" if stated.items[1].action else nouns[1]
        core = " ".join(part for part in (nouns[0], moves[0], relation, second) if part)
    else:
        core = " and ".join(" ".join(part for part in pair if part) for pair in zip(nouns, moves, strict=True))
    setting_text = " ".join(setting)
    if setting_text and order < 0.3:
        text = f"{setting_text}, {core}"
    elif setting_text and order < 0.4:
        text = f"{setting_text}: {core}"
    else:
        text = f"{core} {setting_text}".strip()
    text = opener + text
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:] + "."
    return text


def _move(item: Item) -> str:
    move = ACTION[str(item.action)]
    return f"{move} {PACE[str(item.speed)]}" if item.action in TRANSLATIONS else move


def _article(noun: str) -> str:
    return f"an {noun}" if noun[0] in "aeiou" else f"a {noun}"


class _One(Protocol):
    """Draws one of several."""

    def __call__(self, values: tuple[T, ...]) -> T: ...


def _colloquial(item: Item, one: _One, say: Callable[[str], str], form: int) -> str:
    if not item.action:
        return ""
    verb = one(_VERBS[item.action])[form]
    return f"{verb} {say(item.speed)}" if item.speed else verb
