"""The chat model on tiny random models of four families, against a plain decoding loop and against itself alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rapo_lightning.errors import WeightsError
from rapo_lightning.language import HuggingFaceChat
from rapo_lightning.language.loading import LoadedModel
from rapo_lightning.protocols import LanguageModel, Placeable
from rapo_lightning.types import Failure, Message, ModelReference, Reply
from tests.tiny_language import FAMILIES, save_chat_model

CONVERSATIONS: list[list[Message]] = [
    [{"role": "system", "content": "you write"}, {"role": "user", "content": text}]
    for text in ("a red ball", "the sea " * 9, "x", "a blue square moves over the green hill", "soft light", "a ball")
]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    return {family: save_chat_model(root / family, family) for family in FAMILIES}


def chat_model(folder: Path, **options: object) -> HuggingFaceChat:
    return HuggingFaceChat(ModelReference(str(folder)), **options)  # type: ignore[arg-type]


def greedy_by_hand(folder: Path, conversation: list[Message], steps: int) -> Reply:
    """One conversation, no batch, no cache, no `generate`."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer.apply_chat_template(conversation, add_generation_prompt=True, return_dict=False, enable_thinking=False)
    answer: list[int] = []
    while len(answer) < steps and answer[-1:] != [tokenizer.eos_token_id]:
        with torch.no_grad():
            answer.append(int(model(torch.tensor([tokens + answer])).logits[0, -1].argmax()))
    return Reply(text=tokenizer.decode(answer, skip_special_tokens=True).strip(), tokens=len(answer))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("temperature", [0.0, 0.9])
def test_a_batch_answers_as_each_conversation_alone(folders: dict[str, Path], family: str, temperature: float) -> None:
    model = chat_model(folders[family], batch_size=4)
    together = model.chat(CONVERSATIONS, max_new_tokens=16, temperature=temperature, seed=3)
    alone = [model.chat([c], max_new_tokens=16, temperature=temperature, seed=3)[0] for c in CONVERSATIONS]
    assert together == alone
    assert together[::-1] == model.chat(CONVERSATIONS[::-1], max_new_tokens=16, temperature=temperature, seed=3)
    assert len(set(map(str, together))) == len(CONVERSATIONS)


