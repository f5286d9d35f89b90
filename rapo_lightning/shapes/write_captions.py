"""Writes training captions of the shapes world, one a line: what its relation graph is built from.

python -m rapo_lightning.shapes.write_captions --count 3000 --out captions.txt
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rapo_lightning.records import write_text_atomic
from rapo_lightning.shapes.captions import caption
from rapo_lightning.shapes.dataset import arranged_scenes

__all__ = ["training_captions"]


def training_captions(count: int, seed: int = 0, workers: int = 1) -> list[str]:
    """Captions in the training style of ``count`` scenes of the training split."""
    return [caption(scene) for scene in arranged_scenes(count, "train", seed + 4, workers).scenes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    a = parser.parse_args()
    write_text_atomic(a.out, "\n".join(training_captions(a.count, a.seed, a.workers)) + "\n")
    print(f"{a.out}: {a.count} captions")


if __name__ == "__main__":
    main()
