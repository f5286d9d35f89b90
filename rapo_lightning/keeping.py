"""What a user fixed in a prompt, and whether a text still holds it: locked words, quotes, digits, symbols, the writing system.

Pure functions of the standard library; the guards of Stage 1 (`retrieval.guard`) and of the loop (`sspo.guard`) share them.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

__all__ = ["holds", "lost_fixtures", "script"]

#: Quoted text. A mark that is an apostrophe, too, opens only before a word and closes only behind one.
_QUOTED = re.compile(
    "|".join(
        (
            r'"([^"]+)"',
            r"“([^”]+)”",
            r"„([^“”]+)[“”]",
            r"«([^»]+)»",
            r"‹([^›]+)›",
            r"「([^」]+)」",
            r"『([^』]+)』",
            r"‘([^‘]*[^‘\s])’(?!\w)",
            r"(?<!\w)'([^'\s](?:[^']*[^'\s])?)'(?!\w)",
        )
    )
)
#: Pictures that stand for a word, without what only varies them.
_SYMBOL = re.compile("[\u2600-\u27bf\u2b00-\u2bff\U0001f000-\U0001f3fa\U0001f400-\U0001faff]")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
#: Scripts that are written together; telling Japanese from Chinese by their shares would refuse good rewrites.
_TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"), "Chinese or Japanese")


def lost_fixtures(request: str, text: str, *, locked: Iterable[str] = ()) -> list[str]:
    """What ``text`` lost of what ``request`` fixed, a line a reason; empty when it holds all of it.

    ``locked`` are words that must stand in the text, whatever the case, wherever they come from.
    """
    reasons = []
    if lost := [word for word in locked if not holds(text, word)]:
        reasons.append(f"lost the locked words: {', '.join(lost)}")
    quotes = [next(filter(None, groups)) for groups in _QUOTED.findall(request)]
    if lost := [quote for quote in quotes if _spaced(quote) not in _spaced(text)]:
        reasons.append(f"lost the quoted text: {', '.join(lost)}")
    if lost := _missing(_NUMBER.findall(request), _NUMBER.findall(text)):
        reasons.append(f"lost the numbers: {', '.join(lost)}")
    if lost := _missing(_SYMBOL.findall(request), _SYMBOL.findall(text)):
        reasons.append(f"lost the symbols: {' '.join(lost)}")
    before, after = script(request), script(text)
    if before and before != after:
        reasons.append(f"the writing changed from {before} to {after or 'no letters'}")
    return reasons


def holds(text: str, words: str) -> bool:
    """Whether ``words`` stand in ``text``, whatever the case; as whole words where the script has letter case or digits.

    Other scripts (Chinese, Thai, Arabic) do not set words apart by blanks alone, so that any place counts.
    """
    text, words = _spaced(text).casefold(), _spaced(words).casefold()
    for match in re.finditer(re.escape(words), text):
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        if not (_joins(before) and _joins(words[:1])) and not (_joins(after) and _joins(words[-1:])):
            return True
    return not words


def script(text: str) -> str | None:
    """The writing system of most letters, e.g. ``Latin``; None without letters."""
    scripts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            name = unicodedata.name(character, "?").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split()[0]
            scripts[_TOGETHER.get(name, name.capitalize())] += 1
    return scripts.most_common(1)[0][0] if scripts else None


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _missing(wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    there = set(present)
    return [item for item in dict.fromkeys(wanted) if item not in there]


def _joins(character: str) -> bool:
    return character.isdigit() or character.lower() != character.upper()
