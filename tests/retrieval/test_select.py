"""Selection: both orders are asked, a tie goes to the earlier, and what cannot be read is a tie that is recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from rapo_lightning.errors import PartError
from rapo_lightning.language.fake import FakeLanguageModel
from rapo_lightning.retrieval.select import LLMSelector, Selected, label
from rapo_lightning.types import Failure, Message, Prompt, Reply

RAW, REFACTORED, NAIVE = "a red ball", "A smooth clip of a red ball rolling.", "A video of a red ball."
PROMPT = Prompt.of(RAW)


def choices(conversation: Sequence[Message]) -> tuple[str, str]:
    lines = conversation[-1]["content"].splitlines()
    a, b = (next(line[3:] for line in lines if line.startswith(f"{name}: ")) for name in "AB")
    return a, b


def prefers(rank: Callable[[str], float]) -> FakeLanguageModel:
    return FakeLanguageModel(lambda c: "A" if rank(choices(c)[0]) >= rank(choices(c)[1]) else "B")


def one(model: FakeLanguageModel, texts: Sequence[str] = (RAW, REFACTORED, NAIVE), raw: bool = True) -> Selected:
    [selected] = LLMSelector(model, raw_is_candidate=raw).select([PROMPT], [texts])
    return selected


def test_the_text_that_wins_in_both_orders_is_chosen_wherever_it_stands() -> None:
    judge = prefers(lambda text: text == REFACTORED)
    for texts in ([RAW, REFACTORED, NAIVE], [REFACTORED, RAW, NAIVE], [RAW, NAIVE, REFACTORED]):
        assert texts[one(judge, texts).index] == REFACTORED
    assert one(judge).reason == (
        "won 2 of its 2 comparisons (1 against 2: 2 is better in both orders; 1 against 3: a tie, the orders disagree; "
        "2 against 3: 2 is better in both orders)"
    )


@pytest.mark.parametrize("place", ["A", "B"])
def test_a_judge_that_favours_a_place_leaves_the_users_words(place: str) -> None:
    chosen = one(FakeLanguageModel(lambda c: place))
    assert chosen.index == 0
    assert {vote.reason for vote in chosen.votes} == {"a tie, the orders disagree"}
    assert chosen.reason.startswith(
        "won 0 of its 2 comparisons, 2 were ties, in which the earlier text stands (1 against 2: a tie"
    )


def test_each_pair_is_asked_in_both_orders_and_costs_its_tokens() -> None:
    asked: list[tuple[str, str]] = []
    chosen = one(FakeLanguageModel(lambda c: asked.append(choices(c)) or "A"))
    assert len(asked) == 6
    assert {(b, a) for a, b in asked} == set(asked)
    assert chosen.tokens == 6


def test_an_answer_that_cannot_be_read_is_a_tie_and_recorded() -> None:
    chosen = one(FakeLanguageModel(lambda c: "both are fine"))
    assert chosen.index == 0
    assert "names no single prompt: 'both are fine'" in chosen.votes[0].reason
    assert chosen.votes[0].answers == ("both are fine", "both are fine")
    failed = one(FakeLanguageModel({"nothing": "A"}))
    assert failed.index == 0
    assert "an answer failed: the fake language model has no answer" in failed.votes[0].reason


def test_a_cycle_goes_to_the_earliest() -> None:
    wins = {(RAW, REFACTORED): "A", (REFACTORED, NAIVE): "A", (NAIVE, RAW): "A"}
    judge = FakeLanguageModel(lambda c: wins.get(choices(c), "B"))
    assert one(judge).index == 0
    assert one(judge).reason.startswith("won 1 of its 2 comparisons; 2 and 3 did as well, and the earliest stands (")


def test_a_tie_is_no_win_even_where_it_decides() -> None:
    """The first ties with the second and loses to the third, the second beats the third: each stands once."""
    better = {(REFACTORED, NAIVE): "A", (NAIVE, REFACTORED): "B", (NAIVE, RAW): "A", (RAW, NAIVE): "B"}
    chosen = one(FakeLanguageModel(lambda c: better.get(choices(c), "A")))
    assert (chosen.index, [vote.tie for vote in chosen.votes]) == (0, [True, False, False])
    assert chosen.reason.startswith(
        "won 0 of its 2 comparisons, 1 was a tie, in which the earlier text stands; 2 and 3 did as well, and the earliest stands"
    )
    later = one(FakeLanguageModel(lambda c: better.get(choices(c), "A")), [REFACTORED, NAIVE, RAW], raw=False)
    assert later.reason == "won 1 of its 1 comparisons (1 against 2: 1 is better in both orders)"


def test_the_raw_prompt_can_be_left_out() -> None:
    judge = prefers(lambda text: text == RAW)
    assert one(judge).index == 0
    assert one(judge, raw=False).index == 1
    assert one(judge, [RAW], raw=False).index == 0


def test_equal_texts_are_asked_about_once() -> None:
    chosen = one(prefers(lambda text: text != RAW), [RAW, NAIVE, f" {NAIVE.upper()}"])
    assert (chosen.index, len(chosen.votes)) == (1, 1)
    assert one(FakeLanguageModel(lambda c: "A"), [RAW]).reason == "nothing to compare it with"


def test_prompts_together_and_alone() -> None:
    judge = prefers(len)
    prompts = [PROMPT, Prompt.of("two cats"), Prompt.of("rain")]
    texts = [[RAW, REFACTORED], ["two cats", "cats", "two grey cats sleep"], ["rain"]]
    together = LLMSelector(judge).select(prompts, texts)
    assert [chosen.index for chosen in together] == [1, 2, 0]
    assert together == [LLMSelector(judge).select([p], [t])[0] for p, t in zip(prompts, texts)]
    assert LLMSelector(judge).select([], []) == []


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        *(("A", "A"), (" b.\n", "B"), ("**A**", "A"), ("A: it keeps the ball", "A"), ("Answer: B", "B"), ("(A)", "A")),
        *(("The better prompt is B.", "B"), ("B is better.", "B"), ("Prompt A", "A"), ("I choose A", "A"), ("A\nbecause", "A")),
        *(("A red ball rolls.", None), ("", None), ("C", None), ("neither", None), ("A is good, but B is better", None)),
        *(("The answer is A. The answer is B.", None), ("Both A and B", None), ("AB", None)),
    ],
)
def test_labels(answer: str, expected: str | None) -> None:
    assert label(answer) == expected


def test_a_model_that_loses_answers_and_bad_calls_are_refused() -> None:
    class Short:
        def chat(self, conversations: Sequence[Sequence[Message]], **settings: object) -> list[Reply | Failure]:
            return [Reply(text="A")]

    with pytest.raises(PartError, match="1 answers to 2"):
        LLMSelector(Short()).select([PROMPT], [[RAW, NAIVE]])
    with pytest.raises(ValueError, match="one or more"):
        LLMSelector(FakeLanguageModel()).select([PROMPT], [[]])
