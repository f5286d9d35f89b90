"""``total``, ``compare`` and ``export``: what is made of finished evaluations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands.console import command, say

__all__ = ["compare", "export", "total"]


def total(
    results: Annotated[list[Path], typer.Argument(help="VBench's *_eval_results.json or zip, or summary.json.")],
    variant: Annotated[str | None, typer.Option("--variant", help="Of a summary.json.")] = None,
    allow_proxy: Annotated[bool, typer.Option("--allow-proxy", help="Take suffixed metrics, as total.proxy.")] = False,
    fill_missing_zero: Annotated[bool, typer.Option("--fill-missing-zero", help="As VBench: what is missing is 0.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Quality, semantic and total score of the dimensions' values; later files fill in what earlier ones lack."""
    with command():
        from evaluation.errors import InputError
        from evaluation.output.values import values_of
        from evaluation.totals import total as add_up

        values: dict[str, float | None] = {}
        for file in reversed(results):
            values |= {name: value for name, value in values_of(file, variant).items() if value is not None}
        try:
            found = add_up(values, allow_proxy=allow_proxy, fill_missing_zero=fill_missing_zero)
        except ValueError as error:
            raise InputError(str(error)) from error
        data = {
            "quality": found.quality,
            "semantic": found.semantic,
            found.name: found.total,
            "missing": list(found.missing),
            "proxies": list(found.proxies),
        }
        if as_json:
            print(json.dumps(data))
            return
        for name in ("quality", "semantic", found.name):
            value = data[name]
            print(f"{name:12} {'-' if value is None else f'{value:.6f}'}")
        if found.missing:
            print(f"without a value: {', '.join(found.missing)}")


def compare(
    evaluations: Annotated[list[str], typer.Argument(help="Folders of evaluations, or NAME=FOLDER; the first is the baseline.")],
    out: Annotated[Path | None, typer.Option("--out", help="A .html, .csv or .json file, too.")] = None,
    allow_proxy: Annotated[bool, typer.Option("--allow-proxy", help="Take suffixed metrics into totals.")] = False,
) -> None:
    """Several evaluations in one table, with paired differences where prompts match."""
    with command():
        from evaluation.output.compare import comparison_text, write_comparison
        from evaluation.output.comparison import compare as together
        from evaluation.output.comparison import read_runs

        runs = []
        for text in evaluations:
            name, sign, path = text.rpartition("=")
            runs += read_runs(path if sign else text, name or None)
        found = together(runs, allow_proxy=allow_proxy)
        print(comparison_text(found, width=shutil.get_terminal_size((80, 24)).columns))
        if out is not None:
            say(str(write_comparison(out, found)))


def export(
    evaluation: Annotated[Path, typer.Argument(help="The folder of an evaluation.")],
    out: Annotated[Path, typer.Option("--out", help="A folder for VBench's files and a zip of them.")],
    variant: Annotated[str | None, typer.Option("--variant", help="Which arm, if there are several.")] = None,
) -> None:
    """An evaluation as VBench's own result files, which its script of totals reads."""
    with command():
        from evaluation.errors import InputError
        from evaluation.inputs.manifest import read_manifest
        from evaluation.output.comparison import read_runs
        from evaluation.output.vbench import write_vbench

        runs = {run.rows[0].variant: run for run in read_runs(evaluation)}
        if variant is None and len(runs) > 1:
            raise InputError(f"{evaluation}: several variants; name one: --variant {' or '.join(runs)}")
        if variant is not None and variant not in runs:
            raise InputError(f"{evaluation}: no variant {variant}; there is {', '.join(runs)}")
        run = runs[variant or next(iter(runs))]
        manifest = evaluation / "manifest.jsonl"
        records = read_manifest(manifest).records if manifest.is_file() else ()
        records = tuple(record for record in records if record.variant == run.rows[0].variant)
        written = write_vbench(out, run.rows, records, reduction=run.reduction)
        print(written.archive)
        if written.n_errors:
            say(f"{written.n_errors} error rows are left out")
