"""Takes the thoughts out of a reasoning model's answer. Pure function of the standard library."""

from __future__ import annotations

import re

__all__ = ["strip_thinking"]

_THOUGHT = re.compile(r"<(think|thinking|thought)>.*?</\1>", re.DOTALL | re.IGNORECASE)
_OPEN = re.compile(r"<(?:think|thinking|thought)>.*\Z", re.DOTALL | re.IGNORECASE)
_CLOSE = re.compile(r"\A.*</(?:think|thinking|thought)>", re.DOTALL | re.IGNORECASE)


def strip_thinking(text: str) -> str:
    """``text`` without its ``<think>`` sections.

    A section that was cut off before its end takes the rest of the text with it. An end without a beginning (some chat
    templates write the beginning themselves) takes all that stands before it.
    """
    return _OPEN.sub("", _CLOSE.sub("", _THOUGHT.sub("", text)))
