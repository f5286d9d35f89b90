"""Rewriters, which write a trajectory's next text: `LLMRewriter` asks a chat model, `RepeatPrompt` and `FakeRewriter` do not."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapo_lightning.rewriters.fake import FakeRewriter
    from rapo_lightning.rewriters.llm import LLMRewriter
    from rapo_lightning.rewriters.repeat import RepeatPrompt

__all__ = ["FakeRewriter", "LLMRewriter", "RepeatPrompt"]

_HOME = {"FakeRewriter": "fake", "LLMRewriter": "llm", "RepeatPrompt": "repeat"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
