"""The commands by name."""

from __future__ import annotations

import typer

from evaluation.commands.results import compare, export, total
from evaluation.commands.run import run
from evaluation.commands.static_filter import static_filter
from evaluation.commands.tables import metrics, prompts

__all__ = ["app"]

app = typer.Typer(
    help="Metrics for text-to-video: VBench's own numbers, judges, motion.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
for function in (run, static_filter, total, compare, export, prompts, metrics):
    app.command(name=function.__name__.replace("_", "-"))(function)
