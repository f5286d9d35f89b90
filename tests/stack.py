"""The weights of the embedded default, for tests that need them."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["STACK", "STACK_IS_TRAINED", "needs_stack"]

STACK = Path(__file__).parents[1] / "ckpt" / "shapes"
STACK_IS_TRAINED = all(
    (STACK / name).is_file() for name in ("video/model_index.json", "judge/config.json", "language/config.json")
)

#: Weights enter the repository when they pass their gates; until then there is nothing that these tests could test.
needs_stack = pytest.mark.skipif(not STACK_IS_TRAINED, reason="ckpt/shapes holds no trained stack yet, see dev/LOG.md")
