"""One page of an evaluation: totals, metrics, what a variant gains, which prompts, what failed, and where the numbers come from.

from evaluation.output.page import write_page
write_page(folder / "report.html", rows, summary, records=records, title="Wan 2.1, tuned rewriter")

The page needs no network, no script and no server; text of others is escaped, and its content security policy allows nothing but
its own style and the videos that it links to. It is made of the rows and of `evaluation.output.summary.summarise`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.dimensions import DIMENSIONS
from evaluation.output.figures import decimals
from evaluation.output.files import write_atomic
from evaluation.output.films import Film, film
from evaluation.output.gains import PromptGain, effects, prompt_gains, prompt_levels
from evaluation.output.pages import render
from evaluation.output.plots import bars, normalised, radar
from evaluation.output.plots_small import intervals
from evaluation.output.provenance import settings, sources, weights_used
from evaluation.output.scores import ordered
from evaluation.rows import Row
from evaluation.video.record import Record

__all__ = ["page", "write_page"]

#: Prompts at either end, parts and seeds of each, and lines of errors that are shown; the tables hold all.
PROMPTS, PARTS, SEEDS, ERRORS = 6, 3, 2, 200
_COUNTS = ("n_videos", "n_errors", "n_missing", "n_left_out")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Card:
    """A prompt with its videos, a row a seed."""

    gain: PromptGain
    parts: Sequence[tuple[str, float, str]]
    films: Sequence[Sequence[Film]]
    more: int
    rewritten: str | None


def write_page(
    path: str | Path,
    rows: Iterable[Row],
    summary: Mapping[str, Any],
    *,
    records: Iterable[Record] = (),
    title: str = "Evaluation",
) -> Path:
    """Write `page` to a file; links to videos are relative to its folder.

    Raises:
        InputError: it cannot be written.
    """
    path = Path(path)
    return write_atomic(path, page(rows, summary, records=records, title=title, folder=path.parent))


def page(
    rows: Iterable[Row],
    summary: Mapping[str, Any],
    *,
    records: Iterable[Record] = (),
    title: str = "Evaluation",
    folder: str | Path = ".",
) -> str:
    """The page as text.

    Args:
        rows: of the evaluation, in any order.
        summary: of the same rows.
        records: of the manifest; they give the prompts that videos were made from.
        title: in its head.
        folder: where the page will lie.
    """
    rows = ordered(rows)
    variants: Mapping[str, Any] = summary["variants"] or {summary["variant"]: summary}
    metrics = list(summary["metrics"])
    sides = {name: [row for row in rows if row.variant == name] for name in variants}
    held = {name: [one["metrics"][name] for one in variants.values()] for name in metrics}
    places = {name: decimals(next((one["value"] for one in scores if one["value"]), 0)) for name, scores in held.items()}
    pairs = [
        {
            "pair": pair,
            "bars": _svg(bars(effects(*_of(sides, pair), metrics), better=pair["candidate"], places=places)),
            "counts": _verdicts(pair),
        }
        for pair in summary["pairs"]
    ]
    errors = _errors(rows, Path(folder))
    return render(
        "page.html",
        title=title,
        summary=summary,
        variants=variants,
        places=places,
        pictures={
            name: _svg(intervals([(one["value"], one["ci95"]) for one in scores], scores[0]["range"]))
            for name, scores in held.items()
        },
        says=_says(metrics),
        tiles=_tiles(variants),
        counts={name: {key: sum(one[key] for one in scores) for key in _COUNTS} for name, scores in held.items()},
        notes=_notes(variants),
        radar=_svg(radar({name: _values(one) for name, one in variants.items()})),
        pairs=pairs,
        ends=_ends(sides, summary, metrics, Path(folder), {record.index: record for record in records}),
        errors=errors[:ERRORS],
        errors_left=max(0, len(errors) - ERRORS),
        n_videos=len({row.position for row in rows}),
        n_prompts=len({row.prompt_id for row in rows}),
        sources=sources(rows, metrics),
        weights=weights_used(rows),
        settings=settings(rows),
    )


def _tiles(variants: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The totals that any variant has, those with a proxy in them by themselves."""
    tiles = []
    for key, says in (("total", "VBench total"), ("quality", "Quality score"), ("semantic", "Semantic score")):
        for name in (key, f"{key}.proxy"):
            values = {variant: held["totals"].get(name) for variant, held in variants.items()}
            if any(value is not None for value in values.values()):
                tiles.append({"says": says, "proxy": name != key, "by_variant": values})
    return tiles


