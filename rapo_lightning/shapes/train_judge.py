"""Trains the tiny judge (Qwen2.5-VL) to compare a video with a request and to name what is wrong.

    python -m rapo_lightning.shapes.train_judge --out build/judge
    python -m rapo_lightning.shapes.train_judge --out build/judge --generated build/generated    # and on generated videos
    python -m rapo_lightning.shapes.train_judge --out build/judge --small

Two stages: the vision tower learns to see (`judge_eyes`), then tower and language model learn to reply. Without ``--generated``
it sees rendered scenes with noise, blur and wrong brightness; with it, half of what it sees are videos of the tiny video model,
whose faults it must know. Those are labelled by the verifier, as people would label real ones.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.shapes.chat import (
    END,
    IMAGE,
    PAD,
    VIDEO,
    VISION_END,
    VISION_START,
    answer_rows,
    chat_tokenizer,
    rendered,
    tokenized,
)
from rapo_lightning.shapes.dataset import Scenes, arranged_scenes
from rapo_lightning.shapes.fit import Fit, fit
from rapo_lightning.shapes.generated import Generated
from rapo_lightning.shapes.judge_eyes import CellLabels, Eyes, cell_labels
from rapo_lightning.shapes.judge_lessons import clean_lessons
from rapo_lightning.shapes.judge_model import MEAN, STD, VIDEO_TOKENS, EqualVideos, judge_model, to_patches
from rapo_lightning.shapes.render import Batch
from rapo_lightning.shapes.scene import Scene
from rapo_lightning.shapes.script import run, training_parser
from rapo_lightning.templates import Template
from rapo_lightning.types import Message

__all__ = ["train"]

LENGTH = 336  # tokens of the longest conversation, the video's included
_LESSONS = 8  # conversations about each video
_EYES = 0.15  # share of the steps, and of the minutes, in which the tower learns alone
_TEMPLATE = "judge_alignment"

Lesson = tuple[Sequence[Message], str]


def train(
    out: Path,
    *,
    options: Fit,
    batch_size: int,
    scenes: int,
    workers: int,
    device: str,
    small: bool,
    generated: Path | None = None,
    initial: Path | None = None,
    compile: bool = False,
) -> dict[str, Any]:
    """Train and save model, tokenizer and image settings to ``out``."""
    torch.manual_seed(options.seed)
    began = time.perf_counter()
    data = arranged_scenes(scenes, "train", options.seed + 2, workers).to(device)
    lessons = _lessons(data.scenes, options.seed, workers)
    tokenizer = _loaded_tokenizer(initial) if initial else _tokenizer(lessons[:4000])
    tokens, answers = _tokenized(tokenizer, lessons, device)
    made = Generated.load(generated, device) if generated else None
    if made is not None:
        made_tokens, made_answers = _tokenized(tokenizer, made.lessons(_LESSONS, options.seed, Template.load(_TEMPLATE)), device)
    line = {"name": "judge", "videos": len(data) + (len(made) if made else 0)}
    print(json.dumps(line | {"seconds": round(time.perf_counter() - began, 1)}), flush=True)
    names = {"end": END, "pad": PAD, "image": IMAGE, "video": VIDEO, "vision_start": VISION_START, "vision_end": VISION_END}
    ids = {name: int(tokenizer.convert_tokens_to_ids(token)) for name, token in names.items()}
    model = (_loaded(initial) if initial else judge_model(ids, len(tokenizer), small)).to(device)
    network = EqualVideos(model, tokens[0, 0].long(), compile)
    seeing = {} if initial else _learn_to_see(network, data, options, batch_size, out)

    def batch(step: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + step)

        def below(limit: int, count: int) -> Tensor:
            return torch.randint(limit, (count,), generator=generator, device=device)

        clean = batch_size // 2 if made else batch_size
        index, choice = below(len(data), clean), below(_LESSONS, clean)
        frames = _disturbed(data.frames(index)[0], generator)
        words, answered = tokens[index, choice].long(), answers[index, choice]
        if made:
            index, choice = below(len(made), batch_size - clean), below(_LESSONS, batch_size - clean)
            frames = torch.cat([frames, made.frames(index)])
            words = torch.cat([words, made_tokens[index, choice].long()])
            answered = torch.cat([answered, made_answers[index, choice]])
        return to_patches(frames), words, answered

    def loss(patches: Tensor, words: Tensor, answered: Tensor) -> Tensor:
        with torch.autocast(words.device.type, torch.bfloat16, enabled=words.is_cuda, cache_enabled=False):
            logits = network(patches, words)
        errors = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), words[:, 1:].flatten(), reduction="none")
        weight = answered[:, 1:].flatten()
        return (errors * weight).sum() / weight.sum()

    plan = options if initial else _share(options, 1 - _EYES)
    taught = fit("judge", network, batch, loss, plan, out)
    result: dict[str, Any] = {key: round(value + seeing.get(key, 0.0), 1) for key, value in taught.items()}
    result["parameters"] = sum(p.numel() for p in model.parameters())
    _save(model, tokenizer, out)
    return result


def _learn_to_see(network: EqualVideos, data: Scenes, options: Fit, batch_size: int, out: Path) -> dict[str, float]:
    """The first stage: the tower alone, on rendered scenes; its steps and seconds."""
    device = network.positions.device
    eyes = Eyes(network.tower, network.model.config.vision_config.out_hidden_size).to(device)

    def batch(step: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + step)
        index = torch.randint(len(data), (batch_size,), generator=generator, device=device)
        labels = cell_labels(Batch(*(tensor[index] for tensor in data.batch)))
        return to_patches(_disturbed(data.frames(index)[0], generator)), *labels

    def loss(patches: Tensor, *labels: Tensor) -> Tensor:
        with torch.autocast(patches.device.type, torch.bfloat16, enabled=patches.is_cuda, cache_enabled=False):
            return torch.as_tensor(eyes(patches, CellLabels(*labels)))

    return fit("eyes", eyes, batch, loss, _share(options, _EYES), out)


def _share(options: Fit, share: float) -> Fit:
    return replace(options, steps=max(1, round(options.steps * share)), minutes=options.minutes * share)


def _lessons(scenes: list[Scene], seed: int, workers: int) -> list[Lesson]:
    """`_LESSONS` conversations a scene, in the scenes' order, the same for any number of ``workers``."""
    size = 2048
    tasks = [(scenes[start : start + size], seed * 1_000_003 + start) for start in range(0, len(scenes), size)]
    if workers > 1 and len(tasks) > 1:
        with ProcessPoolExecutor(min(workers, len(tasks))) as pool:
            return [lesson for part in pool.map(_part, tasks) for lesson in part]
    return [lesson for task in tasks for lesson in _part(task)]


