"""``metrics`` and ``prompts``: what there is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from evaluation.commands.console import command

__all__ = ["metrics", "prompts"]


def metrics(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Every metric, what it needs, and whether it can run here."""
    with command():
        from evaluation.ready import ready

        rows = ready()
        if as_json:
            print(json.dumps([{"metric": row.id, "runs_here": not row.lacks, "lacks": list(row.lacks)} for row in rows]))
            return
        wide = max(len(row.id) for row in rows)
        for row in rows:
            print(f"{'+' if not row.lacks else '-'} {row.id:{wide}}  {row.says}")
            for text in row.lacks:
                short = " or ".join(line.partition(";")[0].strip().removeprefix("or ") for line in text.splitlines())
                print(f"  {'':{wide}}  lacks {short}")


def prompts(
    suite: Annotated[
        str,
        typer.Argument(help="vbench, vbench_category, vbench2, t2v_compbench, videophy, videophy2, phygenbench or evalcrafter."),
    ],
    path: Annotated[Path | None, typer.Option("--path", help="The suite's own file or folder; VBench's is bundled.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="JSON lines, for `rapo optimize --prompts`.")] = None,
) -> None:
    """The prompts of a suite, one JSON object a line."""
    with command():
        from evaluation.output.files import write_atomic
        from evaluation.suites.prompts import PromptSuite

        items: list[dict[str, Any]] = [
            {
                "id": item.id,
                "prompt": item.prompt,
                "dimension": list(item.dimension),
                "auxiliary_info": dict(item.auxiliary_info),
                "samples_per_prompt": item.samples_per_prompt,
            }
            for item in PromptSuite(suite, path).prompts
        ]
        text = "".join(json.dumps(item, ensure_ascii=False) + "\n" for item in items)
        if out is None:
            print(text, end="")
        else:
            write_atomic(out, text)
            print(f"{out}: {len(items):,} prompts")
