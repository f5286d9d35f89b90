"""Decides whether a rewrite may be tried at all, by rules that need no model: it costs nothing, a video costs minutes.

Refused is a text that is empty, repeats an earlier one, loses what the user fixed (locked words, quoted text, numbers in
digits), changes the writing system, or is longer than the text encoder reads.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable

from rapo_lightning.types import Trajectory

__all__ = ["refusal"]

_QUOTED = re.compile(r'"([^"]+)"|“([^”]+)”|«([^»]+)»|「([^」]+)」|『([^』]+)』')
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
#: Scripts that are written together; telling Japanese from Chinese by their shares would refuse good rewrites.
_TOGETHER = dict.fromkeys(("CJK", "HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"), "Chinese or Japanese")


def refusal(
    text: str,
    trajectory: Trajectory,
    *,
    repeats: bool = False,
    over_limit: Callable[[str], int] | None = None,
) -> str | None:
    """Why ``text`` may not be tried as the next candidate of ``trajectory``, in one line; None when it may.

    Args:
        text: the rewritten prompt.
        trajectory: the user's prompt and everything tried or refused so far.
        repeats: earlier texts may come again (each round has fresh seeds).
        over_limit: by how many tokens a text exceeds what the generator's text encoder reads.
    """
    user = trajectory.prompt
    if not text.strip():
        return "the text is empty"
    if not repeats:
        for candidate in trajectory.candidates:
            if _folded(candidate.text) == _folded(text):
                return f"the same text as {candidate.id}"
    if lost := [word for word in user.context.get("locked", ()) if not _holds(text, word)]:
        return f"lost the locked words: {', '.join(lost)}"
    quotes = [next(filter(None, groups)) for groups in _QUOTED.findall(user.text)]
    if lost := [quote for quote in quotes if _spaced(quote) not in _spaced(text)]:
        return f"lost the quoted text: {', '.join(lost)}"
    if lost := _missing(_NUMBER.findall(user.text), _NUMBER.findall(text)):
        return f"lost the numbers: {', '.join(lost)}"
    before, after = _script(user.text), _script(text)
    if before and before != after:
        return f"the writing changed from {before} to {after or 'no letters'}"
    excess = over_limit(text) if over_limit else 0
    return f"{excess} tokens longer than the text encoder reads" if excess > 0 else None


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _folded(text: str) -> str:
    return _spaced(text).casefold()


def _missing(wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    there = set(present)
    return [item for item in dict.fromkeys(wanted) if item not in there]


def _holds(text: str, words: str) -> bool:
    """Whether ``words`` stand in ``text``, whatever the case; as whole words where the script has letter case or digits.

    Other scripts (Chinese, Thai, Arabic) do not set words apart by blanks alone, so that any place counts.
    """
    text, words = _folded(text), _folded(words)
    for match in re.finditer(re.escape(words), text):
        before, after = text[: match.start()][-1:], text[match.end() :][:1]
        if not (_joins(before) and _joins(words[:1])) and not (_joins(after) and _joins(words[-1:])):
            return True
    return not words


def _joins(character: str) -> bool:
    return character.isdigit() or character.lower() != character.upper()


def _script(text: str) -> str | None:
    """The writing system of most letters, e.g. ``Latin``; None without letters."""
    scripts: Counter[str] = Counter()
    for character in text:
        if character.isalpha():
            script = unicodedata.name(character, "?").removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").split()[0]
            scripts[_TOGETHER.get(script, script.capitalize())] += 1
    return scripts.most_common(1)[0][0] if scripts else None
