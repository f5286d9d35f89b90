"""Language models ask cuDNN for no attention, wherever they run: it plans anew for each length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rapo_lightning.language import HuggingFaceChat
from rapo_lightning.language.attention import for_any_length
from rapo_lightning.training import train
from rapo_lightning.types import ModelReference
from tests.tiny_language import save_chat_model
from tests.tuning.tiny_training import save_training


def asks_cudnn() -> bool:
    return torch.backends.cuda.cudnn_sdp_enabled()


def test_the_choice_is_torchs_again_afterwards() -> None:
    assert asks_cudnn()
    query = torch.randn(1, 2, 5, 8)
    plain = torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    with for_any_length():
        assert not asks_cudnn()
        found = torch.nn.functional.scaled_dot_product_attention(query, query, query, is_causal=True)
    assert asks_cudnn()
    torch.testing.assert_close(found, plain)


def test_answers(tmp_path: Path) -> None:
    save_chat_model(tmp_path / "base", "qwen2", context=512, initializer_range=0.1)
    chat = HuggingFaceChat(ModelReference(str(tmp_path / "base")))
    seen: list[bool] = []
    chat._load().model.register_forward_pre_hook(lambda *_: seen.append(asks_cudnn()))
    chat.chat([[{"role": "user", "content": "a ball"}]], max_new_tokens=3)
    assert seen
    assert not any(seen)
    assert asks_cudnn()


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT's
def test_training_and_what_is_computed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool) -> None:
    seen: list[bool] = []
    real = torch.nn.functional.scaled_dot_product_attention

    def look(*given: Any, **named: Any) -> torch.Tensor:
        seen.append(asks_cudnn())
        return real(*given, **named)

    monkeypatch.setattr(torch.nn.functional, "scaled_dot_product_attention", look)
    path = save_training(tmp_path, epochs=1, gradient_checkpointing=again, validate_every=100, check=None)
    train(path, out=tmp_path / "run")
    assert seen
    assert not any(seen)
    assert asks_cudnn()
