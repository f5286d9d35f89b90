"""``static-filter``: which of the videos of a prompt stand still, as VBench wants them for temporal_flickering."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evaluation.commands.console import command, pairs, say

__all__ = ["static_filter"]


def static_filter(
    given: Annotated[Path, typer.Argument(help="A manifest, run folder or folder of videos.")],
    out: Annotated[Path, typer.Option("--out", help="A manifest of those that are kept.")],
    keep: Annotated[int, typer.Option("--keep", min=1, help="Static videos of a prompt.")] = 5,
    weights: Annotated[list[str] | None, typer.Option("--weights", metavar="NAME=PATH", help="Where RAFT is.")] = None,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Keep the first static videos of each prompt, by RAFT."""
    with command():
        from dataclasses import replace

        from evaluation.engine import device_named
        from evaluation.inputs.manifest import manifest_lines, numbered
        from evaluation.inputs.read import read_input
        from evaluation.output.files import write_atomic
        from evaluation.static_filter import static_videos
        from evaluation.towers import Towers
        from evaluation.video.ahead import Ahead
        from evaluation.weights.lookup import find

        records = read_input(given).records
        found = find(["raft|raft_things"], pairs(weights or (), "--weights"))
        towers = Towers(found, device=device_named(device))
        with Ahead() as ahead:
            chosen = static_videos(records, lambda record: ahead.clip(record.video), towers.raft, keep=keep)
        kept = numbered(replace(record, video=str(Path(record.video).resolve())) for record in chosen.kept)
        write_atomic(out, manifest_lines(kept))
        print(f"{out}: {len(kept):,} static videos of {len(chosen.static):,} that were looked at")
        for index, error in chosen.errors.items():
            say(f"{records[index].video}: {error.code}: {error}")
        for prompt in chosen.short:
            say(f"fewer than {keep} static videos: {prompt}")
        raise typer.Exit(3 if chosen.errors else 0)
