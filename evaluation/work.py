"""The files of a job, each with all that is asked of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.dimensions import DIMENSIONS, asks_little, plain
from evaluation.job import Job
from evaluation.measures import Measure
from evaluation.video.record import Record

__all__ = ["Work", "wanted", "works"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One file and what is asked of it: (record, metric's id), each question once."""

    path: str
    items: tuple[tuple[Record, str], ...]


def works(job: Job, by: Mapping[str, Measure]) -> list[Work]:
    """The files in the manifest's order, each once, with every metric that its lines are for."""
    asked: dict[str, dict[str, tuple[Record, str]]] = {}
    for record in job.records:
        items = asked.setdefault(record.video, {})
        for name in wanted(record, by):
            items.setdefault(by[name].asked(record), (record, name))
    return [Work(path=path, items=tuple(items.values())) for path, items in asked.items() if items]


def wanted(record: Record, by: Mapping[str, Measure]) -> list[str]:
    """Those of the metrics that a line is for: all, or where it lists dimensions, of benchmarks' metrics those that it lists.

    A suffix does not matter, nor upper and lower case; what is no benchmark's metric is asked of every video, and of another
    benchmark's, whose lists do not speak of VBench, VBench's dimensions that need a prompt at most.
    """
    if not record.dimensions:
        return list(by)
    listed = {plain(name) for name in record.dimensions}
    others = not listed & DIMENSIONS.keys()

    def is_for(dimension: str | None) -> bool:
        return dimension is None or plain(dimension) in listed or (others and asks_little(dimension))

    return [name for name, measure in by.items() if is_for(measure.dimension)]
