"""A summary as a terminal shows it, 80 columns wide if need be.

from evaluation.output.terminal import summary_text
print(summary_text(summary))
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evaluation.dimensions import DIMENSIONS
from evaluation.output.figures import bounds, decimals, figure, is_clear, plain, share, signed

__all__ = ["NARROWEST", "needed", "summary_text", "table_text"]

#: How many errors and missing files are shown; all are in the summary.
SHOWN = 3
#: More of a message is in the summary.
LONGEST = 400
#: Up to so many dimensions without a value are named.
FEW = 6
#: A table that is narrower says nothing any more; nor is one with fewer columns for its words.
NARROWEST, WORDS = 72, 12


def summary_text(summary: Mapping[str, Any], *, width: int = 80) -> str:
    """Values with their intervals, totals, paired differences and what went wrong, at most ``width`` columns wide, or 72."""
    width = max(width, NARROWEST)
    settings = f"protocol {summary['protocol']}, reduction {summary['reduction']}, precision {summary['precision']}"
    blocks = [plain(settings)]
    variants = summary["variants"] or {summary["variant"]: summary}
    for name, held in variants.items():
        heading = plain(name) if len(variants) > 1 else ""
        blocks.append(_metrics(heading, held["metrics"], width))
        blocks.append(_totals(held["totals"], width))
    blocks += [_paired(pair, summary, width) for pair in summary["pairs"]]
    blocks += _problems(summary, width)
    return "\n\n".join(block for block in blocks if block) + "\n"


def table_text(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], width: int) -> str:
    """A table; the first column holds words and breaks where there is no room, the others hold numbers and do not.

    It becomes wider than ``width`` before its words have no room at all.
    """
    from rich.console import Console
    from rich.table import Table

    rows = list(rows)
    width = max(width, needed(columns, rows))
    table = Table(title=title or None, title_justify="left", title_style="", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place else "left", no_wrap=bool(place), overflow="fold", header_style="")
    for row in rows:
        table.add_row(*row)
    out = io.StringIO()
    Console(file=out, width=width, highlight=False, markup=False, emoji=False, no_color=True).print(table)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def needed(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """How wide a table has to be for its numbers to stand beside `WORDS` columns of words."""
    from rich.cells import cell_len

    wide = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    return min(wide[0], WORDS) + sum(wide[1:]) + 2 * len(wide)


def _metrics(heading: str, metrics: Mapping[str, Any], width: int) -> str:
    columns = ["metric", "value", "95 % interval", "videos", "errors"]
    more = [key for key in ("n_missing", "n_left_out") if any(score[key] for score in metrics.values())]
    rows = []
    for name, score in metrics.items():
        places = decimals(score["value"])
        mark = "" if score["higher_is_better"] else " ↓"
        cells = [figure(score["value"], places), bounds(score["ci95"], places), str(score["n_videos"]), str(score["n_errors"])]
        rows.append([f"{plain(name)}{mark}", *cells, *(str(score[key]) for key in more)])
    names = {"n_missing": "missing", "n_left_out": "left out"}
    text = table_text(heading, [*columns, *(names[key] for key in more)], rows, width)
    return text + "\n↓ lower is better" * any(not score["higher_is_better"] for score in metrics.values())


def _totals(totals: Mapping[str, Any], width: int) -> str:
    names = [name for half in ("quality", "semantic", "total") for name in (half, f"{half}.proxy") if name in totals]
    shown = [f"{name} {figure(totals[name])}" for name in names if totals[name] is not None or f"{name}.proxy" not in totals]
    lines = [", ".join(shown)]
    if len(totals["missing"]) > FEW and all(totals.get(name) is None for name in names):
        return _wrapped(f"no totals: {len(totals['missing'])} of VBench's {len(DIMENSIONS)} dimensions have no value", width)
    for key, says in (("missing", "without a value"), ("proxies", "proxies"), ("imported", "imported")):
        if totals[key]:
            lines.append(f"{says}: {', '.join(totals[key])}")
    return "\n".join(_wrapped(plain(line), width) for line in [*lines, *([totals["note"]] if "note" in totals else [])])


def _paired(pair: Mapping[str, Any], summary: Mapping[str, Any], width: int) -> str:
    counts = {found["n_pairs"] for found in pair["metrics"].values()}
    same = f", {counts.pop()} pairs" if len(counts) == 1 else ""
    title = plain(f"{pair['candidate']} compared with {pair['baseline']}, same prompts and seeds{same}; above 0 is better")
    scores = summary["variants"][pair["baseline"]]["metrics"]
    rows = []
    for name, found in pair["metrics"].items():
        places = decimals(scores[name]["value"])
        cells = [signed(found["delta"], places), bounds(found["ci95"], places, sign=True), share(found["win_rate"])]
        rows.append([plain(name), *cells, *([] if same else [str(found["n_pairs"])]), is_clear(found)])
    columns = ["metric", "gain", "95 % interval", "win rate", *([] if same else ["pairs"]), ""]
    text = f"{_wrapped(title, width)}\n{table_text('', columns, rows, width)}"
    lost = max((found["n_unpaired"] for found in pair["metrics"].values()), default=0)
    return text + (f"\nup to {lost} videos of a metric have no counterpart" if lost else "")


def _problems(summary: Mapping[str, Any], width: int) -> list[str]:
    blocks = []
    errors, files = summary["errors"], summary["missing_files"]
    if errors:
        codes = ", ".join(f"{count} {code}" for code, count in Counter(error["code"] for error in errors).most_common())
        lines = [f"errors: {codes}"]
        metrics: dict[str, list[str]] = {}
        for error in errors:
            says, video = error["message"] or error["code"], error["video_path"]
            metrics.setdefault(says if video in says else f"{video}: {says}", []).append(error["metric"])
        for says, names in list(metrics.items())[:SHOWN]:
            lines.append(f"  {plain(says, LONGEST)} ({names[0] if len(names) == 1 else f'{len(names)} metrics'})")
        lines += [f"  and {len(metrics) - SHOWN} more"] * (len(metrics) > SHOWN)
        blocks.append("\n".join(_wrapped(line, width) for line in lines))
    if files:
        rest = f" and {len(files) - SHOWN} more" * (len(files) > SHOWN)
        blocks.append(_wrapped(f"missing files: {', '.join(plain(file, LONGEST) for file in files[:SHOWN])}{rest}", width))
    return blocks


def _wrapped(text: str, width: int) -> str:
    """At most ``width`` columns a line, further lines indented."""
    import textwrap

    lead = text[: len(text) - len(text.lstrip())]
    return textwrap.fill(plain(text), width, initial_indent=lead, subsequent_indent=f"{lead}  ", break_on_hyphens=False)
