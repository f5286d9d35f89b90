"""The command line: ``rapo COMMAND --help``. Each command loads, runs and prints; nothing heavy is imported before it must be.

Exit codes: 0 done, 1 unexpected failure, 2 usage or configuration, 3 finished with failed items, 75 interrupted and resumable,
130 Ctrl-C.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from rapo_lightning.workflows import OnCandidate, Outcome, Plan

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
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
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
    max_hours: Annotated[float | None, typer.Option("--max-hours", help="As budget.max_hours.")] = None,
    retry_errors: Annotated[bool, typer.Option("--retry-errors", help="Do failed candidates again.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Run beside a folder of another configuration.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and stop.")] = False,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Optimise prompts in a closed loop: render, judge, rewrite, keep the best."""
    if prompt is not None and prompts is not None:
        _fail("--prompt and --prompts exclude each other")
    given = {"seed": seed, "trainer.devices": devices, "budget.max_videos": max_videos, "budget.max_hours": max_hours}
    overrides = [*(set_ or ()), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    _go_offline(offline)
    with _errors(as_json):
        from rapo_lightning import workflows

        if dry_run:
            plan = workflows.dry_run(config, prompt=prompt, prompts=prompts, overrides=overrides, allow=allow or (), limit=limit)
            _print_plan(plan, as_json)
            return
        with _progress(quiet, "loop") as listeners:

            def listen(plan: Plan) -> list[OnCandidate]:
                if not quiet:
                    _print_plan(plan, False)
                return listeners(plan.videos)

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
                command=_command(),
                listeners=listen,
            )
        _print_outcome(outcome, as_json)
        raise typer.Exit(outcome.exit_code)


