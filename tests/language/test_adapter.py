"""Adapters: what is saved loads again, merged weights answer the same, and what does not belong together is refused."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from rapo_lightning.errors import WeightsError
from rapo_lightning.language import HuggingFaceChat, adapter
from rapo_lightning.types import ModelReference, Reply
from tests.tiny_language import FAMILIES, save_chat_model

IDS = torch.arange(20)[None]
ASK = [[{"role": "user", "content": "a red ball"}]]


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("bases")
    return {family: save_chat_model(root / f"tiny-{family}", family) for family in FAMILIES}


def load_base(folder: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder).eval()
    return model


def logits(model: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        scores: torch.Tensor = model.eval()(IDS).logits
    return scores


def trained(folder: Path) -> PeftModel:
    """An adapter whose every weight differs from its start."""
    model = adapter.attach(load_base(folder), rank=4, alpha=8)
    generator = torch.Generator().manual_seed(0)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.1
    return model


def saved(base: Path, folder: Path) -> Path:
    adapter.save(trained(base), folder, base=str(base), tokenizer=AutoTokenizer.from_pretrained(base))
    return folder


# PEFT's own loading, called here to show that it reads the folder, uses a name that transformers has deprecated.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("family", FAMILIES)
def test_saved_loaded_and_merged_adapters_give_equal_logits(bases: dict[str, Path], tmp_path: Path, family: str) -> None:
    base = bases[family]
    expected = logits(trained(base))
    assert not torch.allclose(expected, logits(load_base(base)), atol=0.1)
    folder = saved(base, tmp_path / "adapter")

    torch.testing.assert_close(logits(adapter.load(load_base(base), folder, base=str(base))), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(logits(PeftModel.from_pretrained(load_base(base), str(folder))), expected, atol=1e-5, rtol=0)
    merged = adapter.merge(adapter.load(load_base(base), folder, base=str(base)))
    merged.save_pretrained(tmp_path / "merged")
    torch.testing.assert_close(logits(load_base(tmp_path / "merged")), expected, atol=1e-5, rtol=1e-5)


def test_a_new_adapter_changes_nothing_and_trains_alone(bases: dict[str, Path]) -> None:
    base = load_base(bases["qwen2"])
    expected = logits(base)
    model = adapter.attach(base)
    assert torch.equal(logits(model), expected)
    trainable = {name for name, weight in model.named_parameters() if weight.requires_grad}
    assert trainable
    assert all("lora_" in name for name in trainable)
    assert {name.split(".")[-4] for name in trainable} == set(adapter.LINEAR_LAYERS)
    config = model.peft_config["default"]
    assert (config.r, config.lora_alpha, config.lora_dropout) == (64, 64, 0.1)


def test_a_loaded_adapter_is_frozen_unless_asked(bases: dict[str, Path], tmp_path: Path) -> None:
    folder = saved(bases["qwen2"], tmp_path / "adapter")
    for trainable in (False, True):
        model = adapter.load(load_base(bases["qwen2"]), folder, base=str(bases["qwen2"]), trainable=trainable)
        assert any(weight.requires_grad for weight in model.parameters()) is trainable


def test_the_folder_holds_weights_format_and_the_bases_name(bases: dict[str, Path], tmp_path: Path) -> None:
    base = bases["qwen2"]
    folder = tmp_path / "adapter"
    adapter.save(trained(base), folder, base="Org/Tiny@v1.0", tokenizer=AutoTokenizer.from_pretrained(base))
    files = {file.name for file in folder.iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json", "chat_template.jinja"} <= files
    config = json.loads((folder / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("Org/Tiny", "v1.0")
    adapter.load(load_base(base), folder, base="elsewhere/tiny")  # the name decides, not where it lies


def test_the_chat_model_answers_with_its_adapter(bases: dict[str, Path], tmp_path: Path) -> None:
    base = bases["llama"]
    folder = saved(base, tmp_path / "adapter")
    adapter.merge(trained(base)).save_pretrained(tmp_path / "merged")
    AutoTokenizer.from_pretrained(base).save_pretrained(tmp_path / "merged")
    plain = HuggingFaceChat(ModelReference(str(base))).chat(ASK, max_new_tokens=12)
    adapted = HuggingFaceChat(ModelReference(str(base)), adapter=ModelReference(str(folder))).chat(ASK, max_new_tokens=12)
    assert adapted != plain
    assert adapted == HuggingFaceChat(ModelReference(str(tmp_path / "merged"))).chat(ASK, max_new_tokens=12)


def test_the_adapters_own_chat_template_is_used(bases: dict[str, Path], tmp_path: Path) -> None:
    """A model must be asked in the format it was trained with (defect 22)."""
    base = bases["qwen2"]
    folder = saved(base, tmp_path / "adapter")
    (folder / "chat_template.jinja").write_text("{{ raise_exception('the adapter was asked') }}")
    [reply] = HuggingFaceChat(ModelReference(str(base)), adapter=ModelReference(str(folder))).chat(ASK)
    assert "the adapter was asked" in str(reply)


def test_an_adapter_of_another_base_is_refused_by_name(bases: dict[str, Path], tmp_path: Path) -> None:
    folder = saved(bases["qwen2"], tmp_path / "adapter")
    with pytest.raises(WeightsError, match=r"belongs to the base model 'tiny-qwen2', not to 'tiny-qwen3'"):
        adapter.load(load_base(bases["qwen3"]), folder, base=str(bases["qwen3"]))
    with pytest.raises(WeightsError, match="tiny-qwen2"):
        HuggingFaceChat(ModelReference(str(bases["llama"])), adapter=ModelReference(str(folder))).chat(ASK)


@pytest.mark.parametrize("change", [{"hidden_size": 64}, {"num_hidden_layers": 3}])
def test_weights_that_do_not_fit_are_refused(bases: dict[str, Path], tmp_path: Path, change: dict[str, int]) -> None:
    folder = saved(bases["qwen2"], tmp_path / "adapter")
    other = save_chat_model(tmp_path / "tiny-qwen2", "qwen2", **change)
    with pytest.raises(WeightsError, match="do not fit the model 'tiny-qwen2'"):
        adapter.load(load_base(other), folder, base=str(other))


def test_folders_that_hold_no_lora_adapter_are_refused(bases: dict[str, Path], tmp_path: Path) -> None:
    base = bases["qwen2"]
    folder = saved(base, tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())

    def refusal(match: str) -> None:
        with pytest.raises(WeightsError, match=match):
            adapter.load(load_base(base), folder, base=str(base))

    (folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "PROMPT_TUNING"}))
    refusal("does not describe a LoRA adapter")
    (folder / "adapter_config.json").write_text(json.dumps(config | {"megatron_config": {"a": 1}, "megatron_core": "evil"}))
    refusal("megatron_config")
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").rename(folder / "kept")
    refusal(r"adapter_model\.safetensors is missing")
    (folder / "kept").rename(folder / "adapter_model.bin")
    refusal(r"adapter_model\.bin")
    (folder / "adapter_config.json").unlink()
    (folder / "adapter_model.bin").unlink()
    refusal("no adapter can be read here")


@pytest.mark.parametrize(
    "reference",
    [
        "Qwen/Qwen2.5-7B-Instruct",
        "Qwen/Qwen2.5-7B-Instruct@a09a354",
        "ckpt/Qwen2.5-7B-Instruct/",
        "C:\\models\\Qwen2.5-7B-Instruct",
        "/cache/models--Qwen--Qwen2.5-7B-Instruct/snapshots/a09a354",
    ],
)
def test_base_name(reference: str) -> None:
    assert adapter.base_name(reference) == "Qwen2.5-7B-Instruct"


def test_chat_models_share_their_base_and_answer_as_if_they_did_not(
    bases: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L, L_r and L_d are one base with two adapters of different layers and ranks, asked in turn."""
    base = bases["qwen2"]
    one = saved(base, tmp_path / "one")
    narrow = adapter.attach(load_base(base), rank=2, alpha=8, layers=["q_proj", "down_proj"])
    for weight in narrow.parameters():
        if weight.requires_grad:
            weight.data = torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) * 0.3
    adapter.save(narrow, tmp_path / "two", base=str(base), tokenizer=AutoTokenizer.from_pretrained(base))

    def chat(folder: Path | None) -> HuggingFaceChat:
        return HuggingFaceChat(ModelReference(str(base)), adapter=None if folder is None else ModelReference(str(folder)))

    def answer(model: HuggingFaceChat) -> str:
        (reply,) = model.chat(ASK, max_new_tokens=12)
        assert isinstance(reply, Reply)
        return reply.text

    expected = []
    for folder in (None, one, tmp_path / "two"):
        expected.append(answer(chat(folder)))  # alone in memory
        gc.collect()
    assert len(set(expected)) == 3
    loads: list[object] = []
    real = AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", lambda *a, **k: loads.append(a) or real(*a, **k))
    models = [chat(folder) for folder in (None, one, tmp_path / "two")]
    for _ in range(2):
        assert [answer(model) for model in models] == expected
    assert [answer(model) for model in reversed(models)] == expected[::-1]
    assert len(loads) == 1
    del models
    gc.collect()
    assert answer(chat(one)) == expected[1]
    assert len(loads) == 2, "what nobody uses is not kept"


def test_an_output_layer_that_is_tied_is_refused(tmp_path: Path) -> None:
    """Merging would change the embeddings, too."""
    tied = load_base(save_chat_model(tmp_path / "tied", tie_word_embeddings=True))
    with pytest.raises(WeightsError, match="shares its weights with the embeddings"):
        adapter.attach(tied, layers=["q_proj", "lm_head"])
    untied = load_base(save_chat_model(tmp_path / "untied", tie_word_embeddings=False))
    assert adapter.attach(untied, rank=2, layers=["q_proj", "lm_head"])


def test_saved_files_have_the_mode_of_files_here(bases: dict[str, Path], tmp_path: Path) -> None:
    folder = saved(bases["qwen2"], tmp_path / "adapter")
    (tmp_path / "plain").write_text("")
    assert {path.stat().st_mode for path in folder.iterdir()} == {(tmp_path / "plain").stat().st_mode}
