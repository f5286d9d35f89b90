"""Training data of the shapes world, drawn on the device: arranged scenes once, frames whenever they are needed.

Arranging is Python and is shared out over processes; drawing is torch. Everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.shapes.captions import caption, details, varied
from rapo_lightning.shapes.render import Batch, draw, sample_arranged
from rapo_lightning.shapes.scene import Scene, Split

__all__ = ["Scenes", "arranged_scenes", "training_caption"]

_PART = 2048  # scenes a task: the result does not depend on the number of processes


@dataclass(frozen=True)
class Scenes:
    """Scenes with what it takes to draw them; ``batch`` may live on another device than the scenes' text."""

    scenes: list[Scene]
    batch: Batch

    def __len__(self) -> int:
        return len(self.scenes)

    def to(self, device: torch.device | str) -> Scenes:
        return Scenes(self.scenes, self.batch.to(device))

    def frames(self, index: Tensor | slice, time: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Frames in [0, 1], (B, T, H, W, C), and the objects' coverage, (B, T, H, W), of the chosen scenes and times."""
        chosen = Batch(*(tensor[index] for tensor in self.batch))
        return draw(chosen._replace(paths_BKT3=chosen.paths_BKT3[:, :, time]))

    def chunks(self, size: int) -> Iterator[slice]:
        for start in range(0, len(self), size):
            yield slice(start, min(start + size, len(self)))


def arranged_scenes(count: int, split: Split, seed: int, workers: int = 1, objects: int | None = None) -> Scenes:
    """``count`` scenes of a split; ``workers`` processes share the work without changing the result."""
    tasks = [(min(_PART, count - start), split, seed * 1_000_003 + start, objects) for start in range(0, count, _PART)]
    if workers > 1 and len(tasks) > 1:
        with ProcessPoolExecutor(min(workers, len(tasks))) as pool:
            parts = list(pool.map(_part, tasks))
    else:
        parts = [_part(task) for task in tasks]
    scenes = [scene for part, _ in parts for scene in part]
    return Scenes(scenes, Batch(*(torch.from_numpy(np.concatenate(arrays)) for arrays in zip(*(b for _, b in parts)))))


def training_caption(scene: Scene, rng: np.random.Generator) -> str:
    """A caption as the video model is trained on: one in four is `varied`, one in four ends with one or two `details`."""
    kind = rng.random()
    if kind < 1 / 4:
        return varied(scene, rng)
    extra: tuple[str, ...] = ()
    if kind < 1 / 2:
        sentences = list(details(scene).values())
        extra = tuple(sentences[i] for i in rng.choice(len(sentences), size=int(rng.integers(1, 3)), replace=False))
    return caption(scene, extra)


def _part(task: tuple[int, Split, int, int | None]) -> tuple[list[Scene], tuple[np.ndarray, ...]]:
    count, split, seed, objects = task
    scenes, batch = sample_arranged(np.random.default_rng(seed), count, split, objects)
    return scenes, tuple(tensor.numpy() for tensor in batch)
