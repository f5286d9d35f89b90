"""What a language model's answer lists: the scenes, subjects, actions and atmosphere of a caption.

Only what stands in the caption is taken: a phrase with a word that the caption lacks is dropped, as is a scene that is an action.
"""

from __future__ import annotations

import json
import re

from rapo_lightning.retrieval.captions.list_cells import distinct
from rapo_lightning.retrieval.captions.rows import text_fault
from rapo_lightning.retrieval.phrases import key
from rapo_lightning.retrieval.words import GRAMMAR, words
from rapo_lightning.types import CaptionPhrases

__all__ = ["read_reply"]

KINDS = ("scenes", "subjects", "actions", "atmosphere")
LONGEST_PHRASE = 100
#: A phrase may link its words in another way than the caption does.
_LINKS = GRAMMAR | {"and", "at", "by", "for", "from", "in", "into", "on", "onto", "or", "over", "through", "to", "under", "with"}
_THOUGHTS = re.compile(r"\A.*</think(?:ing)?>|<think(?:ing)?>.*\Z", re.DOTALL)


def read_reply(text: str, caption: str) -> tuple[CaptionPhrases, list[str]]:
    """The phrases that an answer lists for a caption, and those that were dropped, each with why.

    The answer holds one JSON object with the keys scenes, subjects, actions and atmosphere, each a list of strings; thoughts,
    a code fence and other text around it are passed over.

    Raises:
        ValueError: there is no such object, or there are several that differ.
    """
    lists = _object(_THOUGHTS.sub("", text))
    there = _words(caption)
    dropped: list[str] = []
    found = {}
    for kind in KINDS:
        phrases = distinct(lists[kind])
        why = {phrase: _refusal(phrase, there) for phrase in phrases}
        dropped += [f"{reason}: {phrase}" for phrase, reason in why.items() if reason]
        found[kind] = tuple(phrase for phrase in phrases if not why[phrase])
    actions = set(map(key, distinct(lists["actions"])))
    dropped += [f"a scene that is an action: {scene}" for scene in found["scenes"] if key(scene) in actions]
    found["scenes"] = tuple(scene for scene in found["scenes"] if key(scene) not in actions)
    return CaptionPhrases(caption=caption, **found), dropped


def _object(text: str) -> dict[str, list[str]]:
    """The one JSON object with the four lists in a text. Errors: `ValueError`."""
    decoder = json.JSONDecoder()
    objects: list[dict[str, object]] = []
    start = text.find("{")
    while start >= 0:
        end = start + 1
        try:
            value, after = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            pass
        else:
            end = after
            if value not in objects:
                objects.append(value)
        start = text.find("{", end)
    if len(objects) != 1:
        raise ValueError(f"{len(objects)} JSON objects that differ" if objects else "no whole JSON object")
    lists = objects[0]
    if set(lists) != set(KINDS):
        raise ValueError(f"keys {', '.join(lists) or 'none'}, where {', '.join(KINDS)} were asked for")
    found: dict[str, list[str]] = {}
    for kind, phrases in lists.items():
        if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
            raise ValueError(f"{kind} is not a list of strings")
        found[kind] = phrases
    if (reason := text_fault("".join(map("".join, found.values())))) is not None:
        raise ValueError(reason)
    return found


def _refusal(phrase: str, there: set[str]) -> str | None:
    """Why a phrase is not taken from a caption of these words."""
    if len(phrase) > LONGEST_PHRASE:
        return "too long"
    said = _words(phrase)
    content = said - _LINKS or said
    return None if content and content <= there else "invented"


def _words(text: str) -> set[str]:
    return {part for word in words(text) for part in word.text.split()}
