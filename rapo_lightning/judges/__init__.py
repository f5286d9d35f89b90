"""Judges, which look at a video and the user's own prompt and give a score and a critique.

`QwenVLJudge` sees how well a video shows the prompt, `OpticalFlowJudge` how smoothly things move, `PhysicsJudge` whether they
move as the laws of physics demand; `FakeJudge` needs no weights.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapo_lightning.judges.fake import FakeJudge
    from rapo_lightning.judges.optical_flow import OpticalFlowJudge
    from rapo_lightning.judges.physics import PhysicsJudge
    from rapo_lightning.judges.qwen_vl import QwenVLJudge

__all__ = ["FakeJudge", "OpticalFlowJudge", "PhysicsJudge", "QwenVLJudge"]

_HOME = {"FakeJudge": "fake", "OpticalFlowJudge": "optical_flow", "PhysicsJudge": "physics", "QwenVLJudge": "qwen_vl"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
