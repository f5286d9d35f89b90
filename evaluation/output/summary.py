"""summary.json: what an evaluation found, in figures.

from evaluation.output.summary import summarise, write_summary
write_summary(folder / "summary.json", summarise(rows, Header(metrics=("aesthetic_quality",))))

With several variants in the manifest, ``metrics`` and ``totals`` speak of ``variant``: of the candidate, which is "optimised" or
else the first that is not the baseline; ``variants`` holds the same of each. The baseline is "original", or else the first.
``paired`` compares the two; ``pairs`` every other variant with the baseline. With one variant ``paired`` is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evaluation.dimensions import DIMENSIONS
from evaluation.errors import InputError
from evaluation.output.files import read_json, write_json
from evaluation.output.header import Header
from evaluation.output.paired import paired
from evaluation.output.scores import metric_names, metric_scores, ordered, variant_names
from evaluation.rows import Row
from evaluation.totals import total

__all__ = ["SCHEMA", "read_summary", "summarise", "totals_of", "write_summary"]

SCHEMA = 1


def summarise(
    rows: Iterable[Row],
    header: Header,
    *,
    imported: Mapping[str, Mapping[str, float]] | None = None,
    allow_proxy: bool = False,
    fill_missing_zero: bool = False,
) -> dict[str, Any]:
    """The summary, as ``summary.json`` has it.

    Args:
        rows: in any order.
        header: how the evaluation was asked for.
        imported: values of VBench's dimensions from elsewhere, by variant; the totals take them where the rows give none.
        allow_proxy, fill_missing_zero: of `evaluation.totals.total`.

    Raises:
        InputError: two rows of one metric and video, a value that is not finite, or values imported for an unknown variant.
    """
    rows = ordered(rows)
    metrics, names = metric_names(rows, header), variant_names(rows, header)
    imported = imported or {}
    if unknown := [name for name in imported if name not in names]:
        raise InputError(f"values are imported for {', '.join(unknown)}; the variants are {', '.join(names) or 'none'}")
    groups = {name: [row for row in rows if row.variant == name] for name in names}
    variants: dict[str, dict[str, Any]] = {}
    for name, group in groups.items():
        scores = metric_scores(group, replace(header, metrics=tuple(metrics)), name)
        values = {metric: score["value"] for metric, score in scores.items()}
        totals = totals_of(values, imported.get(name, {}), allow_proxy=allow_proxy, fill_missing_zero=fill_missing_zero)
        variants[name] = {"metrics": scores, "totals": totals}
    baseline, others = (names[0], names[1:]) if names else ("", [])
    shown = "optimised" if "optimised" in others else others[0] if others else baseline
    pairs = [paired(groups[baseline], groups[name], baseline, name, metrics) for name in others]
    empty = {"metrics": metric_scores([], header), "totals": totals_of({}, {}, fill_missing_zero=fill_missing_zero)}
    return {
        "schema": SCHEMA,
        "protocol": header.protocol,
        "reduction": header.reduction,
        "precision": header.precision,
        "variant": shown,
        **variants.get(shown, empty),
        "paired": next((pair for pair in pairs if pair["candidate"] == shown), None),
        "pairs": pairs,
        "variants": variants,
        "missing_files": list(header.missing_files),
        "notes": list(header.notes),
        "errors": [
            {"video_path": row.video_path, "metric": row.metric, "code": row.error_code, "message": row.error_message}
            for row in rows
            if row.status == "error"
        ],
    }


def totals_of(
    values: Mapping[str, float | None],
    imported: Mapping[str, float],
    *,
    allow_proxy: bool = False,
    fill_missing_zero: bool = False,
) -> dict[str, Any]:
    """The three totals, what they lack, what stands in, and what was imported.

    A total with a proxy in it is null under its own name and stands under ``quality.proxy``, ``semantic.proxy`` or
    ``total.proxy``. Without ``allow_proxy`` proxies are no part of any total. ``note`` says why there is none where two proxies
    claim one dimension.

    Raises:
        InputError: an imported value is not VBench's dimension or not finite.
    """
    for name, value in imported.items():
        if name not in DIMENSIONS or not abs(value) < float("inf"):
            raise InputError(f"{name} = {value} cannot be imported: a dimension of VBench's, and a finite number")
    taken = {name: value for name, value in imported.items() if values.get(name) is None}
    given = {name: value for name, value in values.items() if allow_proxy or name in DIMENSIONS} | taken
    note = None
    try:
        found = total(given, allow_proxy=allow_proxy, fill_missing_zero=fill_missing_zero)
    except ValueError as error:
        note = str(error)
        found = total({name: value for name, value in given.items() if name in DIMENSIONS})
    halves = {DIMENSIONS[name.partition(".")[0]].half for name in found.proxies}
    result: dict[str, Any] = {}
    for name, score in (("quality", found.quality), ("semantic", found.semantic), ("total", found.total)):
        is_proxy = bool(found.proxies) if name == "total" else name in halves
        result[name] = None if is_proxy or note else score
        if is_proxy:
            result[f"{name}.proxy"] = score
    result |= {"missing": list(found.missing), "proxies": list(found.proxies), "imported": list(taken)}
    return result if note is None else result | {"note": note}


def write_summary(path: str | Path, summary: Mapping[str, Any]) -> Path:
    """Write ``summary.json``, replaced at once.

    Raises:
        InputError: it cannot be written.
    """
    return write_json(path, summary)


def read_summary(path: str | Path) -> dict[str, Any]:
    """A summary that `write_summary` has written.

    Raises:
        InputError: it cannot be read, or is none.
    """
    found = read_json(path)
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or not isinstance(found.get("metrics"), dict):
        raise InputError(f"{path}: no summary of an evaluation (schema {SCHEMA})")
    return found
