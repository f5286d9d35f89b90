"""``rapo train``: Stage 3, and the models of Stage 1: a LoRA adapter from pairs."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from rapo_lightning.commands.console import Allow, Config, Json, Offline, Out, Quiet, Set, command
from rapo_lightning.launching import let_memory_grow

if TYPE_CHECKING:
    from rapo_lightning.tuning.callbacks import Progressed
    from rapo_lightning.tuning.lessons import Lessons

__all__ = ["train"]


def train(
    config: Config,
    out: Out,
    set_: Set = None,
    allow: Allow = None,
    seed: Annotated[int | None, typer.Option("--seed", min=0, help="Seed of the training.")] = None,
    devices: Annotated[str | None, typer.Option("--devices", help="As trainer.devices.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Train beside a folder of another configuration.")] = False,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Fine-tune a rewriting model (LoRA) on pairs: Stage 3's refiner, or L_r and L_d of Stage 1."""
    given = {"seed": seed, "trainer.devices": devices}
    overrides = [*(set_ or ()), *(f"{key}={value}" for key, value in given.items() if value is not None)]
    let_memory_grow()
    with command(as_json=as_json, quiet=quiet, offline=offline) as show, ExitStack() as stack:
        from rapo_lightning import terminal_train, training

        bar = None if quiet else stack.enter_context(terminal_train.TrainingProgress())

        def started(lessons: Lessons, steps: int, done: int) -> None:
            if bar is not None:
                bar.started(lessons, steps, done)

        def listen(progressed: Progressed) -> None:
            if bar is not None:
                bar.listen(progressed)

        trained = training.train(
            config,
            out=out,
            overrides=overrides,
            allow=allow or (),
            force=force,
            command=["rapo", *sys.argv[1:]],
            echo=not quiet,
            listen=listen,
            started=started,
        )
        stack.close()
        data = {"folder": str(trained.folder), "adapter": None if trained.adapter is None else str(trained.adapter)}
        show(terminal_train.trained_text(trained), {**data, **trained.summary, "exit_code": trained.exit_code})
        raise typer.Exit(trained.exit_code)
