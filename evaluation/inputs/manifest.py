"""The manifest: JSON lines, one video each, with the prompt that it should show.

{"video": "a.mp4", "prompt": "a cat", "prompt_id": "p17", "variant": "optimised", "prompt_optimised": "...", "seed": 42,
 "index": 0, "dimension": ["aesthetic_quality"], "auxiliary_info": {}}
Only ``video`` (absolute, or relative to the manifest's folder) and ``prompt`` are required.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.errors import InputError
from evaluation.video.record import Record

__all__ = ["Found", "manifest_lines", "numbered", "prompt_id_of", "read_manifest"]

KEYS = frozenset(
    {
        "schema",
        "video",
        "prompt",
        "prompt_id",
        "variant",
        "prompt_optimised",
        "seed",
        "index",
        "dimension",
        "auxiliary_info",
    }
)
_TYPES: dict[str, tuple[type, ...]] = {
    "video": (str,),
    "prompt": (str,),
    "prompt_id": (str,),
    "variant": (str,),
    "prompt_optimised": (str, type(None)),
    "seed": (int, type(None)),
    "index": (int,),
    "dimension": (list, str),
    "auxiliary_info": (dict,),
}

#: What tables can hold; torch takes seeds up to 2**64 - 1.
_BOUNDS = (("seed", -(2**63), 2**64 - 1), ("index", 0, 2**63 - 1))


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What an input holds.

    Attributes:
        records: in order, numbered from 0.
        missing: lines for the videos that a benchmark asks for and that are not there; their numbers mean nothing.
        notes: for people: what is odd, but no error.
    """

    records: tuple[Record, ...]
    missing: tuple[Record, ...] = ()
    notes: tuple[str, ...] = ()


def read_manifest(path: str | Path) -> Found:
    """The records of a manifest.

    Videos need not exist: one that does not is an error row, not the end.

    Raises:
        InputError: the file cannot be read, holds no video, or lines are wrong; all of these are named, by line.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8-sig", errors="surrogatepass").split("\n")  # U+2028 ends no line of JSON
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: no manifest: {getattr(error, 'strerror', None) or error}") from error
    rows: list[Mapping[str, Any]] = []
    problems: list[str] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            problems.append(f"{path}:{number}: not JSON: {error}")
            continue
        wrong = _problems(row)
        problems += [f"{path}:{number}: {what}" for what in wrong]
        if not wrong:
            rows.append(row)
    if problems:
        raise InputError("\n".join(problems[:20] + [f"{path}: {len(problems) - 20} more"] * (len(problems) > 20)))
    return Found(records=numbered(_record(row, path.parent) for row in rows), notes=_notes(rows))


def manifest_lines(records: Iterable[Record]) -> str:
    """The text of a manifest that reads back as these records."""
    return "".join(json.dumps(_line(record), ensure_ascii=False) + "\n" for record in records)


def numbered(records: Iterable[Record]) -> tuple[Record, ...]:
    """The same records with their place in this order as index."""
    from dataclasses import replace

    return tuple(replace(record, index=place) for place, record in enumerate(records))


def prompt_id_of(prompt: str) -> str:
    """What stands for a prompt without an id of its own: the start of its hash."""
    return hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:12]


def _problems(row: Any) -> list[str]:
    if not isinstance(row, dict):
        return ["not an object"]
    wrong = [f"{key} is missing" for key in ("video", "prompt") if key not in row]
    wrong += [f"unknown key {key!r}; known: {', '.join(sorted(KEYS))}" for key in row if key not in KEYS]
    wrong += [
        f"{key} is {json.dumps(row[key])[:40]}, not {' or '.join('null' if t is type(None) else t.__name__ for t in types)}"
        for key, types in _TYPES.items()
        if key in row and (not isinstance(row[key], types) or isinstance(row[key], bool))
    ]
    if isinstance(row.get("dimension"), list) and not all(isinstance(name, str) for name in row["dimension"]):
        wrong.append("dimension holds something that is no name")
    wrong += [f"{key} is empty" for key in ("video", "variant") if row.get(key) == ""]
    if not wrong:
        wrong += [
            f"{key} is {row[key]}, not {low} to {high}" for key, low, high in _BOUNDS if not low <= (row.get(key) or 0) <= high
        ]
    return wrong


def _record(row: Mapping[str, Any], folder: Path) -> Record:
    dimension = row.get("dimension", ())
    return Record(
        index=0,
        video=str(folder / row["video"]),
        prompt=row["prompt"],
        prompt_id=row.get("prompt_id") or prompt_id_of(row["prompt"]),
        variant=row.get("variant", "original"),
        prompt_optimised=row.get("prompt_optimised"),
        seed=row.get("seed"),
        sample=row.get("index", 0),
        dimensions=(dimension,) if isinstance(dimension, str) else tuple(dimension),
        auxiliary_info=row.get("auxiliary_info", {}),
    )


def _line(record: Record) -> dict[str, Any]:
    line: dict[str, Any] = {
        "video": record.video,
        "prompt": record.prompt,
        "prompt_id": record.prompt_id,
        "variant": record.variant,
        "prompt_optimised": record.prompt_optimised,
        "seed": record.seed,
        "index": record.sample,
    }
    if record.dimensions:
        line["dimension"] = list(record.dimensions)
    if record.auxiliary_info:
        line["auxiliary_info"] = dict(record.auxiliary_info)
    return line


def _notes(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    prompts: dict[str, set[str]] = {}
    for row in rows:
        if row.get("prompt_id"):
            prompts.setdefault(row["prompt_id"], set()).add(row["prompt"])
    odd = [name for name, texts in prompts.items() if len(texts) > 1]
    if odd:
        return (
            f"{len(odd)} prompt ids with different prompts ({', '.join(odd[:3])}): is prompt the original one in every variant?",
        )
    return ()