def _notes(variants: Mapping[str, Any]) -> list[tuple[str, bool]]:
    """What is to be said of the totals, and whether it is why there is none; in one line where it holds for all variants."""
    said: dict[tuple[str, bool], list[str]] = {}
    for variant, held in variants.items():
        totals = held["totals"]
        lost, names = len(totals["missing"]), ", ".join(totals["missing"])
        has_total = totals["total"] is not None or totals.get("total.proxy") is not None
        what = "absent dimensions count as 0" if has_total else "no VBench total"
        if "note" in totals:
            said.setdefault((f"no VBench total: {totals['note']}", True), []).append(variant)
        elif lost == len(DIMENSIONS):
            said.setdefault(("no VBench total: none of its dimensions has a value", True), []).append(variant)
        elif lost:
            note = f"{what}, as {lost} of {len(DIMENSIONS)} dimensions have no value: {names}"
            said.setdefault((note, True), []).append(variant)
        for key, says in (("proxies", "in place of VBench’s own backbones"), ("imported", "imported from elsewhere")):
            if totals[key]:
                said.setdefault((f"{says}: {', '.join(totals[key])}", False), []).append(variant)
    every = list(variants)
    return [
        (text[0].upper() + text[1:] if names == every else f"{', '.join(names)}: {text}", is_why)
        for (text, is_why), names in sorted(said.items(), key=lambda item: not item[0][1])
    ]


def _svg(text: str | None) -> Any:
    """A picture, which has escaped what it says."""
    from markupsafe import Markup

    return Markup(text) if text else ""


def _of(sides: Mapping[str, list[Row]], pair: Mapping[str, Any]) -> tuple[list[Row], list[Row]]:
    return sides[pair["baseline"]], sides[pair["candidate"]]


def _values(held: Mapping[str, Any]) -> dict[str, float]:
    return normalised({name: score["value"] for name, score in held["metrics"].items()})


def _verdicts(pair: Mapping[str, Any]) -> dict[str, int]:
    """In how many metrics the interval leaves 0 out, and on which side."""
    known = [found["ci95"] for found in pair["metrics"].values() if found["ci95"] is not None]
    better, worse = sum(low > 0 for low, _ in known), sum(high < 0 for _, high in known)
    return {"better": better, "worse": worse, "unclear": len(known) - better - worse, "all": len(known)}


def _says(metrics: Sequence[str]) -> dict[str, str]:
    """What the catalogue says of each metric, or nothing."""
    from evaluation.catalog.table import CATALOG

    return {name: CATALOG[name].says if name in CATALOG else "" for name in metrics}


def _ends(
    sides: Mapping[str, list[Row]],
    summary: Mapping[str, Any],
    metrics: Sequence[str],
    folder: Path,
    records: Mapping[int, Record],
) -> dict[str, list[_Card]]:
    """Prompts at either end, by heading: of the pairs that the summary shows, or of its only variant."""
    pair = summary["paired"]
    if pair is not None:
        gains = prompt_gains(*_of(sides, pair), metrics)
        best, worst = [gain for gain in gains if gain.level > 0], [gain for gain in gains[::-1] if gain.level < 0]
        names = ("Largest gains", "Largest losses")
    else:
        gains = prompt_levels(sides[summary["variant"]], metrics)
        best, worst = gains[: len(gains) // 2], gains[::-1][: len(gains) // 2]
        names = ("Best prompts", "Worst prompts")
    found = {
        name: [_card(gain, pair is not None, folder, records) for gain in end[:PROMPTS]]
        for name, end in zip(names, (best, worst))
    }
    return {name: cards for name, cards in found.items() if cards}


def _card(gain: PromptGain, is_pair: bool, folder: Path, records: Mapping[int, Record]) -> _Card:
    films = [[film(row, folder) for row in pair if row is not None] for pair in gain.videos[:SEEDS]]
    parts = [(name, level, _number(value, is_pair)) for name, level, value in gain.parts[:PARTS]]
    record = records.get(gain.videos[0][1].position)
    rewritten = record.prompt_optimised if record is not None else None
    return _Card(gain=gain, parts=parts, films=films, more=max(0, len(gain.videos) - SEEDS), rewritten=rewritten)


def _number(value: float, is_gain: bool) -> str:
    text = f"{value:+.3g}" if is_gain else f"{abs(value):.3g}"
    return text.replace("-", "−")


def _errors(rows: Iterable[Row], folder: Path) -> list[dict[str, Any]]:
    """Errors that say the same of one video stand in one line."""
    found: dict[tuple[int, str | None, str | None], dict[str, Any]] = {}
    for row in rows:
        if row.status == "error":
            key = (row.position, row.error_code, row.error_message)
            line: dict[str, Any] = {
                "film": film(row, folder),
                "code": row.error_code,
                "message": row.error_message or "",
                "metrics": [],
            }
            found.setdefault(key, line)["metrics"].append(row.metric)
    return list(found.values())
