"""Measures the tiny stack's gates: what the verifier reads off reconstructions, off videos of captions and of user prompts.

    python -m rapo_lightning.shapes.gates ckpt/shapes --count 500 --out ckpt/shapes/gates.jsonl

Prints one JSON line a gate, into a file as well if wanted; a model that is not there is passed over. ``right`` is the share of
videos in which everything asked for is there.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from evaluation.statistics import cohen_kappa
from rapo_lightning.judges.qwen_vl import QwenVLJudge
from rapo_lightning.language import HuggingFaceChat
from rapo_lightning.protocols import Judge
from rapo_lightning.rewriters import LLMRewriter
from rapo_lightning.shapes.captions import caption, state, user_prompt
from rapo_lightning.shapes.dataset import arranged_scenes
from rapo_lightning.shapes.generated import load_pipeline, read_all, sample_videos
from rapo_lightning.shapes.judge_model import FPS, FRAMES
from rapo_lightning.shapes.scene import Scene, Split
from rapo_lightning.shapes.text_gates import encoder_gate, language_gate
from rapo_lightning.shapes.train_autoencoder import frames_to_input
from rapo_lightning.shapes.verify import Reading, all_right, check
from rapo_lightning.types import ModelReference, Prompt, Video
from rapo_lightning.video import write_video

__all__ = ["JUDGED_RIGHT", "by_attribute", "judge_gate", "prompt_gates", "reconstruction_gate", "share_right"]

#: What is measured, and the model that it measures.
_GATES = {"reconstruction": "video", "prompts": "video", "judge": "judge", "language": "language", "encoder": "encoder"}

#: The judge says that a video is right above this score: nearer to the highest of its five levels than to the next.
JUDGED_RIGHT = 0.875


def share_right(readings: Sequence[Reading], asked: Sequence[Scene]) -> float:
    """The share of videos in which the verifier finds everything asked for (undecided counts as not found)."""
    return float(np.mean([all_right(check(r, s)) is True for r, s in zip(readings, asked, strict=True)]))


def by_attribute(readings: Sequence[Reading], asked: Sequence[Scene]) -> dict[str, float]:
    """For each kind of attribute (``colour``, ``place``, ...) the share of stated ones that the verifier finds."""
    found: Mapping[str, list[bool]] = defaultdict(list)
    for reading, scene in zip(readings, asked, strict=True):
        for name, value in check(reading, scene).items():
            found[name.split(".")[-1]].append(value is True)
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(found.items())}


@torch.no_grad()
def reconstruction_gate(vae: Any, count: int, device: str, workers: int = 1) -> dict[str, Any]:
    """What the verifier reads off autoencoder reconstructions of rendered test scenes."""
    data = arranged_scenes(count, "test", 77, workers).to(device)
    mean = torch.tensor(vae.config.latents_mean)
    assert mean.numel() == vae.config.z_dim
    parts = []
    for chunk in data.chunks(64):
        decoded = vae.decode(vae.encode(frames_to_input(data.frames(chunk)[0])).latent_dist.mean).sample
        parts.append(((decoded.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 4, 1).cpu())
    readings = read_all(torch.cat(parts), workers)
    return {
        "gate": "reconstruction",
        "videos": count,
        "right": round(share_right(readings, data.scenes), 4),
        "by_attribute": by_attribute(readings, data.scenes),
    }


def prompt_gates(
    pipeline: Any, count: int, *, steps: int, guidance: float, split: Split, seed: int = 0, workers: int = 1
) -> list[dict[str, Any]]:
    """Oracle captions (one and two objects) and user prompts of the same scenes with the same noise."""
    results = []
    for objects in (1, 2):
        scenes = arranged_scenes(count, split, 78 + objects, workers, objects).scenes
        rng = np.random.default_rng(seed)
        stated = [state(scene, rng) for scene in scenes]
        prompts = [user_prompt(scene, rng) for scene in stated]
        seeds = [seed + number for number in range(count)]
        for name, texts in (("caption", [caption(scene) for scene in scenes]), ("user prompt", prompts)):
            videos = sample_videos(pipeline, texts, seeds, steps=steps, guidance=guidance)
            readings = read_all(videos, workers)
            results.append(
                {
                    "gate": name,
                    "objects": objects,
                    "split": split,
                    "videos": count,
                    "right": round(share_right(readings, stated), 4),
                    "right_of_whole_scene": round(share_right(readings, scenes), 4),
                    "by_attribute": by_attribute(readings, scenes if name == "caption" else stated),
                }
            )
    return results


def judge_gate(
    pipeline: Any, judge: Judge, count: int, *, steps: int, guidance: float, split: Split, workers: int = 1
) -> dict[str, Any]:
    """The judge's agreement with the verifier on generated videos, half made from captions and half from user prompts.

    Both say whether a video shows everything that the user's prompt asks for; the judge by a score above `JUDGED_RIGHT`.
    """
    scenes = arranged_scenes(count, split, 91, workers).scenes
    rng = np.random.default_rng(91)
    stated = [state(scene, rng) for scene in scenes]
    prompts = [user_prompt(scene, rng) for scene in stated]
    texts = [caption(scene) if number % 2 else prompt for number, (scene, prompt) in enumerate(zip(scenes, prompts, strict=True))]
    videos = sample_videos(pipeline, texts, list(range(count)), steps=steps, guidance=guidance)
    right = [all_right(check(r, s)) is True for r, s in zip(read_all(videos, workers), stated, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, frames in enumerate(videos.numpy()):
            path = f"{folder}/{number}.mp4"
            write_video(path, frames, FPS)
            files.append(Video(path=path, seed=number, frames=17, fps=FPS, height=64, width=64))
        began = time.perf_counter()
        feedback = judge.judge(files, [Prompt.of(text, id=str(n)) for n, text in enumerate(prompts)])
        seconds = time.perf_counter() - began
    judged = [f.score is not None and f.score > JUDGED_RIGHT for f in feedback]
    return {
        "gate": "judge",
        "videos": count,
        "kappa": round(cohen_kappa(judged, right) or 0.0, 4),
        "judged_right": round(float(np.mean(judged)), 4),
        "verified_right": round(float(np.mean(right)), 4),
        "false_accepts": round(float(np.mean([j and not r for j, r in zip(judged, right, strict=True)])), 4),
        "unscored": sum(f.score is None for f in feedback),
        "seconds_a_judgement": round(seconds / count, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stack", type=Path, help="a folder like ckpt/shapes")
    parser.add_argument("--out", type=Path, help="a file that the lines are written into")
    parser.add_argument("--only", nargs="+", choices=_GATES, default=_GATES, help="not all gates")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    sampled = {"steps": a.steps, "guidance": a.guidance, "split": a.split, "workers": a.workers}
    there = {name for name in a.only if (a.stack / _GATES[name]).is_dir()}
    pipeline: Any = load_pipeline(a.stack / "video", a.device) if there & {"reconstruction", "prompts", "judge"} else None
    lines: list[str] = []

    def say(line: Mapping[str, Any]) -> None:
        lines.append(json.dumps(line) + "\n")
        print(lines[-1], end="", flush=True)

    if "reconstruction" in there:
        say(reconstruction_gate(pipeline.vae, a.count, a.device, a.workers))
    if "prompts" in there:
        for line in prompt_gates(pipeline, a.count, **sampled):
            say(line | {"steps": a.steps, "guidance": a.guidance})
    if "judge" in there:
        reference = ModelReference(str(a.stack / "judge"))
        judge = QwenVLJudge(reference, frames=FRAMES, max_new_tokens=96, expected_score=True, batch_size=32)
        say(judge_gate(pipeline, judge.to(a.device), a.count, **sampled))
    if "language" in there:
        chat = HuggingFaceChat(ModelReference(str(a.stack / "language")), batch_size=64)
        say(language_gate(LLMRewriter(chat, max_new_tokens=160).to(a.device), a.count, a.split, a.workers))
    if "encoder" in there:
        say(encoder_gate(a.stack / "encoder", a.count, a.device))
    if a.out:
        a.out.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
