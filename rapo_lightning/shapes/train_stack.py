"""Trains the whole tiny stack, one script after the other, the language model and the encoder beside the judge.

    python -m rapo_lightning.shapes.train_stack --out build/stack --workers 12
    python -m rapo_lightning.shapes.train_stack --out build/stack --small               # seconds on a CPU

Each script keeps its log beside its folder (``video.log``, ...) and goes on from its own checkpoint; what is finished is not done
again. The end is a folder like ``ckpt/shapes``: video, judge, language, encoder, the gates in ``gates.jsonl`` and the card.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rapo_lightning.shapes.card import card

__all__ = ["run_together", "stack_jobs"]


def stack_jobs(
    out: Path, workers: int, small: bool, minutes: float, autoencoder: Path | None = None
) -> list[list[tuple[str, str, list[str], Path]]]:
    """The scripts in order: each inner list runs together; (log, module, arguments, the file that says it is finished)."""
    work = out / "work"
    tiny = ["--small"] if small else []
    fast = [] if small else ["--compile"]
    shared = ["--workers", str(workers)]

    def limit(share: float) -> list[str]:
        return [] if small else ["--minutes", f"{minutes * share:.2f}"]

    count, steps = ("4", "2") if small else ("12288", "6")
    vae = autoencoder or work / "autoencoder"
    first = [
        ("autoencoder", "train_autoencoder", ["--out", str(vae), *tiny, *shared, *limit(0.12)], vae / "config.json"),
    ]
    video = ["--autoencoder", str(vae), "--out", str(out / "video"), *tiny, *shared, *fast, *limit(0.48)]
    made = work / "generated"
    generated = ["--video", str(out / "video"), "--out", str(made), "--count", count, "--steps", steps, *shared]
    judge = ["--out", str(out / "judge"), "--generated", str(made), *tiny, *shared, *fast, *limit(0.28)]
    language = ["--out", str(out / "language"), *tiny, *shared, *fast, *limit(0.12)]
    encoder = ["--out", str(out / "encoder"), *tiny, *shared]
    return [
        *([] if autoencoder else [first]),
        [("video", "train_video", video, out / "video" / "model_index.json")],
        [("generated", "generated", generated, made / "videos.jsonl")],
        [
            ("judge", "train_judge", judge, out / "judge" / "config.json"),
            ("language", "train_language", language, out / "language" / "config.json"),
            ("encoder", "train_encoder", encoder, out / "encoder" / "modules.json"),
        ],
    ]


def run_together(jobs: Sequence[tuple[str, str, list[str], Path]], out: Path) -> None:
    """Run scripts side by side, each with a log, and wait for all; raises when one fails."""
    running = []
    for name, module, arguments, finished in jobs:
        if finished.exists():
            print(f"{name}: finished before", flush=True)
            continue
        log = (out / f"{name}.log").open("w", encoding="utf-8")
        command = [sys.executable, "-m", f"rapo_lightning.shapes.{module}", *arguments]
        running.append((name, log, time.perf_counter(), subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)))
    failed = []
    for name, log, began, process in running:
        code = process.wait()
        log.close()
        print(f"{name}: {'done' if code == 0 else f'failed ({code})'} after {time.perf_counter() - began:.0f} s", flush=True)
        if code:
            failed.append(name)
    if failed:
        raise SystemExit(f"see {', '.join(str(out / f'{name}.log') for name in failed)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--autoencoder", type=Path, help="a trained autoencoder, in place of training one")
    parser.add_argument("--minutes", type=float, default=25.0, help="training time in all, preparation and gates aside")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--small", action="store_true", help="tiny models and few steps, to try the scripts")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    for jobs in stack_jobs(a.out, a.workers, a.small, a.minutes, a.autoencoder):
        run_together(jobs, a.out)
    gates = [str(a.out), "--out", str(a.out / "gates.jsonl"), "--workers", str(a.workers)]
    gates += ["--count", "4", "--steps", "2"] if a.small else ["--count", "500"]
    subprocess.run([sys.executable, "-m", "rapo_lightning.shapes.gates", *gates], check=True)
    (a.out / "README.md").write_text(card(a.out), encoding="utf-8")


if __name__ == "__main__":
    main()
