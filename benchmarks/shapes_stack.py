"""Seconds of the embedded default on a CPU, through the product's own parts: a video, a judgement, a rewrite; and peak memory.

    OMP_NUM_THREADS=1 python -m benchmarks.shapes_stack --threads 1
    python -m benchmarks.shapes_stack --threads 2 --count 12

Prints one JSON line a figure. Each part is warmed up once; the figure is the time of one whole batch over its size.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.full_size_models import ROOT

CONFIG = ROOT / "configs" / "optimize" / "shapes.yaml"
ASKED = {"video": 1.5, "judgement": 0.1, "rewrite": 0.5}  # seconds at most, on one thread


def main() -> None:
    """Time each part of the configuration on held-out prompts."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--count", type=int, default=8, help="prompts a batch")
    options = parser.parse_args()
    import torch

    from rapo_lightning.quickstart import held_out_prompts
    from rapo_lightning.settings import build_optimize, load_optimize
    from rapo_lightning.types import Candidate, Trajectory, Video

    torch.set_num_threads(options.threads)
    parts = build_optimize(*load_optimize(CONFIG, []))
    prompts = [prompt for prompt, _, _ in held_out_prompts(options.count, 0)]
    texts = [prompt.text for prompt in prompts]
    say = _teller(options.threads, options.count, torch.__version__)
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{number}.mp4" for number in range(options.count)]
        videos: list[Any] = []

        def render() -> None:
            videos[:] = parts.generator.generate(texts, list(range(options.count)), paths)

        say("video", _seconds(render))
        assert all(isinstance(video, Video) for video in videos), videos
        (judge,) = parts.judges.values()
        feedback: list[Any] = []

        def look() -> None:
            feedback[:] = judge.judge(videos, prompts)

        say("judgement", _seconds(look))
        tried = [
            Candidate(id="0", prompt_id=p.id, round=0, text=p.text, origin="user", feedback=(f,), reward=f.score)
            for p, f in zip(prompts, feedback, strict=True)
        ]
        asked: Sequence[Trajectory] = [Trajectory(prompt=p, candidates=(c,), best=c) for p, c in zip(prompts, tried, strict=True)]
        say("rewrite", _seconds(lambda: parts.rewriter.rewrite(asked)))
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
    print(json.dumps({"name": "shapes_stack", "peak_gigabytes": round(peak, 2)}), flush=True)


def _seconds(call: Callable[[], object]) -> float:
    call()
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _teller(threads: int, count: int, torch_version: str) -> Callable[[str, float], None]:
    def say(what: str, seconds: float) -> None:
        line = {"name": "shapes_stack", "figure": f"seconds a {what}", "value": round(seconds / count, 4)}
        about = {"asked_for": ASKED[what], "threads": threads, "batch": count, "torch": torch_version}
        print(json.dumps(line | about), flush=True)

    return say


if __name__ == "__main__":
    main()
