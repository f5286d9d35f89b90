"""How replies and probabilities become scores, against the definitions written out; what cannot be read has no value."""

from __future__ import annotations

import math

import pytest

from evaluation.errors import ClipError
from evaluation.judge.base import Answer
from evaluation.judge.replies import Choice, Likert, ReplyForm, YesNo, reply_form


def logs(**probabilities: float) -> dict[str, float]:
    return {name.replace("_", " "): math.log(value) for name, value in probabilities.items()}


def refused(form: ReplyForm, answer: Answer, *, soft: bool = True) -> str:
    with pytest.raises(ClipError) as caught:
        form.read(answer, soft=soft)
    assert caught.value.code == "bad_reply"
    return str(caught.value)


@pytest.mark.parametrize(("text", "hard"), [("Yes", 1), ("no.", 0), (" **Yes**, it does", 1), ("NO\nbecause yes", 0)])
def test_yes_or_no_is_the_first_word_and_its_share(text: str, hard: float) -> None:
    found = YesNo().read(Answer(text=text, logprobs=logs(Yes=0.3, yes=0.1, _Yes=0.02, No=0.2, NO=0.05)))
    assert found.hard == hard
    assert found.score == pytest.approx(0.42 / 0.67)
    assert YesNo().read(Answer(text=text), soft=False).score is None


@pytest.mark.parametrize("text", ["", "Yesterday", "The answer is yes", "nope", "1", "?!"])
def test_what_is_neither_yes_nor_no(text: str) -> None:
    assert "neither yes nor no" in refused(YesNo(), Answer(text=text, logprobs=logs(Yes=0.5, No=0.5)))


def test_missing_probabilities_have_no_default() -> None:
    assert "no probability for no" in refused(YesNo(), Answer(text="yes", logprobs=logs(Yes=0.5)))
    assert "no probability for yes, no" in refused(YesNo(), Answer(text="yes"))
    assert "no probability for 3" in refused(Likert(2, 4), Answer(text="2", logprobs={"2": -1.0, "4": -1.0}))
    assert "no probability for B" in refused(Choice(("A", "B")), Answer(logprobs={"A": 0.0}), soft=False)
    assert "no option any" in refused(Choice(("A", "B")), Answer(logprobs={"A": -math.inf, "B": -math.inf}))


@pytest.mark.parametrize(
    ("text", "hard"),
    [
        ("4", 4),
        ("4.", 4),
        ('4, "missing": []', 4),
        ("4/5", 4),
        ("4 out of 5", 4),
        ("Score: 2", 2),
        ("**3** because 2 of them", 3),
    ],
)
def test_a_digit_and_the_mean_of_the_scale(text: str, hard: float) -> None:
    shares = {1: 0.1, 2: 0.05, 3: 0.2, 4: 0.4, 5: 0.05}
    logprobs = {str(digit): math.log(share) for digit, share in shares.items()} | {" 5": math.log(0.03)}
    found = Likert(1, 5).read(Answer(text=text, logprobs=logprobs))
    assert found.hard == hard
    total = sum(shares.values()) + 0.03
    assert found.score == pytest.approx((sum(digit * share for digit, share in shares.items()) + 5 * 0.03) / total)


@pytest.mark.parametrize(
    "text", ["", "six", "6", "0", "45", "4.5", "3-4", "3 to 4", "4/10", "4 of 10", "80%", "I rate it 4", "4 or 5", "3,5"]
)
def test_what_is_no_digit_of_the_scale(text: str) -> None:
    assert "no digit from 1 to 5" in refused(Likert(1, 5), Answer(text=text), soft=False)


def test_choices_are_weighed_among_themselves() -> None:
    answer = Answer(text="whatever", logprobs=logs(A=0.1, B=0.3, _B=0.1, C=0.2))
    found = Choice(("A", "B", "C")).read(answer)
    assert (found.score, found.hard) == (pytest.approx((0.4 * 1 + 0.2 * 2) / 0.7), 1)
    found = Choice(("A", "B", "C"), (3, 0, -1)).read(answer)
    assert (found.score, found.hard) == (pytest.approx((0.3 - 0.2) / 0.7), 0)
    assert Choice(("A", "B", "C"), (3, 0, -1)).range == (-1, 3)
    assert Choice(("A", "B", "C")).likeliest(answer) == "B"
    assert Choice(("A", "B")).read(Answer(logprobs=logs(A=0.1, B=0.1))).hard == 0


def test_forms_as_configurations_write_them() -> None:
    assert reply_form("yes_no") == YesNo()
    assert reply_form(" likert(1, 5)") == Likert(1, 5)
    assert reply_form("choice(A, B,C)") == Choice(("A", "B", "C"))
    for wrong in (
        "",
        "yes",
        "likert",
        "likert(1)",
        "likert(5,1)",
        "likert(1,10)",
        "likert(-1,3)",
        "choice",
        "choice(A)",
        "choice(A,A)",
    ):
        with pytest.raises(ValueError):  # noqa: PT011
            reply_form(wrong)
    with pytest.raises(ValueError, match="1 values for 2 options"):
        Choice(("A", "B"), (1.0,))
