"""The loss against its definition, written out plainly: every answer token, no other, whatever the batch."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rapo_lightning.tuning.objectives import answer_losses, preference_losses
from rapo_lightning.tuning.tokens import TokenLesson, collate
from tests.tiny_language import FAMILIES, save_chat_model

LESSONS = [TokenLesson((5, 6, 7, 8, 9), 2), TokenLesson((11, 12, 13), 1), TokenLesson(tuple(range(20, 33)), 9)]
UNITS = [(lesson,) for lesson in LESSONS]


def plain(model: torch.nn.Module, lesson: TokenLesson) -> list[float]:
    logits = model(input_ids=torch.tensor([lesson.ids])).logits[0].double()
    return [
        float(-torch.log_softmax(logits[place - 1], dim=-1)[lesson.ids[place]]) for place in range(lesson.start, len(lesson.ids))
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_are_those_of_the_answers_tokens(tmp_path: Path, family: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(save_chat_model(tmp_path / family, family)).eval()
    with torch.no_grad():
        expected = [loss for lesson in LESSONS for loss in plain(model, lesson)]
        found = answer_losses(model, collate(UNITS, pad=0, total=7))
        other_pad = answer_losses(model, collate(UNITS, pad=3, total=7))
        longer = collate(UNITS, pad=0, total=7, multiple=8)
        of_longer = answer_losses(model, longer)
    assert found.tolist() == pytest.approx(expected, abs=1e-4)
    assert of_longer.tolist() == pytest.approx(expected, abs=1e-4)
    assert torch.equal(found, other_pad), "padding is never looked at"
    assert longer.ids.shape == (len(LESSONS), -(-max(len(lesson.ids) for lesson in LESSONS) // 8) * 8)


def test_chunks_change_nothing(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(save_chat_model(tmp_path / "base")).eval()
    gradients = []
    for chunk in (2, 100):
        model.zero_grad()
        losses = answer_losses(model, collate(UNITS, pad=0, total=7), chunk)
        losses.sum().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-4)


def test_a_lesson_without_an_answer_counts_nothing(tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(save_chat_model(tmp_path / "base")).eval()
    with torch.no_grad():
        assert answer_losses(model, collate([(TokenLesson((1, 2, 3), 3),)], pad=0, total=0)).shape == (0,)


def test_gemmas_cap_on_logits_is_kept() -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    torch.manual_seed(0)
    config = Gemma2Config(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=1.5,
        initializer_range=0.5,
    )
    model = Gemma2ForCausalLM(config).eval()
    with torch.no_grad():
        expected = [loss for lesson in LESSONS for loss in plain(model, lesson)]
        found = answer_losses(model, collate(UNITS, pad=0, total=7)).tolist()
    assert found == pytest.approx(expected, abs=1e-4)


def test_preferences_are_dpos_loss_written_out(tmp_path: Path) -> None:
    policy = AutoModelForCausalLM.from_pretrained(save_chat_model(tmp_path / "policy", seed=1)).eval()
    reference = AutoModelForCausalLM.from_pretrained(save_chat_model(tmp_path / "reference", seed=2)).eval()
    units = [(LESSONS[0], LESSONS[1]), (LESSONS[2], LESSONS[0]), (TokenLesson((1, 2), 2), TokenLesson((1, 2), 2))]
    batch = collate(units, pad=0, total=2)
    with torch.no_grad():
        losses, figures = preference_losses(answer_losses(policy, batch), answer_losses(reference, batch), batch, beta=0.3)

        def log_ratio(lesson: TokenLesson) -> float:
            return sum(plain(reference, lesson)) - sum(plain(policy, lesson))

        rewards = [(0.3 * log_ratio(better), 0.3 * log_ratio(worse)) for better, worse in units[:2]]
    expected = [better - worse for better, worse in rewards]
    chosen, rejected, accuracies, margins = figures.tolist()
    assert chosen == pytest.approx([*(better for better, _ in rewards), 0.0], abs=1e-4)
    assert rejected == pytest.approx([*(worse for _, worse in rewards), 0.0], abs=1e-4)
    assert accuracies == [*(float(margin > 0) for margin in expected), 0.0]
    assert margins == pytest.approx([*expected, 0.0], abs=1e-4)
    assert losses.tolist() == pytest.approx([*(math.log1p(math.exp(-margin)) for margin in expected), 0.0], abs=1e-4)
