"""Lessons are put as at use: what a model is taught is what Stage 1's parts and the refiners will ask."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.language import FakeLanguageModel
from rapo_lightning.retrieval.refiners import ChatRefiner
from rapo_lightning.retrieval.select import LLMSelector
from rapo_lightning.retrieval.steps import Asking, refactor
from rapo_lightning.sections_train import RefactorForm, RefineForm, SelectForm
from rapo_lightning.templates import Template
from rapo_lightning.tuning.forms import teacher
from rapo_lightning.types import Message, Prompt, PromptPair

PAIR = PromptPair(prompt="a  red ball", completion="A large red ball rolls.", rejected="A ball.")


class Listening:
    """A chat model that keeps what it is asked."""

    def __init__(self) -> None:
        self.asked: list[list[Message]] = []
        self._fake = FakeLanguageModel()

    def chat(self, conversations, **options):  # type: ignore[no-untyped-def]
        self.asked += [list(conversation) for conversation in conversations]
        return self._fake.chat(conversations, **options)


def test_refine_is_asked_as_the_refiner_asks() -> None:
    model = Listening()
    ChatRefiner(model, style="wan", max_words=50).augment([Prompt.of(PAIR.prompt)])
    form = RefineForm(task="refine", style="wan", max_words=50)
    assert teacher(form, "sft")(PAIR) == [((model.asked[0], PAIR.completion),)]
    assert teacher(RefineForm(task="refine", style="wan"), "sft")(PAIR) != teacher(form, "sft")(PAIR)
    better, worse = teacher(form, "dpo")(PAIR)[0]
    assert (better, worse) == ((model.asked[0], PAIR.completion), (model.asked[0], PAIR.rejected))


def test_refactor_is_asked_as_stage_one_asks() -> None:
    model = Listening()
    template = Template.load("refactor")
    refactor([PAIR.prompt], "Short.", template, Asking(model=model, max_new_tokens=9, seed=0))
    ((lesson,),) = teacher(RefactorForm(task="refactor", style="Short."), "sft")(PAIR)
    assert [list(lesson[0]), lesson[1]] == [model.asked[0], PAIR.completion]


def test_refactor_tells_the_style_that_lies_with_a_graph(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no captions' style"):
        teacher(RefactorForm(task="refactor", graph=str(tmp_path)), "sft")


def test_select_is_asked_in_both_orders() -> None:
    model = Listening()
    LLMSelector(model).select([Prompt.of(PAIR.prompt)], [[PAIR.completion, str(PAIR.rejected)]])
    lessons = teacher(SelectForm(task="select"), "sft")(PAIR)
    assert [(list(asked), answer) for ((asked, answer),) in lessons] == list(zip(model.asked, "AB", strict=True))
    with pytest.raises(InputError, match="has no rejected text"):
        teacher(SelectForm(task="select"), "sft")(PromptPair(prompt="a", completion="b"))
    with pytest.raises(ConfigError, match="taught by sft"):
        teacher(SelectForm(task="select"), "dpo")


def test_a_style_or_a_graph_but_not_both() -> None:
    for given in ({}, {"style": "a", "graph": "b"}):
        with pytest.raises(ValueError, match="either style"):
            RefactorForm(task="refactor", **given)
