"""``rapo export``: a trained adapter to hand on, or merged with its base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rapo_lightning.commands.console import Json, Offline, Quiet, command

__all__ = ["export"]


def export(
    source: Annotated[Path, typer.Argument(help="A run of rapo train, or an adapter's folder.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The folder to write; it must be new or empty.", show_default=False)],
    merged: Annotated[bool, typer.Option("--merged", help="Write base and adapter as one model.")] = False,
    base: Annotated[str | None, typer.Option("--base", help="Where the base is; without --merged: where it will be.")] = None,
    dtype: Annotated[str, typer.Option("--dtype", help="Of merged weights: auto, float32, bfloat16 or float16.")] = "auto",
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Hand on a trained adapter: as PEFT and vLLM read it, or merged with its base."""
    with command(as_json=as_json, quiet=quiet, offline=offline, resumes=False) as show:
        from rapo_lightning.exporting import export as write

        if dtype not in {"auto", "float32", "bfloat16", "float16"}:
            raise typer.BadParameter(f"{dtype}: is none of auto, float32, bfloat16, float16", param_hint="--dtype")
        made = write(source, out, merged=merged, base=base, dtype=dtype)
        show(f"{out}: {'the merged model' if merged else 'the adapter'} of {made['base']}", made)
