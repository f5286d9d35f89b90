"""Videos of one's own: a file or a folder, with prompts from the files' names, from one sentence, or from a JSON file.

VBench calls this ``custom_input``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from evaluation.errors import InputError
from evaluation.inputs.manifest import Found, numbered, prompt_id_of
from evaluation.paths import is_folder, is_there
from evaluation.video.record import Record

__all__ = ["SUFFIXES", "read_custom", "video_files"]

#: What is taken for a video in a folder.
SUFFIXES = (".mp4", ".gif", ".mov", ".mkv", ".webm", ".avi")


def read_custom(
    path: str | Path, *, prompt: str | None = None, prompt_file: str | Path | None = None, variant: str = "original"
) -> Found:
    """The records of a video file, or of all videos of a folder in the order of their names.

    Args:
        path: file or folder.
        prompt: of all videos.
        prompt_file: JSON, ``{"file name": "prompt"}``; every video must have one.
        variant: of all records.

    Without either the prompt is the file's stem without a final ``-0``, ``-1``, ...: which of the prompt's videos it is.

    Raises:
        InputError: nothing there, no video, both kinds of prompts, or videos without a prompt.
    """
    path = Path(path)
    if prompt is not None and prompt_file is not None:
        raise InputError("give one prompt or a file of prompts, not both")
    files = video_files(path)
    if not files:
        raise InputError(f"{path}: no videos ({', '.join(SUFFIXES)})")
    given = _prompts(Path(prompt_file)) if prompt_file is not None else None
    lost = [file.name for file in files if given is not None and _named(given, file) is None]
    if lost:
        raise InputError(f"{prompt_file}: no prompt for {len(lost)} videos ({', '.join(lost[:5])}{', ...' * (len(lost) > 5)})")
    notes = [f"{len(given) - len(files)} prompts without a video"] if given is not None and len(given) > len(files) else []
    records = []
    for file in files:
        stem, number = _numbered(file.stem)
        text = _named(given, file) if given is not None else prompt if prompt is not None else stem
        assert text is not None
        records.append(
            Record(index=0, video=str(file), prompt=text, prompt_id=prompt_id_of(text), variant=variant, sample=number)
        )
    return Found(records=numbered(records), notes=tuple(notes))


def video_files(path: Path) -> list[Path]:
    """The file, or the videos of a folder by name; a link to nothing is one, too, and becomes an error row.

    Raises:
        InputError: there is neither.
    """
    if not is_there(path):
        raise InputError(f"{path}: no such file or folder")
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES and not is_folder(file))
    return [path]


def _numbered(stem: str) -> tuple[str, int]:
    found = re.fullmatch(r"(.+)-([0-9]{1,18})", stem, re.DOTALL)
    return (found[1], int(found[2])) if found else (stem, 0)


def _named(given: Mapping[str, str], file: Path) -> str | None:
    """The prompt of a file: by its path as it is given, its name, or its stem."""
    return next((given[name] for name in (str(file), file.name, file.stem) if name in given), None)


def _prompts(path: Path) -> dict[str, str]:
    try:
        data = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: no file of prompts: {getattr(error, 'strerror', None) or error}") from error
    if not isinstance(data, dict) or not all(isinstance(text, str) for text in data.values()):
        raise InputError(f'{path}: not of the form {{"file name": "prompt"}}')
    return data
