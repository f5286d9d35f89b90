"""Whether a step of Stage 1 kept the user's sentence (RAPO++ section 3.1 asks for it; the release loses objects here).

Two strictnesses, as two kinds of step:

* ``strict``, for merging a detail into a sentence: every word of the sentence must still be there, in its order, so that things,
  numbers, relations and negations stay. Free are articles, forms of "to be" and the like, endings (goes, going) and openings
  ("show me"). A text that puts the sentence in another order is counted as a loss: too careful at times, never too careless.
* ``meaning``, for saying a sentence in another style: words may change, so that the rules see less. Checked are counts, and, with
  ``same``, that each word with a meaning of its own is said, or has another word or phrase in its place.

Both check locked words, quoted text, digits and the writing system (`keeping`). No rule sees a contradiction that was added ("a
ball goes left and moves to the right"), but `alternatives` some between two details; ``meaning`` sees no relation between things,
nor what writing without blanks says.
Pure functions; counts, stems and neutral words are English.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

from rapo_lightning.keeping import lost_fixtures
from rapo_lightning.retrieval.words import ARTICLES, DIRECTIONS, GRAMMAR, NEUTRAL, Word, words

__all__ = ["Mode", "Same", "alternatives", "losses", "open_words", "worked_in"]

Mode = Literal["strict", "meaning"]

#: Whether two phrases mean the same.
Same = Callable[[str, str], bool]

#: The most words of a phrase that may stand in a word's place.
_SPAN = 4
#: How many words two details must share to be alternatives.
_ALIKE = 2
#: How many words after a number or an article it may speak of.
_REACH = 3


def losses(request: str, text: str, *, locked: Iterable[str] = (), mode: Mode = "meaning", same: Same | None = None) -> list[str]:
    """What ``text`` lost of ``request``, a line a reason; empty when all survives.

    Args:
        request: the sentence that must survive: the user's, or, step by step, the one merged into.
        text: what a step made of it.
        locked: words that must stand in the text as they are.
        mode: see the module.
        same: in mode ``meaning``, whether a word of the request and a phrase of the text mean the same.
    """
    reasons = lost_fixtures(request, text, locked=locked)
    if mode == "strict":
        return [*reasons, *_lost_words(request, text)]
    reasons += _lost_counts(words(request), words(text))
    if same is not None:
        lost = [word for word, spans in open_words(request, text).items() if not any(same(word, span) for span in spans)]
        if lost:
            reasons.append(f"lost: {', '.join(lost)}")
    return reasons


def worked_in(detail: str, body: str, text: str) -> bool:
    """Whether ``text`` took at least half of the words that ``detail`` has beyond ``body``, neutral ones aside."""
    known, there = ({word.stem for word in words(one)} for one in (body, text))
    wanted = {word.stem for word in words(detail) if not _neutral(word)} - known
    return 2 * len(wanted & there) >= len(wanted)


def alternatives(detail: str, other: str, request: str) -> bool:
    """Whether a detail is another but for one word at most: "goes left at a slow pace" and "goes left at a fast pace".

    Said of one thing they contradict each other, or the second adds nothing. They must share two words or more, neutral ones
    aside: "a dog runs" and "a dog barks" go together. So do two whose difference is a word of the ``request`` itself.
    """
    mine, others = ({word.stem for word in words(one) if _tells(word)} for one in (detail, other))
    own = mine - others
    if len(mine) != len(others) or len(own) > 1 or len(mine & others) < _ALIKE:
        return False
    return not (own and own <= {word.stem for word in words(request)})


def open_words(request: str, text: str) -> dict[str, list[str]]:
    """What ``request`` says and ``text`` does not in the same words, each with the phrases that could stand in its place.

    It is a word, a word and its direction ("slides left"), or two words with "of" ("field of grass"). The phrases have at most
    four words, and none that the request has, too: the cats of "two cats and a dog" are not its dog.
    """
    said, there = words(request, opening=False), words(text)
    stems = {word.stem for word in there}
    lacks = [word.stem not in stems and not (_neutral(word) or word.sign) for word in said]
    lacking: list[str] = []
    place = 0
    while place < len(said):
        length = 1
        after = [word.text for word in said[place + 1 : place + 3]]
        if after and after[0] in DIRECTIONS:
            length = 2
        elif len(after) == 2 and after[0] == "of" and lacks[place + 2]:
            length = 3
        if lacks[place]:
            lacking.append(" ".join(word.text for word in said[place : place + length]))
        place += length if lacks[place] else 1
    if not lacking:
        return {}
    taken = {word.stem for word in said if not _neutral(word) and word.text not in DIRECTIONS}
    spans = []
    for first in range(len(there)):
        for last in range(first, min(first + _SPAN, len(there))):
            if there[last].stem in taken:
                break
            if not all(map(_neutral, there[first : last + 1])):
                spans.append(" ".join(word.text for word in there[first : last + 1]))
    return {phrase: list(dict.fromkeys(spans)) for phrase in lacking}


def _neutral(word: Word) -> bool:
    return word.text in NEUTRAL or word.value is not None


def _tells(word: Word) -> bool:
    return word.text in DIRECTIONS or not _neutral(word) or word.value is not None


def _lost_words(request: str, text: str) -> list[str]:
    """Words of ``request`` that ``text`` lacks or has in another order."""
    wanted = [word for word in words(request, opening=False) if word.text not in GRAMMAR]
    there = [word.stem for word in words(text) if word.text not in GRAMMAR]
    missing = Counter(word.stem for word in wanted) - Counter(there)
    if missing:
        lost = [word.text for word in wanted if word.stem in missing]
        return [f"lost the words: {', '.join(dict.fromkeys(lost))}"]
    rest = iter(there)
    moved = next((word.text for word in wanted if word.stem not in rest), None)
    return [] if moved is None else [f"moved the word: {moved}"]


def _lost_counts(request: Sequence[Word], text: Sequence[Word]) -> list[str]:
    """Numbers of things that changed: "two dogs" are neither "three dogs" nor "dogs"; "a dog" is not "two dogs"."""
    reasons = []
    present = {word.value for word in text if word.value is not None}
    groups = _groups(text)
    for said, value, things in _groups(request):
        shared = [len(things & others) for _, _, others in groups]
        most = max(shared, default=0)
        nearest = {number for (_, number, _), count in zip(groups, shared, strict=True) if most and count == most}
        if nearest and value not in nearest:
            reasons.append(f"changed the number: {said}")
        elif value not in {"1", *present}:
            reasons.append(f"lost the number: {said}")
    return list(dict.fromkeys(reasons))


def _groups(sentence: Sequence[Word]) -> list[tuple[str, str, frozenset[str]]]:
    """Each number or article with what it may speak of: how it is written, its value, and the stems of the words after it."""
    groups = []
    for place, word in enumerate(sentence):
        if word.value is None and word.text not in ARTICLES:
            continue
        things: list[Word] = []
        for other in sentence[place + 1 :]:
            if not things and other.text == "of":
                continue
            if _neutral(other) or len(things) == _REACH:
                break
            things.append(other)
        said = " ".join(one.text for one in (word, *things))
        groups.append((said, word.value or "1", frozenset(one.stem for one in things)))
    return groups
