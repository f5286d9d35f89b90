"""Stage 1 whole: the user's sentence survives every step, failures are data, and no answer depends on the batch."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapo_lightning.language.fake import FakeLanguageModel
from rapo_lightning.language.fake_encoder import FakeTextEncoder
from rapo_lightning.protocols import Augmenter, Placeable
from rapo_lightning.retrieval.augment import RAPOAugmenter
from rapo_lightning.retrieval.augmentation import Augmentation
from rapo_lightning.retrieval.graph import RelationGraph
from rapo_lightning.retrieval.guard import losses
from rapo_lightning.retrieval.store import save_graph, save_style
from rapo_lightning.retrieval.style import profile
from rapo_lightning.types import Candidate, Failure, Message, Prompt
from tests.contracts import check_augmenter, check_placeable

ENCODER = FakeTextEncoder()
TEXTS = {
    "scene": ["a calm sea"],
    "subject": ["a red boat"],
    "action": ["sails over the sea"],
    "atmosphere": ["at sunset over the sea"],
}
PROMPT = Prompt.of("a red boat sails over the sea")
PROMPTS = [PROMPT, Prompt.of("two cats sleep"), Prompt.of("A calm  sea\n"), Prompt.of("boat", locked=["boat"])]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph of one scene, told once of each of its three modifiers."""
    path = tmp_path_factory.mktemp("graph") / "sea"
    graph = RelationGraph.of(
        texts=TEXTS,
        x={kind: ENCODER.encode(texts) for kind, texts in TEXTS.items()},
        occurrence={kind: torch.zeros(2, 1, dtype=torch.int64) for kind in TEXTS},
        captions=1,
        encoder=ENCODER.name,
    )
    save_graph(graph, path)
    save_style(path, profile(["A quiet clip of a boat on the sea at dusk, in long shot, filmed slowly."]))
    return path


def fields(conversation: Sequence[Message]) -> dict[str, str]:
    found = re.findall(r"^(\w+): (.*?)(?=\n\w+: |\n\n|\Z)", conversation[-1]["content"], re.MULTILINE | re.DOTALL)
    return dict(found)


def model(
    merge: Callable[[str, str], str] = lambda body, detail: f"{body.rstrip('. ')}, {detail}.",
    refactor: Callable[[str], str] = lambda text: f"A quiet clip of {text}",
    naive: Callable[[str], str] = lambda text: f"A video of {text}",
    select: Callable[[str, str], str] = lambda a, b: "A" if len(a) > len(b) else "B",
    asked: list[dict[str, str]] | None = None,
) -> FakeLanguageModel:
    def answer(conversation: Sequence[Message]) -> str:
        found = fields(conversation)
        if asked is not None:
            asked.append(found)
        if "Detail" in found:
            return merge(found["Description"], found["Detail"])
        if "A" in found:
            return select(found["A"], found["B"])
        return naive(found["Request"]) if "Request" in found else refactor(found["Description"])

    return FakeLanguageModel(answer)


def augmenter(folder: Path, language_model: FakeLanguageModel, **options: object) -> RAPOAugmenter:
    return RAPOAugmenter(folder, ENCODER, language_model, **{"threshold": 0.1, **options})  # type: ignore[arg-type]


def explained(folder: Path, language_model: FakeLanguageModel, prompt: Prompt = PROMPT, **options: object) -> Augmentation:
    [one] = augmenter(folder, language_model, **options).explain([prompt])
    return one


def test_it_keeps_the_contract_of_its_seam(folder: Path) -> None:
    part = augmenter(folder, model())
    assert isinstance(part, Augmenter)
    assert isinstance(part, Placeable)
    assert [type(answer) for answer in part.augment(PROMPTS)] == [Candidate] * 4
    check_augmenter(part, PROMPTS)
    check_placeable(part, lambda: check_augmenter(part, PROMPTS))


def test_prompts_together_and_alone_differ_in_nothing(folder: Path) -> None:
    part = augmenter(folder, model(merge=dropping(3)))
    assert part.explain(PROMPTS) == [part.explain([prompt])[0] for prompt in PROMPTS]


def test_one_modifier_a_call_in_descending_similarity_from_the_users_own_bytes(folder: Path) -> None:
    asked: list[dict[str, str]] = []
    prompt = Prompt.of("the red  sea\nsails")
    one = explained(folder, model(asked=asked), prompt, modifiers=4)
    merges = [call for call in asked if "Detail" in call]
    assert [call["Detail"] for call in merges] == [item.modifier.text for item in one.retrieved]
    assert [item.similarity for item in one.retrieved] == sorted((i.similarity for i in one.retrieved), reverse=True)
    assert len(merges) == 4
    assert merges[0]["Description"] == prompt.text == one.merged.steps[0].before
    assert [call["Description"] for call in merges[1:]] == [step.after for step in one.merged.steps[:-1]]


def test_a_modifier_that_is_said_already_costs_no_call(folder: Path) -> None:
    asked: list[dict[str, str]] = []
    one = explained(folder, model(asked=asked), Prompt.of("a red boat"))
    assert "a red boat" not in [call.get("Detail") for call in asked]
    assert "merging 'a red boat': the text says it already" in one.undone


