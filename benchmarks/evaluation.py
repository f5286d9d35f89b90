"""Scoring videos: a pass a dimension with a decode of its own and one frame at a time, against `evaluation.run.evaluate`.

    OMP_NUM_THREADS=2 python -m benchmarks.evaluation --set cpu --videos 4
    python -m benchmarks.evaluation --set quality --device cuda --videos 3 --copies 4 --precision vbench
    python -m benchmarks.evaluation --set quality --device cuda --videos 64 --devices 1 --only ours    (and --devices 4)

Random towers of the real sizes (``--small``: tiny ones), the same on both sides, loaded and warmed before a clock runs, in one
process, in turns. Our side starts its decoders anew each time and decodes ahead: with few videos that shows, hence ``--copies``.
Prints one JSON line: seconds a video of both sides, their ratio, and the largest difference of a score.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.evaluation_plain import PLAIN, plain_flow
from benchmarks.evaluation_towers import save_towers, save_videos
from evaluation.findings import Finding
from evaluation.inputs.manifest import numbered
from evaluation.job import Job
from evaluation.measures import build, measures
from evaluation.options import Options
from evaluation.precision import full_float32
from evaluation.towers import Towers
from evaluation.video.clip import decode
from evaluation.video.record import Record
from evaluation.work import works

SETS = {
    "cpu": (
        "temporal_flickering",
        "ssim_adj",
        "subject_consistency",
        "dino_temp",
        "background_consistency",
        "clip_score",
        "clip_temp",
        "appearance_style",
        "aesthetic_quality",
    ),
    "weightless": ("temporal_flickering", "ssim_adj"),
    "quality": (
        "subject_consistency",
        "background_consistency",
        "temporal_flickering",
        "motion_smoothness.raft_warp",
        "dynamic_degree",
        "aesthetic_quality",
        "imaging_quality",
    ),
}


def main() -> None:
    """Time both sides."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--set", choices=sorted(SETS), default="cpu", dest="which")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--devices", type=int, default=1, help="processes of our side; more than one: its whole run is timed")
    parser.add_argument("--videos", type=int, default=4)
    parser.add_argument("--frames", type=int, default=81)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--width", type=int, default=832)
    parser.add_argument("--copies", type=int, default=1, help="our side scores each video so many times, as files of their own")
    parser.add_argument("--rounds", type=int, default=2, help="how often both sides run; the fastest counts")
    parser.add_argument("--precision", choices=("fp32", "vbench"), default="fp32", help="of both sides; vbench: its own on CUDA")
    parser.add_argument("--only", choices=("both", "ours"), default="both")
    parser.add_argument("--small", action="store_true", help="tiny towers: what decoding and resizing cost")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        weights = save_towers(folder, small=given.small)
        paths = save_videos(folder, given.videos, given.frames, given.height, given.width)
        style = {"appearance_style": "a style"}
        records = numbered(Record(index=0, video=path, prompt="a picture that moves", auxiliary_info=style) for path in paths)
        job = Job(records=records, metrics=SETS[given.which], weights=weights, device=given.device, devices=given.devices)
        job = replace(job, precision=given.precision)
        result = timed(job, given, folder)
    gpu = torch.cuda.get_device_name() if given.device != "cpu" else None
    size = f"{given.height}x{given.width}x{given.frames}"
    print(
        json.dumps(
            {
                "set": given.which,
                "metrics": list(job.metrics),
                "videos": given.videos,
                "size": size,
                "precision": given.precision,
                "towers": "small" if given.small else "real sizes, random",
                "device": gpu or f"CPU, {torch.get_num_threads()} threads",
                "devices": given.devices,
                **result,
            }
        ),
        flush=True,
    )


def timed(job: Job, given: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Seconds a video of each side, and how far their scores lie apart."""
    if job.devices > 1 or given.only == "ours":
        return {"ours_s_a_video": _whole(job, folder)}
    asked, found = measures(job)
    ours = build(job, found, job.device)
    single = build(replace(job, options=Options(batch=1)), found, job.device)
    towers = Towers(found, device=job.device, precision=job.precision)
    many = replace(job, records=_copied(job.records, given.copies))
    todo = works(many, asked)
    scores: dict[str, dict[tuple[int, str], float]] = {"ours": {}, "plain": {}}

    def run_ours() -> None:
        from evaluation.engine import score
        from evaluation.video.ahead import workers_here

        found_all: list[Finding] = []
        for _, findings in score(job, asked, ours, todo, decoders=workers_here()):
            found_all += findings
        scores["ours"] = {(f.row.position, f.row.metric): f.row.value or 0.0 for f in found_all}
        errors = [f.row.error_message for f in found_all if f.row.status == "error"]
        if errors:
            raise SystemExit(f"errors: {errors[:3]}")

    def run_plain() -> None:
        for name, metric in single.items():
            with full_float32(tf32_convolutions=metric.tf32_convolutions), torch.no_grad(), plain_flow():
                for record in job.records:
                    if name in PLAIN:
                        value = PLAIN[name](record.video, towers, record.prompt)
                    else:  # on optical flow: the metric itself, a pair at a time
                        value = metric.score(decode(record.video), record).value or 0.0
                    scores["plain"][record.index, name] = value

    best = _fastest({"plain": run_plain, "ours": run_ours}, given.rounds)
    apart = max(abs(scores["ours"][key] - scores["plain"][key]) for key in scores["plain"])
    plain, fast = best["plain"] / len(job.records), best["ours"] / len(many.records)
    return {
        "copies": given.copies,
        "plain_s_a_video": round(plain, 4),
        "ours_s_a_video": round(fast, 4),
        "ratio": round(plain / fast, 2),
        "largest_difference": apart,
    }


def _copied(records: Sequence[Record], times: int) -> tuple[Record, ...]:
    """The records, then the same of copies of their files."""
    every = list(records)
    for number in range(1, times):
        for record in records:
            path = Path(record.video)
            copy = shutil.copy(path, path.with_name(f"{number}-{path.name}"))
            every.append(replace(record, video=str(copy)))
    return numbered(every)


def _fastest(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """The least seconds of each side, in turns; a first round that loads weights does not count."""
    best = dict.fromkeys(sides, float("inf"))
    for number in range(rounds + 1):
        for name, run in sides.items():
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            start = time.perf_counter()
            run()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number:
                best[name] = min(best[name], time.perf_counter() - start)
    return best


def _whole(job: Job, folder: Path) -> float:
    """Seconds a video of `evaluate` in processes of its own, once each has its weights."""
    from evaluation.run import evaluate

    marks: list[float] = []
    evaluate(job, folder / "out", finished=lambda work, errors: marks.append(time.perf_counter()))
    # The first files of every process carry its start; the pace is that of the rest.
    skipped = 2 * job.devices
    return round((marks[-1] - marks[skipped - 1]) / (len(marks) - skipped), 4)


if __name__ == "__main__":
    main()
