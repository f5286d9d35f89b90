"""``rapo evaluate``: what was gained, by the metrics of the package `evaluation`."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rapo_lightning.commands.console import Allow, Config, Json, Offline, Out, Quiet, Set, command, counting

if TYPE_CHECKING:
    from evaluation.run import Plan

__all__ = ["evaluate"]


def evaluate(
    config: Config,
    out: Out,
    given: Annotated[Path | None, typer.Option("--input", help="A run folder, manifest, folder of videos or video.")] = None,
    set_: Set = None,
    allow: Allow = None,
    fail_under: Annotated[
        list[str] | None,
        typer.Option("--fail-under", metavar="[VARIANT:]METRIC=VALUE", help="End with exit code 4 below it; repeatable."),
    ] = None,
    imported: Annotated[
        list[str] | None,
        typer.Option("--import", metavar="[VARIANT:]FILE", help="VBench's results for what is missing in the totals."),
    ] = None,
    devices: Annotated[int | None, typer.Option("--devices", min=1, help="Processes, each on a GPU of its own.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch weights that are missing; says their licences.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be scored, and stop.")] = False,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Score videos: alignment, quality and motion, with intervals, and what optimised prompts gain over the original ones."""
    overrides = [*(set_ or ()), *([] if devices is None else [f"devices={devices}"])]
    with command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
        from rapo_lightning import evaluating, terminal_evaluate
        from rapo_lightning.progress import Tally

        if dry_run:
            plan = evaluating.dry_run(config, out=out, given=given, overrides=overrides, allow=allow or ())
            show(terminal_evaluate.plan_text(plan), terminal_evaluate.plan_data(plan))
            return
        listen = counting(stack, quiet)
        state = {"done": 0, "total": 0, "errors": 0}

        def planned(plan: Plan) -> None:
            state["total"] = len(plan.todo)
            if listen is not None:
                for line in terminal_evaluate.plan_text(plan).splitlines():
                    listen(line)

        def finished(errors: int) -> None:
            state["done"] += 1
            state["errors"] += errors
            if listen is not None:
                text = f"scored: {state['done']:,} of {state['total']:,} videos"
                text += f", {state['errors']:,} errors" * bool(state["errors"])
                listen(Tally(text=text, done=state["done"], total=state["total"]))

        found = evaluating.evaluate(
            config,
            out=out,
            given=given,
            overrides=overrides,
            allow=allow or (),
            gates=fail_under or (),
            imported=imported or (),
            download=download,
            planned=planned,
            finished=finished,
        )
        stack.close()
        show(terminal_evaluate.summary_text(found), {**found.summary, "folder": str(out), "exit_code": found.exit_code})
        raise typer.Exit(found.exit_code)
