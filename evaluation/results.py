"""The results of an evaluation as files, of its rows alone: they can be written again at any time.

scores.csv (and scores.parquet, with pyarrow), summary.json, report.html, radar.svg and paired.svg, manifest.jsonl.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.inputs.manifest import manifest_lines
from evaluation.job import Job
from evaluation.output.files import write_atomic
from evaluation.output.page import write_page
from evaluation.output.pictures import pictures
from evaluation.output.summary import summarise, write_summary
from evaluation.output.table import write_tables
from evaluation.run import Done
from evaluation.video.record import Record

__all__ = ["write_results"]


def write_results(
    done: Done,
    job: Job,
    *,
    imported: Mapping[str, Mapping[str, float]] | None = None,
    allow_proxy: bool = False,
    fill_missing_zero: bool = False,
) -> dict[str, Any]:
    """Write everything into the evaluation's folder; returns the summary.

    Args:
        done: the evaluation.
        job: what it was asked for.
        imported: values of VBench's dimensions from elsewhere, by variant, for the totals.
        allow_proxy, fill_missing_zero: of the totals.
    """
    write_tables(done.folder, done.rows)
    summary = summarise(done.rows, done.header, imported=imported, allow_proxy=allow_proxy, fill_missing_zero=fill_missing_zero)
    write_summary(done.folder / "summary.json", summary)
    write_page(done.folder / "report.html", done.rows, summary, records=job.records)
    for name, picture in pictures(done.rows, summary).items():
        write_atomic(done.folder / name, picture)
    write_atomic(done.folder / "manifest.jsonl", manifest_lines(_from(job.records, done.folder)))
    return summary


def _from(records: Iterable[Record], folder: Path) -> Iterator[Record]:
    """The records with their videos' paths as they are seen from a folder."""
    for record in records:
        yield replace(record, video=Path(os.path.relpath(Path(record.video).absolute(), folder.absolute())).as_posix())
