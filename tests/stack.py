"""Where the weights of the embedded default are, for tests that need them. They belong to the repository: nothing skips."""

from __future__ import annotations

from pathlib import Path

__all__ = ["STACK"]

STACK = Path(__file__).parents[1] / "ckpt" / "shapes"
