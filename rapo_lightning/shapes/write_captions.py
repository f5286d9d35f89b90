"""Writes training captions of the shapes world, one a line: what its relation graph is built from and L_r learns from.

    python -m rapo_lightning.shapes.write_captions --count 3000 --out captions.txt

Or what users would type who want such videos, some of it left unsaid: what L_d and the refiner learn from.

    python -m rapo_lightning.shapes.write_captions --as-users --count 1000 --out prompts.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from rapo_lightning.records import write_text_atomic
from rapo_lightning.shapes.captions import caption, state, user_prompt
from rapo_lightning.shapes.dataset import arranged_scenes

__all__ = ["training_captions", "training_prompts"]


def training_captions(count: int, seed: int = 0, workers: int = 1) -> list[str]:
    """Captions in the training style of ``count`` scenes of the training split."""
    return [caption(scene) for scene in arranged_scenes(count, "train", seed + 4, workers).scenes]


def training_prompts(count: int, seed: int = 0, workers: int = 1) -> list[str]:
    """What users would type for ``count`` scenes of the training split, each sentence once."""
    rng = np.random.default_rng(seed + 6)
    found: dict[str, None] = {}
    while len(found) < count:
        scenes = arranged_scenes(count, "train", int(rng.integers(1 << 30)), workers).scenes
        found |= dict.fromkeys(user_prompt(state(scene, rng), rng) for scene in scenes)
    return list(found)[:count]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--as-users", action="store_true", help="users' prompts in place of captions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    a = parser.parse_args()
    lines = (training_prompts if a.as_users else training_captions)(a.count, a.seed, a.workers)
    write_text_atomic(a.out, "\n".join(lines) + "\n")
    print(f"{a.out}: {a.count} {'prompts' if a.as_users else 'captions'}")


if __name__ == "__main__":
    main()
