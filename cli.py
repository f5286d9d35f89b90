"""The command line: ``rapo COMMAND --help``. Each command loads, runs and prints; nothing heavy is imported before it must be.

Exit codes: 0 done, 1 unexpected failure, 2 usage or configuration, 3 finished with failed items, 75 interrupted and resumable,
130 Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rapo_lightning.session import OnCandidate, Outcome
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

Config = Annotated[Path, typer.Argument(help="The configuration: one YAML is one run.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", help="The run folder; a run that is there is continued.", show_default=False)]
Set = Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one value; repeatable.")]
Allow = Annotated[list[str] | None, typer.Option("--allow", metavar="PREFIX", help="Trust class paths under PREFIX.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but errors (and what --json prints).")]
Offline = Annotated[bool, typer.Option("--offline", help="Never ask the model hub.")]


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
    with _command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
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
            return [_progress(stack, run.videos, title)]

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
        _end(outcome, quiet)


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
    """Run the main job on the embedded default and measure what it gains: raw, best-of-N, loop, oracle."""
    with _command(as_json=as_json, quiet=quiet, offline=True) as show, ExitStack() as stack:
        from rapo_lightning import terminal
        from rapo_lightning.comparison import NOTE
        from rapo_lightning.project import project_file
        from rapo_lightning.quickstart import quickstart, write_table

        def listen(name: str, videos: int) -> OnCandidate:
            stack.close()
            return _progress(stack, videos, name)

        if not quiet:
            terminal.say(NOTE)
        comparison, outcome = quickstart(
            config or project_file("configs/optimize/shapes.yaml"),
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
        _end(outcome, quiet)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    embed: Annotated[bool, typer.Option("--embed", help="Put videos below 4 MB into the page, so that it can be sent.")] = False,
    as_json: Json = False,
) -> None:
    """Write report.html of a run again, from its records."""
    with _command(as_json=as_json) as show:
        from rapo_lightning import workflows

        path = workflows.report(folder, embed_below=4_000_000 if embed else None)
        show(str(path), {"report": str(path)})


@app.command()
def check(config: Config, set_: Set = None, allow: Allow = None, offline: Offline = False, as_json: Json = False) -> None:
    """Read a configuration, construct every part of it, run nothing."""
    with _command(as_json=as_json, offline=offline) as show:
        from rapo_lightning import workflows

        checked = workflows.check(config, overrides=set_ or (), allow=allow or ())
        summary = {"config": str(config), "judges": list(checked.judges), "rounds": checked.loop.rounds}
        show(f"{config}: every part can be made", summary)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    with _command(as_json=as_json) as show:
        from rapo_lightning.doctor import findings

        found = findings()
        lines = (
            f"{'ok' if finding.ok else '--' if finding.optional else '!!':>3}  {finding.what}: {finding.says}"
            for finding in found
        )
        show("\n".join(lines), {"findings": [asdict(finding) for finding in found]})
        raise typer.Exit(0 if all(finding.ok or finding.optional for finding in found) else 1)


@contextmanager
def _command(*, as_json: bool, quiet: bool = False, offline: bool = False) -> Iterator[Any]:
    """Gives ``show(text, data)`` for a command's result, which the first process of a run prints, and turns the suite's own
    errors into one line each and an exit code; anything else keeps its traceback."""
    from rapo_lightning.errors import RapoError, StorageError
    from rapo_lightning.processes import is_first
    from rapo_lightning.terminal import one_line, say

    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"  # read when the hub's client is imported
    _hush(bars=not sys.stderr.isatty(), everything=quiet or not is_first())
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that cannot show a prompt is no reason to fail

    def show(text: str, data: dict[str, Any]) -> None:
        if is_first() and (as_json or (text and not quiet)):
            print(json.dumps(data, ensure_ascii=False) if as_json else text)

    try:
        yield show
    except (RapoError, OSError) as error:
        if isinstance(error, OSError) and error.errno in StorageError.ERRNOS:
            error = StorageError.of(error.filename or "a file", error)
        if not isinstance(error, RapoError):
            raise
        if is_first():
            if as_json:
                print(json.dumps({"error": str(error), "exit_code": error.exit_code}, ensure_ascii=False))
            for line in str(error).splitlines():
                say(f"rapo: {one_line(line)}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        say("rapo: interrupted; the same command continues")
        raise typer.Exit(130) from None


def _end(outcome: Outcome, quiet: bool) -> None:
    from rapo_lightning.processes import is_first
    from rapo_lightning.terminal import outcome_notes, say

    for note in outcome_notes(outcome) if is_first() and not quiet else ():
        say(note)
    raise typer.Exit(outcome.exit_code)


def _progress(stack: ExitStack, videos: int, title: str) -> OnCandidate:
    from rapo_lightning.progress import Progress

    return stack.enter_context(Progress(videos, title)).on_candidate


def _hush(*, bars: bool, everything: bool) -> None:
    """Keep the libraries' progress bars, or these and their notes and warnings, off stderr. Must come before their import."""
    if bars or everything:
        os.environ.update(HF_HUB_DISABLE_PROGRESS_BARS="1", TQDM_DISABLE="1")
    if everything:
        warnings.simplefilter("ignore")
        os.environ.update(TRANSFORMERS_VERBOSITY="error", DIFFUSERS_VERBOSITY="error", WANDB_SILENT="true")


if __name__ == "__main__":
    app()
