"""``rapo pairs``: training data for Stage 3 from finished runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rapo_lightning.commands.console import Json, Quiet, command

__all__ = ["pairs"]


def pairs(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of optimize or quickstart.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The folder of the data.", show_default=False)],
    margin: Annotated[float, typer.Option("--margin", min=0, max=1, help="The least gain in reward.")] = 0.1,
    errors: Annotated[
        float, typer.Option("--errors", min=0, help="The least gain in standard errors, with several seeds.")
    ] = 2.0,
    losers: Annotated[int, typer.Option("--losers", min=0, help="The most preferences of one prompt.")] = 4,
    validation: Annotated[float, typer.Option("--validation", min=0, max=0.9, help="The share of prompts kept apart.")] = 0.05,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of that share.")] = 0,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write parquet beside JSONL.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Turn finished runs into pairs (prompt, best wording) and preferences for `rapo train`."""
    with command(as_json=as_json, quiet=quiet, resumes=False) as show:
        from rapo_lightning.pairing import write_pairs

        made = write_pairs(
            runs,
            out,
            margin=margin,
            errors=errors,
            losers=losers,
            validation=validation,
            seed=seed,
            parquet=parquet,
        )
        without = ", ".join(f"{reason} ({count:,})" for reason, count in made["without"].items()) or "none"
        apart = f"{made['files']['validation']:,} of them to validate"
        text = f"{out}: {made['pairs']:,} pairs, {apart}, {made['preferences']:,} preferences; prompts without: {without}"
        show(text, {"folder": str(out), **made})
