"""The page's two pictures as files of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.output.figures import decimals
from evaluation.output.gains import effects
from evaluation.output.plots import bars, normalised, radar
from evaluation.rows import Row

__all__ = ["pictures"]


def pictures(rows: Sequence[Row], summary: Mapping[str, Any]) -> dict[str, str]:
    """``radar.svg`` of VBench's dimensions by variant and ``paired.svg`` of the summary's pair, each if there is any."""
    variants = summary["variants"]
    drawn = {"radar.svg": radar({name: _values(held) for name, held in variants.items()})}
    if pair := summary["paired"]:
        before, after = ([row for row in rows if row.variant == pair[side]] for side in ("baseline", "candidate"))
        scores = variants[pair["candidate"]]["metrics"]
        places = {name: decimals(one["value"]) for name, one in scores.items()}
        drawn["paired.svg"] = bars(effects(before, after, list(summary["metrics"])), better=pair["candidate"], places=places)
    return {name: picture for name, picture in drawn.items() if picture is not None}


def _values(held: Mapping[str, Any]) -> dict[str, float]:
    return normalised({metric: score["value"] for metric, score in held["metrics"].items()})
