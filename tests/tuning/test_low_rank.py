"""LoRA layers that add in place: PEFT's outputs and gradients, and PEFT's own way wherever theirs does not hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peft
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM

from rapo_lightning.language import adapter as lora
from rapo_lightning.tuning import low_rank
from rapo_lightning.tuning.low_rank import add_in_place

SHAPE: dict[str, Any] = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
IDS = torch.randint(0, 64, (3, 21), generator=torch.Generator().manual_seed(3))


def adapted(*, ours: bool, family: str = "llama", dtype: torch.dtype = torch.float32, **options: Any) -> peft.PeftModel:
    """A tiny model with an adapter that changes something; its linear layers have a bias where ``family`` is qwen2."""
    torch.manual_seed(0)
    made = LlamaForCausalLM(LlamaConfig(**SHAPE)) if family == "llama" else Qwen2ForCausalLM(Qwen2Config(**SHAPE))
    model = lora.attach(made.to(dtype), **{"rank": 8, "alpha": 16, "dropout": 0.0} | options)
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name or name.endswith("bias"):
            torch.nn.init.normal_(weight.data, std=0.1)
    if ours:
        assert add_in_place(model) == 14
    return model.train()


def outcome(model: peft.PeftModel, *, mixed: bool = False) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The last hidden states, and the trained weights' gradients of some function of them."""
    torch.manual_seed(2)
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        hidden = model.get_base_model().get_decoder()(input_ids=IDS, use_cache=False).last_hidden_state.float()
    (hidden * torch.randn(hidden.shape, generator=torch.Generator().manual_seed(4))).sum().backward()
    return hidden.detach(), {name: weight.grad for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One for each product that was added in place."""
    made: list[int] = []
    real = low_rank._Added.apply
    monkeypatch.setattr(low_rank._Added, "apply", lambda *given: made.append(1) or real(*given))  # type: ignore[func-returns-value]
    return made


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_outputs_and_gradients_are_peft_s(family: str, dropout: float, calls: list[int]) -> None:
    theirs, their_gradients = outcome(adapted(ours=False, family=family, dropout=dropout))
    assert calls == []
    ours, gradients = outcome(adapted(ours=True, family=family, dropout=dropout))
    assert len(calls) == 14
    torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-5)
    assert len(gradients) == len(their_gradients) == 28
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, their_gradients[name], atol=1e-5 * float(gradient.abs().max()), rtol=1e-5)


def test_in_bfloat16_they_are_as_close_to_the_truth(calls: list[int]) -> None:
    """Weights of bfloat16, an adapter of float32, autocast: the truth is the same in float32."""

    def gradient(**given: Any) -> torch.Tensor:
        model = adapted(dtype=torch.bfloat16, **given)
        assert {weight.dtype for weight in model.parameters() if weight.requires_grad} == {torch.float32}
        _, found = outcome(model, mixed=True)
        assert {value.dtype for value in found.values()} == {torch.float32}
        return torch.cat([value.flatten() for value in found.values()])

    truth_model = adapted(ours=False, dtype=torch.bfloat16).float()
    truth = torch.cat([value.flatten() for value in outcome(truth_model)[1].values()])
    theirs, ours = ((gradient(ours=own) - truth).norm() / truth.norm() for own in (False, True))
    assert len(calls) == 14
    assert 0 < float(ours) < 1.3 * float(theirs) < 0.05


def test_frozen_inputs_and_recomputed_activations(calls: list[int]) -> None:
    plain, expected = outcome(adapted(ours=True))
    model = adapted(ours=True)
    model.enable_input_require_grads()
    enable: Any = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    found, gradients = outcome(model)
    assert len(calls) == 14 + 28, "once more in the backward pass"
    torch.testing.assert_close(found, plain)
    assert all(torch.equal(gradients[name], expected[name]) for name in expected)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, amid compiling
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_a_compiled_block_has_no_break() -> None:
    torch.compiler.reset()  # what other tests compiled of the same code counts towards its limit
    expected, gradients = outcome(adapted(ours=True))
    model = adapted(ours=True)
    for block in model.get_base_model().get_decoder().layers:
        block.compile(dynamic=True, fullgraph=True, backend="aot_eager")
    found, compiled = outcome(model)
    torch.testing.assert_close(found, expected)
    for name, gradient in gradients.items():
        torch.testing.assert_close(compiled[name], gradient, atol=1e-6 * float(gradient.abs().max()), rtol=1e-5)


def merge(model: peft.PeftModel) -> None:
    model.base_model.merge_adapter()


def off(model: peft.PeftModel) -> None:
    model.base_model.disable_adapter_layers()


def two(model: peft.PeftModel) -> None:
    model.add_adapter("other", model.peft_config["default"])
    model.base_model.set_adapter(["default", "other"])


@pytest.mark.parametrize(
    ("change", "options"),
    [(off, {}), (two, {}), (merge, {}), (lambda model: None, {"dora": True})],
    ids=["off", "two", "merged", "dora"],
)
def test_what_is_not_usual_is_left_to_peft(
    change: Callable[[peft.PeftModel], None], options: dict[str, Any], calls: list[int]
) -> None:
    found = []
    for own in (False, True):
        model = adapted(ours=own, **options)
        torch.manual_seed(5)
        change(model)
        with torch.no_grad():
            found.append(model.get_base_model()(input_ids=IDS).logits)
    assert calls == []
    assert torch.equal(*found)


@pytest.mark.parametrize("shape", [(48,), (0, 48), (0, 5, 48), (2, 0, 48), (2, 3, 4, 48)])
def test_inputs_of_any_shape(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(6))
    found = []
    for own in (False, True):
        layer = adapted(ours=own).get_base_model().get_decoder().layers[0].self_attn.q_proj
        given = x.clone().requires_grad_()
        out = layer(given)
        out.square().sum().backward()
        found.append((out.detach(), given.grad, layer.lora_A["default"].weight.grad))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_bias_that_is_trained_has_its_gradient(calls: list[int]) -> None:
    model = adapted(ours=True, family="qwen2")
    layer = model.get_base_model().get_decoder().layers[0].self_attn.q_proj
    layer.base_layer.bias.requires_grad_()
    layer(torch.ones(2, 48)).sum().backward()
    assert calls == []
    assert layer.base_layer.bias.grad is not None


def test_the_model_can_be_saved_merged_and_unloaded_as_before() -> None:
    model, other = adapted(ours=True), adapted(ours=False)
    assert list(model.state_dict()) == list(other.state_dict())
    merged, expected = model.merge_and_unload(), other.merge_and_unload()
    assert {type(module) for module in merged.modules()} == {type(module) for module in expected.modules()}
    assert all(torch.equal(a, b) for a, b in zip(merged.state_dict().values(), expected.state_dict().values(), strict=True))
