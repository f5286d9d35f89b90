"""``rapo data``: training data for the models of Stage 1."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapo_lightning.commands.console import (
    Allow,
    Config,
    Json,
    Offline,
    Out,
    Quiet,
    Set,
    Strict,
    command,
    counting,
    end,
    progress,
)

if TYPE_CHECKING:
    from rapo_lightning.session import OnCandidate

__all__ = ["data_app"]

data_app = typer.Typer(
    name="data",
    help="Training data for the models of Stage 1.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)

Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N rows.")]


@data_app.command()
def refactor(
    captions: Annotated[Path, typer.Argument(help="Captions: txt, CSV, JSONL or parquet.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", help="The folder of the data; what is there is continued.", show_default=False)],
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Models, as in configs/graph/.")] = None,
    column: Annotated[str | None, typer.Option("--column", help="The column of the captions.")] = None,
    limit: Limit = None,
    temperature: Annotated[float, typer.Option("--temperature", min=0, help="Of the language model.")] = 1.0,
    alike: Annotated[float, typer.Option("--alike", min=-1, max=1, help="The least cosine of caption and answer.")] = 0.6,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the language model.")] = 0,
    strict: Strict = False,
    device: Annotated[str | None, typer.Option("--device", help="Where the models run; a GPU if there is one.")] = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make pairs for L_r: a language model says each caption as people would type it.

    Rows that cannot be used are skipped, counted and listed in skipped.jsonl; that is exit code 0, or 3 with --strict. Where the
    language model failed on captions it is 3, too, and the same command asks about them again.
    """
    with command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
        from rapo_lightning import terminal_graph, training_data
        from rapo_lightning.project import project_file

        made = training_data.refactor_data(
            captions,
            out=out,
            config_file=config or project_file("configs/graph/default.yaml"),
            column=column,
            limit=limit,
            overrides=set_ or (),
            allow=allow or (),
            device=device,
            listen=counting(stack, quiet),
            temperature=temperature,
            alike=alike,
            seed=seed,
        )
        stack.close()
        code = 3 if made["failed"] or (strict and made["skipped"]) else 0
        refused = ", ".join(f"{reason} ({count:,})" for reason, count in made["refused"].items()) or "none"
        lines = [f"{out}: {made['pairs']:,} pairs; refused: {refused}"]
        lines += terminal_graph.skipped_lines(made["skipped"], out / "skipped.jsonl")
        show("\n".join(lines), {"folder": str(out), **made, "exit_code": code})
        raise typer.Exit(code)


@data_app.command()
def select(
    config: Config,
    prompts: Annotated[Path, typer.Option("--prompts", help="A file: txt, CSV, JSONL or JSON.", show_default=False)],
    out: Out,
    margin: Annotated[float, typer.Option("--margin", min=0, max=1, help="Rewards that differ by no more are a tie.")] = 0.05,
    limit: Limit = None,
    set_: Set = None,
    allow: Allow = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make pairs for L_d: render and judge the texts that it chooses among, and note the better of each two of a prompt's."""
    with command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
        from rapo_lightning import training_data
        from rapo_lightning.prompts import load_prompts

        says = counting(stack, quiet)

        def listen(name: str, videos: int) -> OnCandidate:
            stack.close()
            return progress(stack, videos, name)

        made, outcome = training_data.select_data(
            config,
            load_prompts(prompts)[:limit],
            out=out,
            margin=margin,
            overrides=set_ or (),
            allow=allow or (),
            command=["rapo", *sys.argv[1:]],
            echo=not quiet,
            listen=None if quiet else listen,
            says=says,
        )
        stack.close()
        if made is not None:
            without = ", ".join(f"{reason} ({count:,})" for reason, count in made["without"].items()) or "none"
            show(f"{out}: {made['pairs']:,} pairs; without one: {without}", {"folder": str(out), **made})
        end(outcome, quiet)
