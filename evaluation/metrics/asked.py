"""What a record asks for beside its prompt: ``auxiliary_info``, as VBench's file of prompts or a user's manifest has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.errors import ClipError
from evaluation.video.clip import Clip, Record

__all__ = ["asked_mapping", "asked_text"]


def asked_text(clip: Clip, record: Record, dimension: str, key: str) -> str:
    """``auxiliary_info[dimension][key]``; the text itself may stand in its place, and wrappers named as the dimension are opened.

    Raises:
        ClipError: there is no such text (``no_prompt``).
    """
    found = record.auxiliary_info.get(dimension)
    while isinstance(found, Mapping):
        found = found.get(key, found.get(dimension))
    if not isinstance(found, str) or not found.strip():
        raise ClipError("no_prompt", f"{clip.path}: auxiliary_info names no {key} for {dimension}")
    return found


def asked_mapping(clip: Clip, record: Record, dimension: str, keys: tuple[str, ...]) -> dict[str, str]:
    """The texts ``keys`` of ``auxiliary_info[dimension]``, wrappers opened.

    Raises:
        ClipError: one of them is missing (``no_prompt``).
    """
    found: Any = record.auxiliary_info.get(dimension)
    while isinstance(found, Mapping) and dimension in found:
        found = found[dimension]
    texts = found if isinstance(found, Mapping) else {}
    named = {key: texts[key] for key in keys if isinstance(texts.get(key), str) and texts[key].strip()}
    if len(named) < len(keys):
        raise ClipError("no_prompt", f"{clip.path}: auxiliary_info of {dimension} must name {', '.join(keys)}")
    return named
