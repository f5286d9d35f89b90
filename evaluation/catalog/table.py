"""All metrics by name.

from evaluation.catalog.table import load
metric = load("subject_consistency").build(towers, Options())
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol

from evaluation.catalog import judged, proxies, temporal, vbench
from evaluation.catalog.entry import Entry
from evaluation.dimensions import DIMENSIONS
from evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from evaluation.metrics.base import VideoMetric
    from evaluation.options import Options
    from evaluation.towers import Towers

__all__ = ["CATALOG", "Maker", "dimension_of", "entry", "load"]

CATALOG: dict[str, Entry] = {
    item.id: item
    for item in (
        *vbench.ENTRIES,
        *temporal.ENTRIES,
        *proxies.ENTRIES,
        *judged.ENTRIES,
    )
}


class Maker(Protocol):
    """Whatever builds a metric on an evaluation's backbones."""

    def build(self, towers: Towers, options: Options) -> VideoMetric:
        """The metric."""
        ...


def entry(name: str) -> Entry:
    """The metric of this name.

    Raises:
        EvaluationError: there is none; the nearest are named.
    """
    if name not in CATALOG:
        from difflib import get_close_matches

        near = get_close_matches(name, CATALOG, n=3)
        more = f"did you mean {', '.join(near)}?" if near else "`python -m evaluation metrics` lists them"
        raise EvaluationError(f"{name}: no such metric; {more}")
    return CATALOG[name]


def dimension_of(name: str) -> str | None:
    """The benchmark's dimension that a metric measures, None for one that is asked of every video; else the name itself."""
    dimension = name.partition(".")[0]
    return dimension if dimension in DIMENSIONS or name not in CATALOG else CATALOG[name].dimension


def load(name: str) -> Maker:
    """What builds a metric: its class, mostly.

    Raises:
        EvaluationError: there is no such metric.
    """
    module, _, cls = entry(name).source.partition(":")
    found: Maker = getattr(import_module(module), cls)
    return found
