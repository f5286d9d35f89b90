"""What is derived from the candidate logs when a session ends: best prompts, manifest, posters, totals and the report."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import VideoError
from rapo_lightning.run_folder import read_prompts, update_run
from rapo_lightning.session import Outcome, read_trajectories
from rapo_lightning.settings import OptimizeParts
from rapo_lightning.types import Candidate, Trajectory

__all__ = ["finish"]


def finish(outcome: Outcome, parts: OptimizeParts, *, seed: int) -> None:
    """Write ``best.jsonl``, ``best_prompts.txt``, ``manifest.jsonl``, posters, ``run.json`` and ``report.html``.

    They speak of every prompt of the run folder, also of those that this session was not asked for. A video that cannot be read
    has no poster; nothing else depends on the files of videos.
    """
    from rapo_lightning.report import write as write_report

    folder = outcome.folder
    stops = _earlier_stops(folder) | dict(outcome.stops)
    trajectories = read_trajectories(folder, read_prompts(folder), parts)
    rows = [_row(trajectory, stops.get(trajectory.prompt.id)) for trajectory in trajectories]
    _write_rows(folder / "best.jsonl", rows)
    records.write_text_atomic(folder / "best_prompts.txt", "".join(" ".join(row["best"].split()) + "\n" for row in rows))
    _write_rows(folder / "manifest.jsonl", (row for t in trajectories for row in _manifest(t, folder)))
    _write_posters(trajectories)
    update_run(
        folder,
        status="interrupted" if outcome.interrupted else "done",
        finished=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        totals=_totals(trajectories, rows),
        seed=seed,
    )
    write_report(folder)


def _row(trajectory: Trajectory, stop: str | None) -> dict[str, Any]:
    user, best = _user(trajectory), trajectory.best
    return {
        "id": trajectory.prompt.id,
        "original": trajectory.prompt.text,
        "best": best.text if best else trajectory.prompt.text,
        "candidate": best.id if best else None,
        "reward_before": user.reward if user else None,
        "reward_after": best.reward if best else None,
        "scores_before": user.mean_scores() if user else {},
        "scores_after": best.mean_scores() if best else {},
        "rounds": max((c.round for c in trajectory.candidates), default=0),
        "stop": stop,
        "failed": bool(trajectory.candidates) and best is None,
    }


def _manifest(trajectory: Trajectory, folder: Path) -> Iterable[dict[str, Any]]:
    """One row a video of the user's own prompt and of the best one: what `evaluate` takes.

    Where the user's own is the best, its videos stand for both, so that every prompt has its pair.
    """
    for variant, candidate in (("original", _user(trajectory)), ("optimised", trajectory.best)):
        for index, video in enumerate(candidate.videos if candidate else ()):
            yield {
                "video": Path(os.path.relpath(video.path, folder.absolute())).as_posix(),
                "prompt": trajectory.prompt.text,
                "prompt_id": trajectory.prompt.id,
                "variant": variant,
                "prompt_optimised": candidate.text if candidate and variant == "optimised" else None,
                "seed": video.seed,
                "index": index,
            }


def _totals(trajectories: Sequence[Trajectory], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    candidates = [candidate for trajectory in trajectories for candidate in trajectory.candidates]
    return {
        "prompts": len(trajectories),
        "failed": sum(row["failed"] for row in rows),
        "candidates": len(candidates),
        "videos": sum(len(candidate.videos) for candidate in candidates),
        "seconds": round(sum(candidate.cost.seconds for candidate in candidates), 1),
        "rewriter_tokens": sum(candidate.cost.tokens for candidate in candidates),
        "stops": dict(sorted(Counter(row["stop"] for row in rows if row["stop"]).items())),
    }


def _write_posters(trajectories: Iterable[Trajectory]) -> None:
    from rapo_lightning.video import poster

    for video in (video for t in trajectories for candidate in t.candidates for video in candidate.videos):
        picture = Path(video.path).with_suffix(".webp")
        if not picture.exists():
            try:
                poster(video.path, picture)
            except VideoError:
                continue  # the report says that the video cannot be read


def _earlier_stops(folder: Path) -> dict[str, str | None]:
    try:
        rows = [records.parse_json(line) for line in (folder / "best.jsonl").read_bytes().splitlines()]
        return {row["id"]: row.get("stop") for row in rows}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # none yet, or not ours: it is written again


def _user(trajectory: Trajectory) -> Candidate | None:
    return next((candidate for candidate in trajectory.candidates if candidate.origin == "user"), None)


def _write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    records.write_text_atomic(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
