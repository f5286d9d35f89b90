"""The rewriter with a scripted chat model: what it is shown, and what becomes of its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from rapo_lightning.errors import ConfigError, PartError
from rapo_lightning.protocols import Placeable, Rewriter
from rapo_lightning.rewriters import LLMRewriter
from rapo_lightning.types import Candidate, Failure, Feedback, Message, Prompt, Reply, Trajectory


class Scripted:
    """Gives the answers of each call in turn and keeps what it was asked."""

    def __init__(self, *calls: Sequence[str | Failure]) -> None:
        self.calls = list(calls)
        self.asked: list[list[list[Message]]] = []
        self.settings: list[dict[str, Any]] = []
        self.device = "cpu"

    def chat(self, conversations: Sequence[Sequence[Message]], **settings: Any) -> list[Reply | Failure]:
        self.asked.append([list(conversation) for conversation in conversations])
        self.settings.append(settings)
        return [answer if isinstance(answer, Failure) else Reply(text=answer, tokens=5) for answer in self.calls.pop(0)]

    def to(self, device: Any) -> Scripted:
        self.device = device
        return self


def trajectory(text: str = "a red ball", *tries: tuple[str, float, str]) -> Trajectory:
    prompt = Prompt.of(text)
    candidates = tuple(
        Candidate(
            id=f"r{n}-x",
            prompt_id=prompt.id,
            round=n,
            text=tried,
            origin="rewrite",
            reward=reward,
            feedback=(Feedback(judge="vlm", score=reward, critique=critique),),
        )
        for n, (tried, reward, critique) in enumerate(tries)
    )
    return Trajectory(prompt=prompt, candidates=candidates, best=max(candidates, key=lambda c: c.reward or 0, default=None))


def test_it_is_shown_every_earlier_text_with_its_score_and_critique() -> None:
    """The published release shows the user's prompt and the newest critique alone (defect 6)."""
    tries = [(f"ball version {n}", n / 10, f"critique number {n}") for n in range(6)]
    model = Scripted(["A red ball rolls."])
    LLMRewriter(model, max_words=33).rewrite([trajectory("a red ball", *tries)])
    [[conversation]] = model.asked
    told = "\n".join(message["content"] for message in conversation)
    for text, reward, critique in [("a red ball", "", ""), *tries]:
        assert text in told
        assert critique in told
        assert reward == "" or f'"{text}" score {reward:.2f}' in told
    assert "At most 33 words" in told


def test_one_call_for_the_whole_batch_in_order() -> None:
    model = Scripted(["Prompt: A red ball.", '"A blue ball."', Failure(error="too long")])
    rewriter = LLMRewriter(model, temperature=0.2, max_new_tokens=64, seed=7)
    assert rewriter.rewrite([trajectory("a"), trajectory("b"), trajectory("c")]) == [
        Reply(text="A red ball.", tokens=5),
        Reply(text="A blue ball.", tokens=5),
        Failure(error="too long"),
    ]
    assert model.settings == [{"max_new_tokens": 64, "temperature": 0.2, "seed": 7}]


def test_a_bad_answer_is_asked_for_once_more_with_the_reason() -> None:
    model = Scripted(["A fine ball.", "word " * 30, "By the feedback, a ball."], ["A short ball.", "A plain ball."])
    replies = LLMRewriter(model, max_words=10).rewrite([trajectory("a"), trajectory("b"), trajectory("c")])
    assert replies == [
        Reply(text="A fine ball.", tokens=5),
        Reply(text="A short ball.", tokens=10),
        Reply(text="A plain ball.", tokens=10),
    ]
    first, second = model.asked
    assert [conversation[:-2] for conversation in second] == first[1:]
    assert [message["role"] for message in second[0]] == ["system", "user", "assistant", "user"]
    assert second[0][2]["content"] == "word " * 30
    assert "it has 30 words, more than 10" in second[0][3]["content"]
    assert "it mentions the word 'feedback'" in second[1][3]["content"]
    assert model.settings[0]["temperature"] == 0.0
    assert model.settings[1]["temperature"] > 0.0


def test_two_bad_answers_are_a_failure_never_a_text() -> None:
    model = Scripted(["", "Sure!", "A ball."], ["Prompt:", Failure(error="out of memory")])
    replies = LLMRewriter(model).rewrite([trajectory("a"), trajectory("b"), trajectory("c")])
    assert replies == [
        Failure(error="the second answer cannot be used either: it holds no prompt"),
        Failure(error="out of memory"),
        Reply(text="A ball.", tokens=5),
    ]


def test_the_memory_limit_reaches_the_conversation() -> None:
    model = Scripted(["A ball."])
    tries = [("word " * 50, 0.1, "c"), ("ball two", 0.2, "c")]
    LLMRewriter(model, memory_words=20).rewrite([trajectory("a", *tries)])
    assert '1. score 0.10\n2. "ball two" score 0.20, best so far' in model.asked[0][0][-1]["content"]


def test_no_trajectories() -> None:
    assert LLMRewriter(Scripted([])).rewrite([]) == []


def test_it_keeps_the_protocols_and_moves_its_model() -> None:
    model = Scripted()
    rewriter = LLMRewriter(model)
    assert isinstance(rewriter, Rewriter)
    assert isinstance(rewriter, Placeable)
    assert rewriter.to("meta") is rewriter
    assert model.device == "meta"


def test_a_model_that_cannot_be_moved_is_left_where_it_is() -> None:
    class Endpoint:
        def chat(self, conversations: Sequence[Sequence[Message]], **settings: Any) -> list[Reply | Failure]:
            return [Reply(text="A ball.") for _ in conversations]

    assert LLMRewriter(Endpoint()).to("meta").rewrite([trajectory()]) == [Reply(text="A ball.")]


def test_wrong_arguments_are_told_at_construction() -> None:
    with pytest.raises(ConfigError, match="did you mean 'rewrite'"):
        LLMRewriter(Scripted(), template="rewrit")
    with pytest.raises(ConfigError, match="lacks"):
        LLMRewriter(Scripted(), template="merge")
    with pytest.raises(ValueError, match="temperature"):
        LLMRewriter(Scripted(), temperature=-1)
    with pytest.raises(ValueError, match="max_words"):
        LLMRewriter(Scripted(), max_words=0)


def test_a_model_that_loses_an_answer_breaks_its_contract() -> None:
    with pytest.raises(PartError, match="1 answers to 2 conversations"):
        LLMRewriter(Scripted(["A ball."])).rewrite([trajectory("a"), trajectory("b")])


def test_the_temperature_of_the_second_answer_is_never_below_the_first() -> None:
    model = Scripted([""], ["A ball."])
    LLMRewriter(model, temperature=1.2).rewrite([trajectory()])
    assert [settings["temperature"] for settings in model.settings] == [1.2, 1.2]
