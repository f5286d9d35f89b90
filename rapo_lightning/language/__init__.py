"""Chat models: `HuggingFaceChat` runs one in this process, `OpenAIChat` asks an endpoint, `FakeLanguageModel` needs no weights.
Sentence encoders: `SentenceEncoder`, and `FakeTextEncoder` without weights.

Also here: LoRA adapters (`adapter`), where an answer ends (`stopping`), sampling (`sampling`), reasoning (`thinking`), a bare
prompt out of an answer (`answers`), what an endpoint answers (`endpoint`), texts in batches of tokens (`token_batches`).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapo_lightning.language.fake import FakeLanguageModel
    from rapo_lightning.language.fake_encoder import FakeTextEncoder
    from rapo_lightning.language.hugging_face import HuggingFaceChat
    from rapo_lightning.language.openai import OpenAIChat
    from rapo_lightning.language.sentence_encoder import SentenceEncoder

__all__ = ["FakeLanguageModel", "FakeTextEncoder", "HuggingFaceChat", "OpenAIChat", "SentenceEncoder"]

_HOME = {
    "FakeLanguageModel": "fake",
    "FakeTextEncoder": "fake_encoder",
    "HuggingFaceChat": "hugging_face",
    "OpenAIChat": "openai",
    "SentenceEncoder": "sentence_encoder",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
