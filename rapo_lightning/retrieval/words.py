"""Reads a prompt as words: their simple stems, the numbers among them as values, and which words carry no meaning of their own.

Rules for English, by lists and endings; other languages are read word by word without them, and writing without blanks (Chinese,
Japanese, Thai) sign by sign. Pure functions of the standard library.
"""

from __future__ import annotations

import re
from typing import NamedTuple

__all__ = ["ARTICLES", "DIRECTIONS", "GRAMMAR", "NEUTRAL", "Word", "count_words", "words"]

#: Scripts that are written without blanks: kana, Han, Thai, Lao, Khmer, Burmese.
_SIGNS = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SIGNS}]|\d+(?:[.,:]\d+)*(?![^\W_])|[^\W_{_SIGNS}]+(?:['’][^\W_{_SIGNS}]+)?")
_COUNTED = re.compile(rf"[{_SIGNS}]|[^\s{_SIGNS}\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]+")
_SIGN = re.compile(f"[{_SIGNS}]")


def _listed(names: str) -> frozenset[str]:
    return frozenset(names.split())


ARTICLES = frozenset({"a", "an"})
#: Words that a sentence may lose or gain without saying anything else.
GRAMMAR = ARTICLES | _listed("the is are was were be been being am and that which who there it its this these those of as")
#: Further words that say little by themselves, so that another way of saying a sentence need not repeat them: pronouns, relations
#: between things, verbs of general motion, words of degree.
NEUTRAL = GRAMMAR | _listed(
    """
    about above across after again against along also always among around at away back before behind below beneath beside
    between both but by can could do does doing down during each either every for from get gets getting give go goes going
    has have having he her here him his how i if in inside into just keep keeps let like made make makes making many me more
    most move moves moving my near nearby no not off on one onto or other our out outside over past per please same see
    several she show showing shown shows side so some start starts still such than their them then they thing things through
    to together toward towards under until up upon us very want we what when where while will with within without would you
    your
    """
)
#: Where a motion goes; with one of these a verb makes a phrase ("slides left") that another phrase can replace.
DIRECTIONS = _listed(
    """ahead apart away back backward backwards down downward downwards forward forwards left leftward leftwards off right
    rightward rightwards up upward upwards"""
)
#: What a request may open with before it comes to the video: "please show me a video of ...".
_OPENERS = _listed(
    "please can could you i we want would like to see show give make create generate do me us a an the video clip of"
)
_UNITS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_NUMBERS = {
    **{name: value for value, name in enumerate(_UNITS.split())},
    **{name: 10 * value for value, name in enumerate(_TENS.split(), start=2)},
    **{"single": 1, "pair": 2, "couple": 2},
}
_SCALES = {"dozen": 12, "hundred": 100, "thousand": 1000}
_AFTER_ARTICLE = {*_SCALES, "single", "pair", "couple"}
_FIGURE = re.compile(r"\d+(?:[.,:]\d+)*")


class Word(NamedTuple):
    """A word as it is written, in lower case; its ``stem``; its ``value`` when it is a number ("twenty two" is one word)."""

    text: str
    stem: str
    value: str | None = None

    @property
    def sign(self) -> bool:
        """Whether it is a sign of a script without blanks."""
        return _SIGN.match(self.text) is not None


def words(text: str, *, opening: bool = True) -> list[Word]:
    """The words of ``text`` in order; without ``opening`` those left out that only ask for a video ("show me ...")."""
    found = [part for match in _WORD.finditer(text.casefold()) for part in _parts(match[0])]
    if not opening:
        first = next((i for i, word in enumerate(found) if word not in _OPENERS), 0)
        found = found[first:]
    result: list[Word] = []
    while found:
        length = _number_length(found)
        taken, found = found[: max(length, 1)], found[max(length, 1) :]
        joined = " ".join(taken)
        value = _value(taken) if length else None
        result.append(Word(joined, stem(joined) if value is None else f"#{value}", value))
    return result


def count_words(text: str) -> int:
    """Words between blanks; in writing without blanks, signs."""
    return len(text.split()) if text.isascii() else len(_COUNTED.findall(text))


def stem(word: str) -> str:
    """A word without its ending: dogs, goes, running, hopped and moves become dog, go, run, hop and mov."""
    if len(word) < 3 or not word.isascii():
        return word
    rest = word
    if len(rest) > 3 and rest.endswith("s") and not rest.endswith(("ss", "us", "is")):
        rest = rest[:-1]
    for ending in ("ing", "ed"):
        if rest.endswith(ending) and re.search("[aeiouy]", rest[: -len(ending)]) and len(rest) > len(ending) + 1:
            rest = rest[: -len(ending)]
            break
    rest = rest.removesuffix("e") if len(rest) > 2 else rest
    if len(rest) > 2 and rest[-1] == rest[-2]:
        rest = rest[:-1]
    return rest[:-1] + "i" if rest.endswith("y") else rest


def _parts(word: str) -> list[str]:
    """``dog's`` is ``dog``, ``doesn't`` is ``does not``."""
    head, mark, tail = word.replace("’", "'").partition("'")
    if mark and tail == "t" and head.endswith("n"):
        return [{"ca": "can", "wo": "will"}.get(head[:-1], head[:-1]), "not"]
    return [head]


def _number_length(found: list[str]) -> int:
    """How many of the first words make one number; 0 when they begin with none. "A dozen" begins with its article."""
    length = int(len(found) > 1 and found[0] in ARTICLES and found[1] in _AFTER_ARTICLE)
    if not (length or found[0] in _NUMBERS or found[0] in _SCALES or _FIGURE.fullmatch(found[0])):
        return 0
    last, length = found[length], length + 1
    for word in found[length:]:
        small = _NUMBERS.get(word, 100) < (10 if last in _TENS.split() else 100 if last in _SCALES else 0)
        if not (small or word in _SCALES):
            break
        last, length = word, length + 1
    return length


def _value(number: list[str]) -> str:
    """A number as digits; one that is not whole stays as it is written."""
    total, current = 0, 0
    for word in number:
        if word in ARTICLES:
            continue
        if word in _SCALES:
            current = max(current, 1) * _SCALES[word]
            if word == "thousand":
                total, current = total + current, 0
        elif word in _NUMBERS:
            current += _NUMBERS[word]
        elif word.isdecimal():
            current += int(word)
        else:
            return " ".join(number)
    return str(total + current)
