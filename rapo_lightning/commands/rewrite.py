"""``rapo rewrite``: Stage 1, or a video model's own refiner, on prompts; nothing is rendered."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rapo_lightning.commands.console import Allow, Config, Json, Offline, Quiet, Set, command

__all__ = ["rewrite"]


def rewrite(
    config: Config,
    prompt: Annotated[str | None, typer.Option("--prompt", help="One sentence to rewrite.")] = None,
    prompts: Annotated[Path | None, typer.Option("--prompts", help="A file: txt, CSV, JSONL or JSON.")] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write the rewritten prompts, too: .txt or .jsonl.")] = None,
    steps: Annotated[bool, typer.Option("--steps", help="Show what was retrieved, merged, refactored and selected.")] = False,
    set_: Set = None,
    allow: Allow = None,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="Take the first N prompts.")] = None,
    device: Annotated[str | None, typer.Option("--device", help="Where the models run.")] = None,
    offline: Offline = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rewrite prompts (Stage 1 alone, without videos) and show what changed; without prompts, reads standard input.

    Exit code 3: a prompt could not be rewritten. With --out, the same command goes on after an interruption (75 by a signal):
    until all is done, what is done lies in FILE.partial.
    """
    with command(as_json=as_json, quiet=quiet, offline=offline, resumes=out is not None) as show:
        from rapo_lightning import rewriting, terminal, terminal_rewrite

        if out is not None and out.suffix.lower() not in {".txt", ".jsonl"}:
            rewriting.write_rewrites(out, [])
        wanted = rewriting.gather(prompt, prompts, limit) or rewriting.read_lines(iter(sys.stdin))[:limit]
        colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
        done = []
        for one in rewriting.rewrite(config, wanted, overrides=set_ or (), allow=allow or (), device=device, out=out):
            done.append(one)
            if not as_json:
                show(terminal_rewrite.rewrite_text(one, colour=colour, steps=steps), {})
        if out is not None:
            rewriting.write_rewrites(out, done)
        failed = [one.prompt.id for one in done if one.failed]
        code = 3 if failed else 0
        if failed and not quiet:
            terminal.say(f"{len(failed)} of {len(done)} prompts failed: {', '.join(failed[:10])}{', ...' * (len(failed) > 10)}")
        if as_json:
            show("", {"rewrites": [one.row() for one in done], "exit_code": code})
        raise typer.Exit(code)