@app.command()
def quickstart(
    config: Annotated[Path | None, typer.Option("--config", "-c", help="Another configuration of the shapes world.")] = None,
    out: Annotated[Path, typer.Option("--out", help="The run folder.")] = Path("runs/quickstart"),
    prompts: Annotated[int, typer.Option("--prompts", min=2, help="How many held-out user prompts.")] = 12,
    table: Annotated[Path | None, typer.Option("--table", help="Write the comparison to this JSON file, too.")] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    set_: Set = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run the main job on the embedded default and measure what it gains: raw, best-of-N, loop, oracle."""
    _go_offline(True)
    with _errors(as_json):
        from rapo_lightning.project import project_file
        from rapo_lightning.quickstart import NOTE, quickstart, write_table

        if not quiet:
            _say(NOTE)
        with _progress(quiet, "") as listeners:
            comparison, outcome = quickstart(
                config or project_file("configs/optimize/shapes.yaml"),
                out=out,
                prompts=prompts,
                seed=seed,
                overrides=set_ or (),
                command=_command(),
                listen=lambda name, videos: listeners(videos, name)[0] if not quiet else _ignore,
            )
        if table is not None:
            write_table(table, comparison, outcome.folder)
        if as_json:
            typer.echo(json.dumps(comparison | {"folder": str(outcome.folder)}))
        else:
            _print_comparison(comparison)
            _say(f"Every video, score and rewrite: {outcome.folder / 'report.html'}", to_stdout=True)
        raise typer.Exit(outcome.exit_code)


@app.command()
def report(folder: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)], as_json: Json = False) -> None:
    """Write report.html of a run again, from its records."""
    with _errors(as_json):
        from rapo_lightning import workflows

        path = workflows.report(folder)
        typer.echo(json.dumps({"report": str(path)}) if as_json else str(path))


@app.command()
def check(config: Config, set_: Set = None, allow: Allow = None, offline: Offline = False, as_json: Json = False) -> None:
    """Read a configuration, construct every part of it, run nothing."""
    _go_offline(offline)
    with _errors(as_json):
        from rapo_lightning import workflows

        checked = workflows.check(config, set_ or (), allow or ())
        summary = {"config": str(config), "judges": list(checked.judges), "rounds": checked.loop.rounds}
        typer.echo(json.dumps(summary) if as_json else f"{config}: every part can be made")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has, what is missing, and how to get it."""
    with _errors(as_json):
        from rapo_lightning.doctor import findings

        found = findings()
        if as_json:
            typer.echo(json.dumps([finding.__dict__ for finding in found]))
        else:
            for finding in found:
                typer.echo(f"{'ok' if finding.ok else '!!':>3}  {finding.what}: {finding.says}")
        raise typer.Exit(0 if all(finding.ok or finding.optional for finding in found) else 1)


@contextmanager
def _progress(quiet: bool, title: str) -> Iterator[Callable[..., list[Any]]]:
    """Gives a function that starts a progress display for so many videos and returns its listeners."""
    from rapo_lightning.progress import Progress

    shown: list[Progress] = []

    def stop() -> None:
        while shown:
            shown.pop().__exit__(None, None, None)

    def start(videos: int, name: str = title) -> list[Any]:
        stop()
        if quiet or "LOCAL_RANK" in os.environ:
            return []
        shown.append(Progress(videos, name).__enter__())
        return [shown[-1].on_candidate]

    try:
        yield start
    finally:
        stop()


@contextmanager
def _errors(as_json: bool) -> Iterator[None]:
    """Turns the suite's own errors into one line each and an exit code; anything else keeps its traceback."""
    from rapo_lightning.errors import RapoError

    try:
        yield
    except RapoError as error:
        if as_json:
            typer.echo(json.dumps({"error": str(error), "exit_code": error.exit_code}))
        for line in str(error).splitlines():
            _say(f"rapo: {line}")
        raise typer.Exit(error.exit_code) from None
    except KeyboardInterrupt:
        _say("rapo: interrupted; the same command continues")
        raise typer.Exit(130) from None


def _print_plan(plan: Plan, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({name: getattr(plan, name) for name in plan.__slots__}))
        return
    _say(
        f"{plan.prompts} prompts, at most {plan.videos} videos, {plan.judgements} judgements, {plan.rewrites} rewrites; "
        f"models: {', '.join(plan.models) or 'none'}"
    )


def _print_outcome(outcome: Outcome, as_json: bool) -> None:
    best = [
        {"id": t.prompt.id, "original": t.prompt.text, "best": t.best.text if t.best else None, "reward": t.best.reward if t.best else None}
        for t in outcome.trajectories
    ]
    if as_json:
        typer.echo(json.dumps({"folder": str(outcome.folder), "best": best, "failed": list(outcome.failed)}))
        return
    for row in best[:10]:
        typer.echo(f"{row['original']}\n  -> {row['best'] or 'no video could be scored'}")
    if outcome.failed:
        _say(f"{len(outcome.failed)} of {len(best)} prompts have no scored video; --retry-errors does them again")
    if outcome.interrupted:
        _say("interrupted; the same command continues")
    typer.echo(f"{outcome.folder / 'report.html'}")


def _print_comparison(comparison: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=comparison["title"], caption=comparison["note"], title_justify="left", caption_justify="left")
    for name in ("arm", "videos", "verified right", "vs raw (95 % interval)", "judge says", "kappa", "seconds"):
        table.add_column(name, justify="left" if name == "arm" else "right")
    for arm in comparison["arms"]:
        points = [f"{100 * arm[key]:+.0f}" for key in ("difference", "difference_low", "difference_high")]
        table.add_row(
            arm["name"],
            str(arm["videos_per_prompt"]),
            f"{100 * arm['right']:.0f} %",
            "" if arm is comparison["arms"][0] else f"{points[0]} ({points[1]} to {points[2]})",
            "-" if arm["judge"] is None else f"{arm['judge']:.2f}",
            "-" if arm["kappa"] is None else f"{arm['kappa']:.2f}",
            f"{arm['seconds']:.0f}",
        )
    attributes = Table(title="by attribute, % found", title_justify="left")
    names = list(comparison["arms"][0]["by_attribute"])
    for name in ("arm", *names):
        attributes.add_column(name, justify="left" if name == "arm" else "right")
    for arm in comparison["arms"]:
        attributes.add_row(arm["name"], *(f"{100 * arm['by_attribute'].get(name, float('nan')):.0f}" for name in names))
    console = Console()
    console.print(table, attributes)
    if comparison["gap_closed"] is not None:
        console.print(f"The loop closes {100 * comparison['gap_closed']:.0f} % of the gap between raw and oracle.")
    for case in comparison["worst"]:
        console.print(f"  worst: {case['prompt']!r}: {case['why']}", highlight=False, markup=False)


def _command() -> list[str]:
    return ["rapo", *sys.argv[1:]]


def _go_offline(offline: bool) -> None:
    """Must come before anything imports the hub's client."""
    if offline:
        os.environ["HF_HUB_OFFLINE"] = "1"


def _say(text: str, to_stdout: bool = False) -> None:
    typer.echo(text, err=not to_stdout)


def _ignore(*_: object) -> None:
    return None


def _fail(text: str) -> NoReturn:
    _say(f"rapo: {text}")
    raise typer.Exit(2)


if __name__ == "__main__":
    app()
