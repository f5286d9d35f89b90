"""Refiners in Stage 1's place: each style's text and limits, and what becomes of answers that cannot be used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from rapo_lightning.errors import ConfigError, PartError
from rapo_lightning.language import FakeLanguageModel, HuggingFaceChat, OpenAIChat
from rapo_lightning.language.answers import count_words
from rapo_lightning.parts import Builder
from rapo_lightning.positions import Positions, parse
from rapo_lightning.protocols import Augmenter, Placeable
from rapo_lightning.retrieval import refiners
from rapo_lightning.retrieval.refiner_styles import STYLES
from rapo_lightning.retrieval.refiners import ChatRefiner
from rapo_lightning.sections import Part
from rapo_lightning.templates import Template
from rapo_lightning.types import Candidate, Cost, Failure, Message, Prompt, Reply, candidate_id
from tests import contracts

BALL = "A red ball rolls down a grassy hill in the morning sun."


class Scripted:
    """Gives the answers of each call in turn and keeps what it was asked."""

    def __init__(self, *calls: Sequence[str | Failure | Reply]) -> None:
        self.calls = list(calls)
        self.asked: list[list[list[Message]]] = []
        self.settings: list[dict[str, Any]] = []
        self.device = "cpu"

    def chat(self, conversations: Sequence[Sequence[Message]], **settings: Any) -> list[Reply | Failure]:
        self.asked.append([list(conversation) for conversation in conversations])
        self.settings.append(settings)
        return [Reply(text=answer, tokens=5) if isinstance(answer, str) else answer for answer in self.calls.pop(0)]

    def to(self, device: Any) -> Scripted:
        self.device = device
        return self


def refined(*answers: str | Reply | Failure, request: str = "a red ball", locked: Sequence[str] = (), **arguments: Any) -> Any:
    """What becomes of one prompt, and the model, which gives these answers one after the other."""
    model = Scripted(*[[answer] for answer in answers])
    [result] = ChatRefiner(model, **arguments).augment([Prompt.of(request, locked=list(locked))])
    return result, model


def candidate(request: str, text: str, tokens: int) -> Candidate:
    return Candidate(
        id=candidate_id(0, text),
        prompt_id=Prompt.of(request).id,
        round=0,
        text=text,
        origin="refiner",
        cost=Cost(tokens=tokens),
    )


def extended(conversation: Sequence[Message]) -> str:
    """A model that keeps the request and adds to it; with one request it will not speak, another it mends when told."""
    request = re.findall(r"Request: (.*)", next(m["content"] for m in reversed(conversation) if "Request: " in m["content"]))[-1]
    if "silent" in request:
        return ""
    if "chatty" in request and "cannot be used" not in conversation[-1]["content"]:
        return f"I have made it better: {request}."
    return f"{request}, in soft morning light, seen from afar"


@pytest.mark.parametrize("style", STYLES)
def test_every_style_keeps_the_contract(style: str) -> None:
    refiner = ChatRefiner(FakeLanguageModel(extended), style=style)
    assert isinstance(refiner, Augmenter)
    prompts = [Prompt.of(text) for text in ("a red ball", "two cats sleep", "a silent room", "a chatty crowd", "snow")]
    contracts.check_augmenter(refiner, prompts)
    answers = refiner.augment(prompts)
    assert [type(answer) for answer in answers] == [Candidate, Candidate, Failure, Candidate, Candidate]
    assert {answer.origin for answer in answers if isinstance(answer, Candidate)} == {"refiner"}
    assert refiner.origin == "refiner"


@pytest.mark.parametrize("name", STYLES)
def test_every_style_says_its_limits_and_the_request_once(name: str) -> None:
    style = STYLES[name]
    result, model = refined(BALL, request="a red\nball  {words}", locked=["red ball"], style=name)
    assert isinstance(result, Candidate)
    [[conversation]] = model.asked
    last = conversation[-1]["content"]
    assert conversation[0]["role"] == "system"
    assert last.startswith("Request: a red ball {words}\nWords to keep: red ball\n")
    assert str(style.max_words) in last
    assert model.settings == [{"max_new_tokens": style.max_new_tokens, "temperature": style.temperature, "seed": 0}]
    assert sum("red ball" in message["content"] for message in conversation) == 1


def test_the_limits_are_those_published() -> None:
    wan, open_sora = STYLES["wan"], STYLES["open_sora"]
    assert (wan.max_words, wan.max_new_tokens) == (100, 512)
    assert "80 to 100 words" in refined(BALL, style="wan")[1].asked[0][0][-1]["content"]
    assert (open_sora.max_new_tokens, open_sora.temperature, open_sora.attempts) == (250, 0.01, 3)


def test_the_styles_differ_and_every_template_of_a_refiner_has_its_style() -> None:
    texts = {Template.load(style.template).hash for style in STYLES.values()}
    assert len(texts) == len(STYLES)
    assert {style.template for style in STYLES.values()} == {
        file.stem for file in (Path(refiners.__file__).parents[1] / "templates").glob("refine*.md")
    }


def test_open_soras_examples_keep_its_own_limit() -> None:
    parts = Template.load("refine_open_sora").parts
    examples = [text for role, text in parts if role == "assistant"]
    assert len(examples) >= 2
    assert all(20 < count_words(example) <= STYLES["open_sora"].max_words for example in examples)


def test_one_call_for_the_whole_batch_in_order_and_one_more_for_the_bad_answers() -> None:
    model = Scripted([BALL, "", Failure(error="down"), "word " * 30], ["Two cats on a sofa.", "A snowy road."])
    refiner = ChatRefiner(model, max_words=20, temperature=0.2, max_new_tokens=64, seed=7)
    requests = ["a red ball", "two cats", "rain", "a snowy road"]
    assert refiner.augment([Prompt.of(text) for text in requests]) == [
        candidate("a red ball", BALL, 5),
        candidate("two cats", "Two cats on a sofa.", 10),
        Failure(error="down"),
        candidate("a snowy road", "A snowy road.", 10),
    ]
    first, second = model.asked
    assert [conversation[:-2] for conversation in second] == [first[1], first[3]]
    assert second[1][-2] == {"role": "assistant", "content": "word " * 30}
    assert "it has 30 words, more than 20" in second[1][-1]["content"]
    assert "in at most 20 words" in second[1][-1]["content"]
    assert model.settings == [
        {"max_new_tokens": 64, "temperature": 0.2, "seed": 7},
        {"max_new_tokens": 64, "temperature": 0.7, "seed": 8},
    ]


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "it holds no prompt"),
        ("Sure!", "it holds no prompt"),
        ("<think>a red ball</think>", "it holds no prompt"),
        ("red ball " * 70, "it has 140 words, more than 80"),
        (Reply(text="A red ball rolls and", tokens=512), "it was cut off after 512 tokens"),
        ("I cannot help with that red ball.", "it says 'I cannot'"),
        ("I've written a red ball for you.", "it says 'I've'"),
        ("Sorry, no red ball today.", "it says 'Sorry'"),
        ("A red ball rolls. Let me know if it fits!", "it says 'Let me know'"),
        ("A red ball rolls (95 words)", "it says '95 words'"),
        ("A red ball, as the user wants.", "it says 'the user'"),
        ("A red ball that the critique asks for.", "it mentions the word 'critique'"),
    ],
)
def test_what_cannot_be_used_is_asked_for_once_more_and_then_a_failure(answer: str | Reply, fault: str) -> None:
    result, model = refined(answer, answer)
    assert isinstance(result, Failure)
    assert result.error.startswith(f"no answer of 2 can be used, the last as {fault}")
    assert fault in model.asked[1][0][-1]["content"]
    mended, _ = refined(answer, f'**Prompt:** "{BALL}"')
    assert isinstance(mended, Candidate)
    assert mended.text == BALL


@pytest.mark.parametrize(
    ("request_", "locked", "lost", "kept"),
    [
        ('a sign says "OPEN NOW"', [], "A sign says now open.", 'A neon sign that says "OPEN NOW" glows.'),
        ("7 birds on a wire", [], "Seven birds sit on a long wire.", "7 small birds sit on a long wire."),
        ("two dogs run", [], "A dog runs along the beach.", "Two dogs run along the beach."),
        ("a ball", ["Brand Zeta"], "A ball rolls along.", "A ball by Brand Zeta rolls along."),
        ("一个红球", [], "A red ball.", "一个红球滚下山坡。"),
    ],
)
def test_what_the_user_fixed_must_survive(request_: str, locked: list[str], lost: str, kept: str) -> None:
    failed, model = refined(lost, lost, request=request_, locked=locked)
    assert isinstance(failed, Failure)
    assert model.asked[1][0][-1]["content"].startswith("This cannot be used: it ")
    done, _ = refined(kept, request=request_, locked=locked)
    assert isinstance(done, Candidate)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        ("I am walking through a forest", "I am walking through a dark forest."),
        ("the user types", "The user types on a laptop at night."),
        ("a film of the score board", "A film of the score board in the rain."),
    ],
)
def test_what_the_request_says_itself_is_no_commentary(request_: str, answer: str) -> None:
    assert isinstance(refined(answer, request=request_)[0], Candidate)


def test_attempts_may_be_more_or_one() -> None:
    result, model = refined("", attempts=1)
    assert result == Failure(error="no answer of 1 can be used, the last as it holds no prompt")
    assert len(model.asked) == 1
    result, model = refined("", "", "", BALL, attempts=4, temperature=0.9)
    assert isinstance(result, Candidate)
    assert [settings["temperature"] for settings in model.settings] == [0.9] * 4
    assert len(model.asked[3][0]) == len(model.asked[0][0]) + 2


class Meanings:
    """An encoder for which equal first letters are one meaning."""

    name = "meanings"

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.nn.functional.one_hot(torch.tensor([ord(text[0]) % 128 for text in texts]), 128).float()


def test_with_an_encoder_what_the_user_says_must_survive() -> None:
    cat, hound = "a fluffy cat sleeps in the sun", "a happy doggy races over the boardwalk"
    result, _ = refined(cat, hound, request="a dog runs on a beach")
    assert result.text == cat, "nothing is known of meanings"
    result, model = refined(cat, hound, request="a dog runs on a beach", encoder=Meanings(), attempts=2)
    assert result.text == hound
    assert "This cannot be used: it lost: dog, runs, beach" in model.asked[1][0][-1]["content"]
    result, _ = refined(cat, cat, request="a dog runs on a beach", encoder=Meanings(), attempts=2)
    assert isinstance(result, Failure)
    with pytest.raises(ValueError, match="meaning is 2"):
        ChatRefiner(Scripted(), meaning=2)


def test_no_prompts_ask_nothing() -> None:
    model = Scripted()
    assert ChatRefiner(model).augment([]) == []
    assert model.asked == []


def test_a_model_that_loses_an_answer_breaks_its_contract() -> None:
    with pytest.raises(PartError, match="1 answers to 2 conversations"):
        ChatRefiner(Scripted([BALL])).augment([Prompt.of("a"), Prompt.of("b")])


def test_it_moves_its_model_where_there_is_one_to_move() -> None:
    model = Scripted()
    refiner = ChatRefiner(model)
    assert isinstance(refiner, Placeable)
    assert refiner.to("meta") is refiner
    assert model.device == "meta"
    assert ChatRefiner(FakeLanguageModel()).to("meta") is not None


def test_a_template_of_ones_own_is_asked_as_it_was_trained(tmp_path: Path) -> None:
    file = tmp_path / "mine.md"
    file.write_text("Refine: {request}", encoding="utf-8")
    result, model = refined(BALL, style=str(file))
    assert isinstance(result, Candidate)
    assert model.asked == [[[{"role": "user", "content": "Refine: a red ball"}]]]
    assert model.settings[0]["max_new_tokens"] == STYLES["plain"].max_new_tokens
    assert isinstance(refined(BALL, style="refine_wan")[0], Candidate)


@pytest.mark.parametrize(
    ("arguments", "kind", "says"),
    [
        ({"style": "wann"}, ConfigError, "no style is named 'wann', did you mean 'wan'?"),
        ({"style": "veo"}, ConfigError, "there are wan, hunyuan, hunyuan_master, open_sora_plan, open_sora, plain"),
        ({"style": "merge"}, ConfigError, "template 'merge' lacks {request}"),
        ({"style": "none.md"}, ConfigError, "none.md: No such file"),
        ({"max_words": 0}, ValueError, "must be at least 1"),
        ({"max_new_tokens": 0}, ValueError, "must be at least 1"),
        ({"attempts": 0}, ValueError, "must be at least 1"),
        ({"temperature": -0.1}, ValueError, "temperature is -0.1"),
    ],
)
def test_wrong_arguments_are_told_at_construction(arguments: dict[str, Any], kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=re.escape(says)):
        ChatRefiner(Scripted(), **arguments)


def test_the_examples_of_the_module_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is loaded: the folders hold no weights, and the server is not there."""
    files = {"prompts/open_sora_plan_refiner.md": "Refine: {request}"}
    files |= {f"ckpt/{folder}/config.json": "{}" for folder in ("Llama-3.1-8B-Instruct", "open_sora_plan_refiner")}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"^    augmenter:\n(?:    .*\n)+", refiners.__doc__ or "", re.MULTILINE)
    models = []
    for text in examples:
        positions = Positions(tmp_path / "config.yaml")
        builder = Builder(positions)
        part = builder.part(Part(**parse(text, positions)["augmenter"]), ("augmenter",), Augmenter)
        builder.finish()
        assert isinstance(part, ChatRefiner)
        models.append(type(part._language_model))
    assert models == [OpenAIChat, HuggingFaceChat]
