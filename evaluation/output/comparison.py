"""Several finished evaluations side by side: metric by run, the best marked, differences where prompts and seeds match.

from evaluation.output.comparison import compare, read_runs
comparison = compare([*read_runs("out/base"), *read_runs("out/tuned")])
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from evaluation.errors import InputError
from evaluation.output.header import Header
from evaluation.output.paired import paired
from evaluation.output.scores import metric_names, metric_scores, ordered, variant_names
from evaluation.output.summary import read_summary, totals_of
from evaluation.output.table import read_rows
from evaluation.rows import Row

__all__ = ["Run", "compare", "read_runs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One variant of one finished evaluation."""

    name: str
    rows: tuple[Row, ...]
    protocol: str = "vbench"
    reduction: Literal["single", "multi"] = "single"
    precision: str = "fp32"
    metrics: tuple[str, ...] = ()


def read_runs(path: str | Path, name: str | None = None) -> list[Run]:
    """The runs of an evaluation's folder, or of its ``scores.csv`` or ``scores.parquet``, one a variant.

    Args:
        path: a folder with ``scores.csv``, or such a file; ``summary.json`` beside it says how it was reduced.
        name: of the run, else the folder's; with several variants ``name:variant``.

    Raises:
        InputError: it cannot be read, or holds no rows.
    """
    path = Path(path)
    table = path / "scores.csv" if path.is_dir() else path
    rows = ordered(read_rows(table))
    if not rows:
        raise InputError(f"{table}: no rows")
    beside = table.with_name("summary.json")
    told = read_summary(beside) if beside.is_file() else {}
    name = name or table.resolve().parent.name or str(table)
    variants = variant_names(rows, Header())
    return [
        Run(
            name=name if len(variants) == 1 else f"{name}:{variant}",
            rows=tuple(row for row in rows if row.variant == variant),
            protocol=told.get("protocol", rows[0].protocol),
            reduction="multi" if told.get("reduction") == "multi" else "single",
            precision=told.get("precision", "fp32"),
            metrics=tuple(told.get("metrics", ())),
        )
        for variant in variants
    ]


def compare(runs: Sequence[Run], *, allow_proxy: bool = False) -> dict[str, Any]:
    """The comparison, as JSON; the first run is the baseline of all differences.

    ``metrics`` holds of each metric the ``values`` by run (as in ``summary.json``), the names of the ``best``, and the
    ``differences`` by run: as ``paired`` of a summary, where prompts and seeds match. ``notes`` say what cannot be compared well.

    Raises:
        InputError: fewer than two runs, or two of one name.
    """
    names = [run.name for run in runs]
    if len(runs) < 2:
        raise InputError("a comparison takes two runs or more")
    if len(set(names)) < len(names):
        raise InputError(f"two runs have the same name: {', '.join(sorted({n for n in names if names.count(n) > 1}))}")
    sets = {run.name: _matched(run.rows) for run in runs}
    metrics = list(dict.fromkeys(name for run in runs for name in metric_names(run.rows, Header(metrics=run.metrics))))
    scores = {run.name: metric_scores(sets[run.name], Header(metrics=tuple(metrics), reduction=run.reduction)) for run in runs}
    base = names[0]
    gains = {name: paired(sets[base], sets[name], base, name, metrics)["metrics"] for name in names[1:]}
    return {
        "schema": 1,
        "baseline": base,
        "runs": [
            {"name": run.name, "protocol": run.protocol, "reduction": run.reduction, "precision": run.precision} for run in runs
        ],
        "metrics": {
            metric: {
                "higher_is_better": _direction(metric, scores.values()),
                "best": _best({name: scores[name][metric]["value"] for name in names}, _direction(metric, scores.values())),
                "values": {name: scores[name][metric] for name in names},
                "differences": {name: found[metric] for name, found in gains.items()},
            }
            for metric in metrics
        },
        "totals": {
            name: totals_of({m: score["value"] for m, score in held.items()}, {}, allow_proxy=allow_proxy)
            for name, held in scores.items()
        },
        "notes": _notes(runs),
    }


def _matched(rows: Iterable[Row]) -> list[Row]:
    """An id means the same in two evaluations only with the same prompt."""
    return [replace(row, prompt_id=f"{row.prompt_id}\0{row.prompt}") for row in rows]


def _direction(metric: str, scores: Iterable[dict[str, Any]]) -> bool:
    return all(held[metric]["higher_is_better"] for held in scores)


def _best(values: dict[str, float | None], higher: bool) -> list[str]:
    known = {name: value for name, value in values.items() if value is not None}
    if len(known) < 2:
        return []
    best = max(known.values()) if higher else min(known.values())
    return [name for name, value in known.items() if value == best]


def _notes(runs: Sequence[Run]) -> list[str]:
    notes = []
    for key in ("protocol", "reduction", "precision"):
        found = list(dict.fromkeys(getattr(run, key) for run in runs))
        if len(found) > 1:
            notes.append(f"the runs differ in {key} ({', '.join(found)}): their values do not mean the same")
    prompts = [{(row.prompt_id, row.prompt) for row in run.rows} for run in runs]
    if any(found != prompts[0] for found in prompts):
        notes.append("not all runs have the same prompts: their differences tell more than their values")
    weights: dict[str, set[str]] = {}
    for row in (row for run in runs for row in run.rows if row.weights_sha256):
        weights.setdefault(row.metric, set()).add(row.weights_sha256)
    if differ := [metric for metric, found in weights.items() if len(found) > 1]:
        notes.append(f"other weights in some runs: {', '.join(differ)}")
    return notes
