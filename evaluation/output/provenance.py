"""Where the numbers of an evaluation come from: weights, their hashes and licences, frames, precision, code, videos."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from evaluation.output.figures import NONE
from evaluation.rows import Row
from evaluation.weights.table import WEIGHTS

__all__ = ["Source", "WeightsUsed", "settings", "sources", "weights_used"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """How one metric got its numbers; several values mean that not all rows got theirs in the same way."""

    metric: str
    protocols: tuple[str, ...]
    frames: tuple[str, ...]
    dtypes: tuple[str, ...]
    backbones: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsUsed:
    """One set of weights that took part, with its licence and where it is to be had; empty: not known."""

    name: str
    licence: str
    source: str
    revision: str
    sha256: str


def sources(rows: Sequence[Row], metrics: Sequence[str]) -> list[Source]:
    """A line a metric that has rows."""
    found = []
    for metric in metrics:
        group = [row for row in rows if row.metric == metric]
        if group:
            kinds = [
                tuple(dict.fromkeys(str(getattr(row, name)) for row in group if getattr(row, name)))
                for name in ("protocol", "frame_policy", "dtype", "backbone")
            ]
            found.append(Source(metric=metric, protocols=kinds[0], frames=kinds[1], dtypes=kinds[2], backbones=kinds[3]))
    return found


def weights_used(rows: Sequence[Row]) -> list[WeightsUsed]:
    """Every set of weights once, by name; what rows join with "+" is taken apart."""
    kinds = dict.fromkeys((row.backbone, row.weights_revision, row.weights_sha256) for row in rows if row.backbone)
    found: dict[WeightsUsed, None] = {}
    for names, revisions, hashes in kinds:
        split = zip_longest(names.split("+"), revisions.split("+"), hashes.split("+"), fillvalue="")
        for name, revision, digest in split:
            known = WEIGHTS.get(name)
            licence, source = (known.licence, known.source) if known else ("", "")
            found[WeightsUsed(name=name, licence=licence, source=source, revision=revision, sha256=digest)] = None
    return sorted(found, key=lambda used: (used.name, used.sha256))


def settings(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """What holds for all: code, videos, time."""
    videos = {row.position: row for row in rows if row.n_frames is not None}
    sizes = Counter(f"{row.width} × {row.height}, {row.n_frames} frames, {row.fps:g} fps" for row in videos.values() if row.fps)
    shown = [f"{count} of {size}" for size, count in sizes.most_common(6)]
    more = f"; {len(sizes) - 6} more kinds" if len(sizes) > 6 else ""
    return [
        ("code version", ", ".join(sorted({row.code_version for row in rows if row.code_version})) or NONE),
        ("videos", "; ".join(shown) + more or NONE),
        ("time spent on scoring", _duration(math.fsum(row.seconds for row in rows))),
    ]


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"
