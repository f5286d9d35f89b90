"""Chat models: `HuggingFaceChat` runs one in this process, `FakeLanguageModel` needs no weights.

Also here: LoRA adapters (`adapter`), where an answer ends (`stopping`), sampling (`sampling`), reasoning (`thinking`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapo_lightning.language.fake import FakeLanguageModel
    from rapo_lightning.language.hugging_face import HuggingFaceChat

__all__ = ["FakeLanguageModel", "HuggingFaceChat"]

_HOME = {"FakeLanguageModel": "fake", "HuggingFaceChat": "hugging_face"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
