"""VBench's list of prompts with their videos: ``[{"prompt_en", "dimension", "auxiliary_info", "video_list"}]``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.errors import InputError
from evaluation.inputs.manifest import Found, numbered, prompt_id_of
from evaluation.video.record import Record

__all__ = ["read_full_info"]


def read_full_info(path: str | Path, variant: str = "original") -> Found:
    """The records of every video in a list, relative paths from the list's folder; VBench's ``*_full_info.json`` is one.

    Raises:
        InputError: the file cannot be read, is no such list, or names no video.
    """
    path = Path(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no list of prompts: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(data, list):
        raise InputError(f"{path}: no list of prompts")
    problems = [f"{path}: entry {place}: {what}" for place, entry in enumerate(data) for what in _problems(entry)]
    if problems:
        raise InputError("\n".join(problems[:20]))
    records = [
        Record(
            index=0,
            video=str(path.parent / video),
            prompt=entry["prompt_en"],
            prompt_id=prompt_id_of(entry["prompt_en"]),
            variant=variant,
            sample=sample,
            dimensions=tuple(entry.get("dimension", ())),
            auxiliary_info=_unwrapped(entry.get("auxiliary_info") or {}),
        )
        for entry in data
        for sample, video in enumerate(entry.get("video_list", ()))
    ]
    if not records:
        raise InputError(f"{path}: {len(data)} prompts, and none has a video_list")
    return Found(records=numbered(records))


def _problems(entry: Any) -> list[str]:
    if not isinstance(entry, dict) or not isinstance(entry.get("prompt_en"), str):
        return ["no prompt_en"]
    wrong = [
        f"{key} is no list of names"
        for key in ("dimension", "video_list")
        if not isinstance(entry.get(key, []), list) or not all(isinstance(one, str) for one in entry.get(key, []))
    ]
    return wrong + ["auxiliary_info is no object"] * (not isinstance(entry.get("auxiliary_info") or {}, dict))


def _unwrapped(info: Mapping[str, Any]) -> dict[str, Any]:
    """What each dimension needs, without the second and third layer of its own name that some entries have."""
    found = dict(info)
    for name, value in info.items():
        while isinstance(value, Mapping) and set(value) == {name} and isinstance(value[name], Mapping):
            value = value[name]
        found[name] = value
    return found
