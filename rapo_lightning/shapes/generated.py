"""Videos of the tiny video model with what the verifier reads in them: training data for the judge, measurements for the gates.

    python -m rapo_lightning.shapes.generated --video build/video --out build/generated --count 8192

Half are asked for by training captions, half by user prompts, all of scenes of the training split.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.shapes.captions import state, user_prompt
from rapo_lightning.shapes.dataset import arranged_scenes, training_caption
from rapo_lightning.shapes.judge_lessons import description_lesson, judge_lesson, request_for
from rapo_lightning.shapes.scene import TRANSLATIONS, Item, Scene
from rapo_lightning.shapes.verify import Reading, check, read
from rapo_lightning.templates import Template
from rapo_lightning.types import Message

__all__ = ["Generated", "read_all", "sample_videos"]


@dataclass(frozen=True)
class Generated:
    """N generated videos, uint8 (N, T, H, W, C), the scenes they were asked for, and what the verifier read."""

    videos: Tensor
    scenes: list[Scene]
    readings: list[Reading]

    def __len__(self) -> int:
        return len(self.scenes)

    def frames(self, index: Tensor) -> Tensor:
        """Frames in [0, 1] of the chosen videos."""
        return self.videos[index].float() / 255

    def lessons(self, count: int, seed: int, template: Template) -> list[tuple[Sequence[Message], str]]:
        """``count`` conversations a video: what was asked for, requests close to it, and what it shows where that can be told."""
        rng = np.random.default_rng(seed)
        lessons = []
        for scene, reading in zip(self.scenes, self.readings, strict=True):
            shown = _shown(reading)
            for number in range(count):
                if number < count // 8 and shown is not None:
                    lessons.append(description_lesson(shown, template))
                    continue
                asked = state(scene, rng) if number < count // 2 else request_for(shown or scene, rng)
                checks = {name: value is True for name, value in check(reading, asked).items()}
                lessons.append(judge_lesson(asked, checks, reading.count or 0, rng, template))
        return lessons

    def save(self, folder: Path) -> None:
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"videos": self.videos.cpu()}, str(folder / "videos.safetensors"))
        rows = [
            {"scene": _plain(scene), "reading": _plain(reading)}
            for scene, reading in zip(self.scenes, self.readings, strict=True)
        ]
        (folder / "videos.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, device: str) -> Generated:
        from safetensors.torch import load_file

        rows = [json.loads(line) for line in (folder / "videos.jsonl").read_text(encoding="utf-8").splitlines()]
        return cls(
            load_file(str(folder / "videos.safetensors"))["videos"].to(device),
            [Scene(**_with_items(row["scene"])) for row in rows],
            [Reading(**_with_items(row["reading"])) for row in rows],
        )


def sample_videos(
    pipeline: Any, texts: Sequence[str], seeds: Sequence[int], *, steps: int, guidance: float, batch_size: int = 256
) -> Tensor:
    """Videos of a tiny pipeline, uint8 (N, T, H, W, C) on the CPU; one noise generator a video."""
    from rapo_lightning.shapes.train_video import TEXT_LENGTH

    parts = []
    for start in range(0, len(texts), batch_size):
        chunk = list(texts[start : start + batch_size])
        generators = [torch.Generator().manual_seed(seed) for seed in seeds[start : start + batch_size]]
        frames = pipeline(
            prompt=chunk,
            negative_prompt=[""] * len(chunk),
            height=64,
            width=64,
            num_frames=17,
            num_inference_steps=steps,
            guidance_scale=guidance,
            max_sequence_length=TEXT_LENGTH,
            generator=generators,
            output_type="pt",
        ).frames
        parts.append((frames.float() * 255).round().clamp(0, 255).to(torch.uint8).permute(0, 1, 3, 4, 2).cpu())
    return torch.cat(parts)


def read_all(videos: Tensor, workers: int = 1) -> list[Reading]:
    """The verifier's reading of each video, uint8 (N, T, H, W, C)."""
    arrays = list(videos.numpy())
    if workers == 1:
        return [read(frames) for frames in arrays]
    # Not forked: torch's threads, which are running by now, do not live on in a child, and its first parallel loop would wait.
    with ProcessPoolExecutor(workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return list(pool.map(read, arrays, chunksize=32))


def load_pipeline(folder: Path, device: str) -> Any:
    """A tiny pipeline in float32 on a device."""
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(folder), dtype=torch.float32).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _shown(reading: Reading) -> Scene | None:
    """The whole scene that a video shows; None where the verifier cannot tell some of it."""
    if reading.count not in (1, 2) or (reading.count == 2 and not reading.relation) or not (reading.place and reading.atmosphere):
        return None
    for item in reading.items:
        if not (item.shape and item.colour and item.size and item.action) or (item.action in TRANSLATIONS and not item.speed):
            return None
    first, *rest = reading.items
    if any(first.shape == other.shape or first.colour == other.colour for other in rest):
        return None  # two objects that cannot be told apart by name
    return Scene(items=reading.items, place=reading.place, atmosphere=reading.atmosphere, relation=reading.relation)


def _plain(value: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(value)


def _with_items(row: dict[str, Any]) -> dict[str, Any]:
    return row | {"items": tuple(Item(**item) for item in row["items"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--guidance", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    began = time.perf_counter()
    scenes = arranged_scenes(a.count, "train", a.seed + 3, a.workers).scenes
    rng = np.random.default_rng(a.seed + 3)
    texts = [
        training_caption(scene, rng) if number % 2 else user_prompt(state(scene, rng), rng) for number, scene in enumerate(scenes)
    ]
    pipeline = load_pipeline(a.video, a.device)
    videos = sample_videos(pipeline, texts, list(range(a.count)), steps=a.steps, guidance=a.guidance)
    Generated(videos, scenes, read_all(videos, a.workers)).save(a.out)
    print(json.dumps({"name": "generated", "videos": a.count, "seconds": round(time.perf_counter() - began, 1)}))


if __name__ == "__main__":
    main()
