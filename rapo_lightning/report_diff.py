"""What changed between two prompts, word by word."""

from __future__ import annotations

import difflib
import re
from typing import Literal

__all__ = ["Change", "word_changes"]

#: A run of text and whether both prompts have it, only the newer one, or only the older one.
Change = tuple[Literal["same", "added", "removed"], str]

#: Chinese and Japanese are compared sign by sign, as nothing parts their words; other scripts word by word.
_SIGNS = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"([{_SIGNS}]|[^\W{_SIGNS}]+|[^\w\s])(\s*)")
#: The comparison takes quadratic time; texts longer than any prompt are not compared.
_LONGEST = 2000


def word_changes(old: str, new: str) -> list[Change]:
    """The runs of text that lead from ``old`` to ``new``; what is not ``removed`` spells ``new``, what is not ``added`` ``old``,
    but for space at their ends and, in ``old``, the amount of space between words that both have."""
    old, new = old.strip(), new.strip()
    before, after = _WORD.findall(old), _WORD.findall(new)
    if len(before) > _LONGEST or len(after) > _LONGEST:
        whole: list[Change] = [("removed", old), ("added", new)]
        return [("same", new)] if old == new else whole
    matcher = difflib.SequenceMatcher(None, [word for word, _ in before], [word for word, _ in after], autojunk=False)
    changes: list[Change] = []
    for tag, i, i_end, j, j_end in matcher.get_opcodes():
        if tag == "equal":
            changes.append(("same", _joined(after[j:j_end])))
            continue
        if i < i_end:
            changes.append(("removed", _joined(before[i:i_end])))
        if j < j_end:
            changes.append(("added", _joined(after[j:j_end])))
    return changes


def _joined(words: list[tuple[str, str]]) -> str:
    return "".join(word + space for word, space in words)
