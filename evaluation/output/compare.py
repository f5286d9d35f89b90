"""A comparison of evaluations as text for a terminal, as CSV, JSON and as a page.

from evaluation.output.compare import comparison_text, write_comparison
print(comparison_text(comparison))
write_comparison("compared.html", comparison)
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation.errors import InputError
from evaluation.output.figures import bounds, decimals, figure, is_clear, plain, signed
from evaluation.output.files import write_atomic, write_json
from evaluation.output.gate import TOTALS
from evaluation.output.pages import render
from evaluation.output.terminal import NARROWEST, needed, table_text

__all__ = ["comparison_csv", "comparison_html", "comparison_text", "write_comparison"]

COLUMNS = (
    "metric", "run", "value", "ci95_low", "ci95_high", "n_videos", "n_errors", "best", "delta", "delta_low", "delta_high",
    "win_rate", "n_pairs", "n_unpaired",
)  # fmt: skip


def comparison_text(comparison: Mapping[str, Any], *, width: int = 80) -> str:
    """A block a metric and a line a run, the best with a star; differences are to the first run, above 0 is better."""
    width = max(width, NARROWEST)
    short = _short_names([run["name"] for run in comparison["runs"]], width - 67)
    rows: list[list[str]] = []
    for entry in comparison["metrics"].values():
        places = _places(entry)
        for name, score in entry["values"].items():
            mark = "*" if name in entry["best"] else " "
            gain = entry["differences"].get(name)
            cells = [f"{figure(score['value'], places)}{mark}", bounds(score["ci95"], places)]
            if gain is not None and gain["n_pairs"]:
                cells += [signed(gain["delta"], places), bounds(gain["ci95"], places, sign=True), is_clear(gain)]
            rows.append([short[name], *cells, *[""] * (5 - len(cells))])
    columns = ["", "value", "95 % interval", "gain", "95 % interval", ""]
    if needed(columns, rows) > width:  # the values' intervals are in the files; the runs' names have to be here
        columns, *rows = [[*line[:2], *line[3:]] for line in (columns, *rows)]
    head, *body = table_text("", columns, rows, width).splitlines()
    lines = [head]
    for place, (metric, entry) in enumerate(comparison["metrics"].items()):
        lines.append(plain(metric) + ("" if entry["higher_is_better"] else " (lower is better)"))
        lines += body[place * len(short) : (place + 1) * len(short)]
    lines += ["", *(f"{told} is {plain(name)}" for name, told in short.items() if told.strip() != plain(name))]
    for name, totals in comparison["totals"].items():
        proxy = ".proxy" if "total.proxy" in totals else ""
        if totals[f"total{proxy}"] is not None:
            lines.append(f"total{proxy} of {plain(name)}: {figure(totals[f'total{proxy}'])}")
    if not any(entry["n_pairs"] for held in comparison["metrics"].values() for entry in held["differences"].values()):
        lines.append("no prompt and seed is in two runs: there are no paired differences")
    return "\n".join([*lines, *(f"note: {plain(note)}" for note in comparison["notes"])]) + "\n"


def comparison_csv(comparison: Mapping[str, Any]) -> str:
    """One line per metric and run; empty where there is no number."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(COLUMNS)
    for metric, entry in comparison["metrics"].items():
        for name, score in entry["values"].items():
            gain = entry["differences"].get(name, {})
            ends, gain_ends = score["ci95"] or (None, None), gain.get("ci95") or (None, None)
            best = "true" if name in entry["best"] else "false"
            writer.writerow(
                [metric, name, score["value"], *ends, score["n_videos"], score["n_errors"], best, gain.get("delta"), *gain_ends]
                + [gain.get(key) for key in ("win_rate", "n_pairs", "n_unpaired")]
            )
    return out.getvalue()


def comparison_html(comparison: Mapping[str, Any]) -> str:
    """A page that needs nothing else."""
    places = {metric: _places(entry) for metric, entry in comparison["metrics"].items()}
    totals = [key for key in TOTALS if any(held.get(key) is not None for held in comparison["totals"].values())]
    return render("comparison.html", comparison=comparison, places=places, totals=totals)


def write_comparison(path: str | Path, comparison: Mapping[str, Any]) -> Path:
    """Write it as what the file's ending says: ``.html``, ``.csv`` or ``.json``.

    Raises:
        InputError: another ending, or it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() == ".json":
        return write_json(path, comparison)
    if path.suffix.lower() == ".csv":
        return write_atomic(path, comparison_csv(comparison))
    if path.suffix.lower() in (".html", ".htm"):
        return write_atomic(path, comparison_html(comparison))
    raise InputError(f"{path}: a comparison is written as .html, .csv or .json")


def _short_names(names: Sequence[str], room: int) -> dict[str, str]:
    """The names, each on one line; numbered where one has to be cut, as then two may look the same."""
    from rich.cells import cell_len

    if all(cell_len(plain(name)) <= room for name in names):
        return {name: f"  {plain(name)}" for name in names}
    return {name: f"  {number} {plain(name, max(2, room // 2 - 1))}" for number, name in enumerate(names, 1)}


def _places(entry: Mapping[str, Any]) -> int:
    return max(decimals(score["value"]) for score in entry["values"].values())