def test_greedy_answers_are_those_of_a_plain_loop_whatever_the_repository_prefers(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model", "qwen2")
    (folder / "generation_config.json").write_text(
        '{"do_sample": true, "temperature": 0.7, "top_k": 5, "repetition_penalty": 5.0, "eos_token_id": [3, 1]}'
    )
    replies = chat_model(folder).chat(CONVERSATIONS[:3], max_new_tokens=12)
    assert replies == [greedy_by_hand(folder, conversation, 12) for conversation in CONVERSATIONS[:3]]


def test_seed_and_temperature_change_sampled_answers_only(folders: dict[str, Path]) -> None:
    model = chat_model(folders["llama"])
    assert model.chat(CONVERSATIONS, max_new_tokens=8, seed=1) == model.chat(CONVERSATIONS, max_new_tokens=8, seed=2)
    sampled = model.chat(CONVERSATIONS, max_new_tokens=8, temperature=1.0, seed=1)
    assert sampled == model.chat(CONVERSATIONS, max_new_tokens=8, temperature=1.0, seed=1)
    assert sampled != model.chat(CONVERSATIONS, max_new_tokens=8, temperature=1.0, seed=2)


def test_stopping_at_a_newline_gives_the_first_line_of_the_whole_answer(folders: dict[str, Path]) -> None:
    folder = folders["qwen2"]
    asked = [[{"role": "user", "content": f"{word} {n}"}] for n in range(6) for word in ("sea", "ball", "hill")]
    settings = {"max_new_tokens": 60, "temperature": 1.5, "seed": 4}
    whole = chat_model(folder).chat(asked, **settings)  # type: ignore[arg-type]
    lines = chat_model(folder, stop_at_newline=True).chat(asked, **settings)  # type: ignore[arg-type]
    shortened = 0
    for long, short in zip(whole, lines, strict=True):
        assert isinstance(long, Reply)
        assert isinstance(short, Reply)
        assert short.text == long.text.partition("\n")[0].rstrip()
        assert short.tokens <= long.tokens
        shortened += short.tokens < long.tokens
    assert shortened >= 2


def test_thoughts_are_not_part_of_a_reply(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat_model(folders["qwen3"], enable_thinking=True)
    monkeypatch.setattr(
        "rapo_lightning.language.chat_format.ChatFormat.decode", lambda self, tokens: "<think>hm</think>\n\na ball"
    )
    assert model.chat(CONVERSATIONS[:1], max_new_tokens=4) == [Reply(text="a ball", tokens=4)]


def test_a_conversation_beyond_the_context_fails_alone(tmp_path: Path) -> None:
    model = chat_model(save_chat_model(tmp_path / "model", "qwen2", context=50))
    replies = model.chat(CONVERSATIONS[:3], max_new_tokens=100)
    assert isinstance(replies[1], Failure)
    assert "the model reads 50" in replies[1].error
    for reply, prompt_tokens in ((replies[0], 41), (replies[2], 39)):
        assert isinstance(reply, Reply)
        assert reply.tokens <= 50 - prompt_tokens
        assert reply in model.chat([CONVERSATIONS[0], CONVERSATIONS[2]], max_new_tokens=100)


def test_when_memory_runs_out_the_batch_is_halved(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    model = chat_model(folders["mistral"])
    expected = model.chat(CONVERSATIONS, max_new_tokens=6)
    sizes: list[int] = []
    network = loaded(model).model
    generate = network.generate

    def with_little_memory(limit: int) -> None:
        def fails(input_ids: torch.Tensor, **settings: object) -> object:
            sizes.append(len(input_ids))
            if len(input_ids) > limit:
                raise torch.OutOfMemoryError("tried to allocate too much")
            return generate(input_ids=input_ids, **settings)  # type: ignore[operator]

        monkeypatch.setattr(network, "generate", fails)

    with_little_memory(2)
    assert model.chat(CONVERSATIONS, max_new_tokens=6) == expected
    assert sizes == [6, 3, 1, 1, 1, 1, 1, 1]
    with_little_memory(0)
    assert model.chat(CONVERSATIONS, max_new_tokens=6) == [Failure(error="out of memory with a single conversation")] * 6


def loaded(model: HuggingFaceChat) -> LoadedModel:
    assert model._loaded is not None
    return model._loaded


def test_weights_load_once_at_the_first_use_and_move(folders: dict[str, Path]) -> None:
    model = chat_model(folders["qwen2"], dtype="float32")
    assert isinstance(model, LanguageModel)
    assert isinstance(model, Placeable)
    assert model.chat([]) == []
    assert model._loaded is None
    model.chat(CONVERSATIONS[:1], max_new_tokens=1)
    network = loaded(model).model
    model.chat(CONVERSATIONS[:1], max_new_tokens=1)
    assert loaded(model).model is network
    assert model.to("meta") is model
    assert network.device.type == "meta"


def test_dtype(folders: dict[str, Path]) -> None:
    model = chat_model(folders["qwen2"], dtype="bfloat16")
    [reply] = model.chat(CONVERSATIONS[:1], max_new_tokens=2)
    assert isinstance(reply, Reply)
    assert loaded(model).model.dtype == torch.bfloat16


def test_the_padding_token_has_an_embedding(folders: dict[str, Path]) -> None:
    for family in FAMILIES:
        model = chat_model(folders[family])
        model.chat(CONVERSATIONS[:1], max_new_tokens=1)
        assert loaded(model).pad == 3  # the end token; Qwen2Tokenizer would pad with one that the model lacks


def test_what_cannot_be_loaded_says_so(tmp_path: Path, folders: dict[str, Path]) -> None:
    with pytest.raises(WeightsError, match="no such folder"):
        chat_model(tmp_path / "none").chat(CONVERSATIONS)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(WeightsError, match="cannot be loaded"):
        chat_model(empty).chat(CONVERSATIONS)
    (empty / "adapter_config.json").write_text("{}")
    with pytest.raises(WeightsError, match="this is an adapter"):
        chat_model(empty).chat(CONVERSATIONS)
    with pytest.raises(ValueError, match="batch_size"):
        chat_model(folders["qwen2"], batch_size=0)


def test_code_and_pickles_are_refused(tmp_path: Path) -> None:
    folder = save_chat_model(tmp_path / "model", "qwen2")
    (folder / "modeling_evil.py").write_text("raise SystemExit")
    with pytest.raises(WeightsError, match=r"modeling_evil\.py"):
        chat_model(folder).chat(CONVERSATIONS)
    (folder / "modeling_evil.py").unlink()
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin"):
        chat_model(folder).chat(CONVERSATIONS)


def test_a_call_says_nothing_on_the_terminal(folders: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    """transformers tells users of calls that it will not take any more."""
    chat_model(folders["qwen2"]).chat(CONVERSATIONS[:1], max_new_tokens=2)
    assert "deprecated" not in capfd.readouterr().err
