"""The command line: ``rapo COMMAND --help``. Each command loads, runs and prints; nothing heavy is imported before it must be.

Exit codes: 0 done, 1 unexpected failure, 2 usage or configuration, 3 finished with failed items, 75 interrupted and resumable,
130 Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapo_lightning.commands.console import Allow, Config, Json, Offline, Out, Quiet, Set, command, end, progress
from rapo_lightning.commands.data import data_app
from rapo_lightning.commands.evaluate import evaluate
from rapo_lightning.commands.export import export
from rapo_lightning.commands.graph import graph_app
from rapo_lightning.commands.pairs import pairs
from rapo_lightning.commands.rewrite import rewrite
from rapo_lightning.commands.train import train

if TYPE_CHECKING:
    from rapo_lightning.session import OnCandidate
    from rapo_lightning.workflows import Started

__all__ = ["app"]

app = typer.Typer(
    name="rapo",
    help="Prompt optimization for text-to-video models (RAPO++).",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    rich_markup_mode=None,
)
app.add_typer(graph_app, name="graph")
app.add_typer(data_app, name="data")
app.command()(rewrite)
app.command()(pairs)
app.command()(train)
app.command()(evaluate)
app.command()(export)


@app.command()
def optimize(
    config: Config,
    out: Out,
    prompt: Annotated[str | None, typer.Option("--prompt", help="One sentence to optimise.")] = None,
    prompts: Annotated[Path | None, typer.Option("--prompts", help="A file: txt, CSV, JSONL or JSON.")] = None,
    set_: Set = None,
    allow: Allow = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N prompts.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the run.")] = None,
    devices: Annotated[str | None, typer.Option("--devices", help="As trainer.devices.")] = None,
    max_videos: Annotated[int | None, typer.Option("--max-videos", min=1, help="As budget.max_videos.")] = None,
    max_hours: Annotated[float | None, typer.Option("--max-hours", min=0, help="As budget.max_hours.")] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Do failed candidates again.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run beside a folder of another configuration.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Optimise prompts in a closed loop: render, judge, rewrite, keep the best."""
    given = {"seed": seed, "trainer.devices": devices, "budget.max_videos": max_videos, "budget.max_hours": max_hours}
    overrides = [*(set_ or ()), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    with command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
        from rapo_lightning import terminal, workflows

        if dry_run:
            plan = workflows.dry_run(config, prompt=prompt, prompts=prompts, overrides=overrides, allow=allow or (), limit=limit)
            show(terminal.plan_text(plan), asdict(plan))
            return

        def started(run: Started) -> Sequence[OnCandidate]:
            if quiet:
                return []
            terminal.say(f"{terminal.plan_text(run.plan)}; run folder: {run.folder}")
            title = f"process 1 of {run.processes}" if run.processes > 1 else ""
            return [progress(stack, run.videos, title)]

        outcome = workflows.optimize(
            config,
            out=out,
            prompt=prompt,
            prompts=prompts,
            overrides=overrides,
            allow=allow or (),
            limit=limit,
            retry_errors=retry_errors,
            force=force,
            command=["rapo", *sys.argv[1:]],
            echo=not quiet,
            started=started,
        )
        stack.close()
        found = {"best": terminal.best_rows(outcome.trajectories), "failed": list(outcome.failed), "stops": dict(outcome.stops)}
        show(terminal.outcome_text(outcome), {"folder": str(outcome.folder), **found, "exit_code": outcome.exit_code})
        end(outcome, quiet)


@app.command()
def quickstart(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Another configuration of the shapes world.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The run folder; a run that is there is continued.")] = Path(
        "runs/quickstart"
    ),
    prompts: Annotated[int, typer.Option("--prompts", min=2, help="How many held-out user prompts.")] = 12,
    table: Annotated[Path | None, typer.Option("--table", help="Write the comparison to this JSON file, too.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Seed of the prompts and the noise.")] = 0,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the main job on the embedded default and measure what it gains over the raw prompt and best-of-N."""
    with command(as_json=as_json, quiet=quiet, offline=True) as show, ExitStack() as stack:
        from rapo_lightning import terminal
        from rapo_lightning.comparison import NOTE
        from rapo_lightning.project import project_file
        from rapo_lightning.quickstart import quickstart, write_table

        def listen(name: str, videos: int) -> OnCandidate:
            stack.close()
            return progress(stack, videos, name)

        if not quiet:
            terminal.say(NOTE)
        comparison, outcome = quickstart(
            config or project_file("configs/optimize/shapes_rapo.yaml"),
            out=out,
            prompts=prompts,
            seed=seed,
            overrides=set_ or (),
            command=["rapo", *sys.argv[1:]],
            echo=not quiet,
            listen=None if quiet else listen,
        )
        stack.close()
        if comparison is not None and table is not None:
            write_table(table, comparison, outcome.folder)
        if comparison is not None and not (as_json or quiet):
            terminal.comparison(comparison)
        show(
            f"every video, score and rewrite: {out / 'report.html'}" if comparison else "",
            {**(comparison or {}), "folder": str(out), "exit_code": outcome.exit_code},
        )
        end(outcome, quiet)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    embed: Annotated[bool, typer.Option("--embed", help="Put videos below 4 MB into the page, so that it can be sent.")] = False,
    as_json: Json = False,
) -> None:
    """Write report.html of a run again, from its records."""
    with command(as_json=as_json) as show:
        from rapo_lightning import workflows

        path = workflows.report(folder, embed_below=4_000_000 if embed else None)
        show(str(path), {"report": str(path)})


@app.command()
def check(config: Config, set_: Set = None, allow: Allow = None, offline: Offline = False, as_json: Json = False) -> None:
    """Read a configuration, construct every part of it, run nothing."""
    with command(as_json=as_json, offline=offline) as show:
        from rapo_lightning.checking import check as checked

        found = checked(config, overrides=set_ or (), allow=allow or ())
        show(f"{config}: every part can be made", {"config": str(config), **found})


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    with command(as_json=as_json) as show:
        from rapo_lightning.doctor import findings

        found = findings()
        lines = (
            f"{'ok' if finding.ok else '--' if finding.optional else '!!':>3}  {finding.what}: {finding.says}"
            for finding in found
        )
        show("\n".join(lines), {"findings": [asdict(finding) for finding in found]})
        raise typer.Exit(0 if all(finding.ok or finding.optional for finding in found) else 1)


if __name__ == "__main__":
    app()