def test_of_two_paces_one_is_merged_and_the_other_costs_no_call(tmp_path: Path) -> None:
    texts = {**TEXTS, "action": ["sails over the sea at a slow pace", "sails over the sea at a fast pace", "sails over waves"]}
    graph = RelationGraph.of(
        texts=texts,
        x={kind: ENCODER.encode(own) for kind, own in texts.items()},
        occurrence={kind: torch.tensor([[*range(len(own))], [0] * len(own)]) for kind, own in texts.items()},
        captions=1,
        encoder=ENCODER.name,
    )
    save_graph(graph, tmp_path / "g")
    asked: list[dict[str, str]] = []
    one = explained(tmp_path / "g", model(asked=asked), kinds=("action",), threshold=-1.0)
    paces = [call["Detail"] for call in asked if call.get("Detail", "").endswith("pace")]
    assert len(paces) == 1
    (undone,) = [step for step in one.merged.steps if step.undone]
    assert undone.modifier.text in {*texts["action"][:2]} - {*paces}
    assert undone.undone == f"{paces[0]!r} is merged, which it repeats or contradicts"
    lost = explained(tmp_path / "g", model(merge=lambda body, detail: "" if "pace" in detail else body), kinds=("action",))
    assert [step.undone for step in lost.merged.steps if "pace" in step.modifier.text].count(undone.undone) == 0


def test_without_modifiers_merged_is_the_prompt(folder: Path) -> None:
    for options in ({"threshold": 1.0}, {"retrieve": False}, {"merge": False}):
        one = explained(folder, model(), **options)
        assert (one.merged.text, one.merged.steps) == (PROMPT.text, ())
        assert isinstance(one.candidate(), Candidate)
    assert explained(folder, model(), merge=False).retrieved


def dropping(seed: int, share: float = 0.15) -> Callable[[str, str], str]:
    """Merges, but loses words at random, the same ones for the same sentence."""

    def merge(body: str, detail: str) -> str:
        chance = random.Random(f"{seed} {body} {detail}")
        return " ".join([*(word for word in body.split() if chance.random() > share), "with", detail])

    return merge


WORDS = ["two", "three", "red", "small", "cats", "dog", "boat", "sea", "runs", "left", "over", "sunset", "a", "the", '"Hi"', "7"]


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=9), st.integers(0, 9))
def test_the_users_sentence_survives_a_model_that_drops_words(folder: Path, words: list[str], seed: int) -> None:
    prompt = Prompt.of(" ".join(words))
    one = explained(folder, model(merge=dropping(seed)), prompt, threshold=-1.0, refactor=False, naive=False)
    text = prompt.text
    for step in one.merged.steps:
        assert step.before == text
        assert (step.undone is None) == (step.after == step.answer != "")
        text = step.after
    assert one.merged.text == text
    assert losses(prompt.text, text, mode="strict") == []
    assert len(one.merged.modifiers) == sum(step.undone is None for step in one.merged.steps)


def test_the_dropping_model_is_seen_to_be_undone_and_kept(folder: Path) -> None:
    prompts = [Prompt.of(f"a red boat {n} sails over the sea") for n in range(40)]
    steps = [s for one in augmenter(folder, model(merge=dropping(1))).explain(prompts) for s in one.merged.steps]
    assert {step.undone is None for step in steps} == {True, False}
    assert any("lost the words" in (step.undone or "") for step in steps)


def test_a_merge_that_grows_too_long_is_empty_or_adds_nothing_is_undone(folder: Path) -> None:
    cases = {
        "it added nothing": lambda body, detail: body,
        "it left the detail out": lambda body, detail: f"{body}, bouncing up and down",
        "more than 29": lambda body, detail: f"{body} {detail} " + "and so on " * 12,
        "it holds no prompt": lambda body, detail: "  ",
    }
    prompt = Prompt.of("a boat at sea")
    for reason, merge in cases.items():
        one = explained(folder, model(merge=merge), prompt)
        assert one.merged.text == prompt.text
        assert reason in (one.merged.steps[0].undone or ""), reason
    labelled = explained(folder, model(merge=lambda body, detail: f'Sure! Here is it:\n\n"{body} {detail}"'), prompt)
    assert labelled.merged.steps[0].answer == f"{prompt.text} {labelled.retrieved[0].modifier.text}"


def test_the_candidate_names_what_is_in_it(folder: Path) -> None:
    losing = "a red boat"
    one = explained(
        folder, model(merge=lambda body, detail: detail if detail == losing else f"{body}, {detail}"), Prompt.of("sea")
    )
    answer = one.candidate()
    assert isinstance(answer, Candidate)
    assert (answer.origin, answer.round, answer.error, one.branch) == ("rapo", 0, None, "refactored")
    assert answer.modifiers == tuple(item.modifier for item in one.retrieved if item.modifier.text != losing) != ()
    assert answer.text == f"A quiet clip of {one.merged.text}"
    naive = explained(folder, model(select=lambda a, b: "A" if a.startswith("A video") else "B")).candidate()
    assert isinstance(naive, Candidate)
    assert (naive.text, naive.modifiers) == (f"A video of {PROMPT.text}", ())