def _part(task: tuple[list[Scene], int]) -> list[Lesson]:
    scenes, seed = task
    rng, template = np.random.default_rng(seed), Template.load(_TEMPLATE)
    return [lesson for scene in scenes for lesson in clean_lessons(scene, _LESSONS, rng, template)]


def _tokenizer(lessons: list[Lesson]) -> Any:
    return chat_tokenizer([m["content"] for messages, _ in lessons for m in messages] + [a for _, a in lessons], 1400)


def _loaded_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def _loaded(folder: Path) -> Any:
    from transformers import Qwen2_5_VLForConditionalGeneration

    return Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)


def _tokenized(tokenizer: Any, lessons: list[Lesson], device: str) -> tuple[Tensor, Tensor]:
    """Token ids and answer marks of each video's conversations, (N, `_LESSONS`, L)."""
    prompts = [rendered(messages, video=True).replace(VIDEO, VIDEO * VIDEO_TOKENS) for messages, _ in lessons]
    pairs = tokenized(tokenizer, prompts, [answer for _, answer in lessons])
    tokens, answers = answer_rows(pairs, LENGTH, int(tokenizer.pad_token_id))
    return tokens.view(-1, _LESSONS, LENGTH).to(device), answers.view(-1, _LESSONS, LENGTH).to(device)


def _disturbed(frames: Tensor, generator: torch.Generator) -> Tensor:
    """Frames with blur, noise and wrong brightness, each video by its own measure."""
    shape = (frames.shape[0], 1, 1, 1, 1)
    device = frames.device
    blurred = torch.nn.functional.avg_pool3d(frames.permute(0, 4, 1, 2, 3), (1, 3, 3), stride=1, padding=(0, 1, 1))
    share = torch.rand(shape, generator=generator, device=device)
    frames = torch.lerp(frames, blurred.permute(0, 2, 3, 4, 1), share)
    frames = frames * (1 + 0.1 * torch.randn(shape, generator=generator, device=device))
    strength = 0.06 * torch.rand(shape, generator=generator, device=device)
    return (frames + strength * torch.randn(frames.shape, generator=generator, device=device)).clamp(0, 1)


def _save(model: Any, tokenizer: Any, out: Path) -> None:
    model.half().save_pretrained(out)
    tokenizer.save_pretrained(out)
    side = 64
    settings = {
        "video_processor_type": "Qwen2VLVideoProcessor",
        "processor_class": "Qwen2_5_VLProcessor",
        "patch_size": 8,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "size": {"shortest_edge": side * side, "longest_edge": 4 * side * side},
        "image_mean": list(MEAN),
        "image_std": list(STD),
    }
    (out / "video_preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def main() -> None:
    parser = training_parser(__doc__, steps=12_000, batch_size=192, scenes=32_768)
    parser.add_argument("--generated", type=Path, help="a folder made by rapo_lightning.shapes.generated")
    parser.add_argument("--compile", action="store_true", help="compile the blocks of tower and language model")
    run("judge", train, parser, warm_up=500, weight_decay=0.05)


if __name__ == "__main__":
    main()