def test_tokens_of_every_answer_are_counted(folder: Path) -> None:
    one = explained(folder, model(), threshold=1.0)
    words = len(f"A quiet clip of {PROMPT.text}".split()) + len(f"A video of {PROMPT.text}".split())
    assert one.tokens == words + 6  # three pairs in two orders, one word each
    answer = one.candidate()
    assert isinstance(answer, Candidate)
    assert answer.cost.tokens == one.tokens


def test_a_refactoring_that_loses_something_falls_back_to_the_merged_text(folder: Path) -> None:
    for refactor in (lambda text: "Three boats.", lambda text: "a sail " * 80, lambda text: "", lambda text: PROMPT.text):
        one = explained(folder, model(refactor=refactor), naive=False)
        assert one.branch == "merged", one
        assert one.text == one.merged.text
        assert one.refactored is not None
        assert one.refactored.undone


def test_meaning_is_compared_by_the_encoder(folder: Path) -> None:
    def lost(text: str, meaning: float | None) -> str | None:
        one = explained(folder, model(refactor=lambda _: text), meaning=meaning, threshold=1.0, naive=False)
        assert one.refactored is not None
        return one.refactored.undone

    assert lost("A quiet clip: a red boat sails over the sea.", 0.7) is None
    assert lost("A quiet clip: a red boat over the sea.", 0.7) == "lost: sails"
    assert lost("A quiet clip: a red boat over the sea.", None) is None
    assert lost("A quiet clip: a red boat over the sea.", -1.0) is None


def test_locked_words_hold_after_each_step(folder: Path) -> None:
    prompt = Prompt.of("a red boat sails", locked=["red boat"])
    one = explained(
        folder,
        model(
            merge=lambda body, detail: body.replace("red boat", "red old boat") + f", {detail}",
            naive=lambda _: "A red ship sails",
        ),
        prompt,
        meaning=None,
    )
    assert one.merged.text == prompt.text
    reasons = {step.undone for step in one.merged.steps} - {"the text says it already"}
    assert reasons == {"lost the locked words: red boat"}
    assert one.naive is not None
    assert one.naive.undone == "lost the locked words: red boat"
    assert one.branch == "refactored"


def test_when_the_users_own_words_win_the_candidate_says_so(folder: Path) -> None:
    answer = explained(folder, model(select=lambda a, b: "A"))
    assert answer.branch == "raw"
    candidate = answer.candidate()
    assert isinstance(candidate, Candidate)
    assert (candidate.text, candidate.modifiers) == (PROMPT.text, ())
    assert candidate.error == "the selection kept the user's own words"
    assert explained(folder, model(select=lambda a, b: "A"), raw_is_candidate=False).branch == "refactored"
    assert explained(folder, model(), select=False, refactor=False, merge=False).branch == "naive"


def test_when_every_step_fails_the_answer_is_a_failure_and_the_others_live(folder: Path) -> None:
    class Down:
        def chat(self, conversations: Sequence[Sequence[Message]], **options: object) -> list[object]:
            fine = model().chat(conversations)
            return [Failure(error="down") if "cats" in str(c) else answer for c, answer in zip(conversations, fine)]

    part = augmenter(folder, Down())  # type: ignore[arg-type]
    answers = part.augment(PROMPTS)
    assert [type(answer) for answer in answers] == [Candidate, Failure, Candidate, Candidate]
    assert answers[1] == Failure(error="refactoring: down; naive rewrite: down")
    assert explained(folder, model(), retrieve=False, refactor=False, naive=False).candidate() == Failure(
        error="no modifier was found, and no other step was asked for"
    )


def test_other_models_can_refactor_and_select(folder: Path) -> None:
    one = explained(
        folder,
        model(),
        refactorer=FakeLanguageModel(lambda c: f"A long shot of {fields(c)['Description']}"),
        selector_model=FakeLanguageModel(lambda c: "A" if fields(c)["A"].startswith("A long shot") else "B"),
    )
    assert (one.text or "").startswith("A long shot of a red boat")


def test_the_style_is_the_graphs_unless_another_is_given(folder: Path) -> None:
    asked: list[dict[str, str]] = []
    augmenter(folder, model(asked=asked)).explain([PROMPT])
    assert {call["Style"] for call in asked if "Style" in call} == {profile([style_caption()]).describe()}
    asked.clear()
    augmenter(folder, model(asked=asked), style="Like a diary.").explain([PROMPT])
    assert {call["Style"] for call in asked if "Style" in call} == {"Like a diary."}


def style_caption() -> str:
    return "A quiet clip of a boat on the sea at dusk, in long shot, filmed slowly."


def test_bad_arguments_are_refused_and_nothing_loads_before_it_is_needed(tmp_path: Path) -> None:
    part = augmenter(tmp_path / "none", model())
    assert part.augment([]) == []
    for options in ({"scenes": 0}, {"max_words": 0}, {"threshold": 2.0}, {"merge": False, "refactor": False, "naive": False}):
        with pytest.raises(ValueError, match=r"at least 1|cosines|nothing would be written"):
            augmenter(tmp_path, model(), **options)
