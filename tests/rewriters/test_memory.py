"""What the language model is told of a trajectory."""

from __future__ import annotations

import pytest

from rapo_lightning.language.answers import count_words
from rapo_lightning.rewriters.memory import conversation, describe_tries, describe_try
from rapo_lightning.templates import Template
from rapo_lightning.types import Candidate, Feedback, Prompt, Trajectory

PROMPT = Prompt.of("a red square moves left over the sea", id="p")


def tried(number: int, text: str, reward: float | None, *critiques: str, error: str | None = None) -> Candidate:
    return Candidate(
        id=f"r{number}-x",
        prompt_id="p",
        round=number,
        text=text,
        origin="rewrite" if number else "user",
        reward=reward,
        error=error,
        feedback=tuple(Feedback(judge=f"j{i}", score=0.5, critique=critique) for i, critique in enumerate(critiques)),
    )


FIRST = tried(0, PROMPT.text, 0.4, "the square is blue", "nothing moves")
SECOND = tried(1, "A red square slides left.", 0.7, "the motion is too slow")
THIRD = tried(2, "A square slides left.", None, error="the locked word 'red' is missing")


def test_the_whole_conversation() -> None:
    trajectory = Trajectory(prompt=PROMPT, candidates=(FIRST, SECOND, THIRD), best=SECOND)
    system, user = conversation(trajectory, Template.load("rewrite"), max_words=40)
    assert system["role"] == "system"
    assert user == {
        "role": "user",
        "content": """Request: a red square moves left over the sea

Tries so far:
1. "a red square moves left over the sea" score 0.40
Critique: the square is blue; nothing moves
2. "A red square slides left." score 0.70, best so far
Critique: the motion is too slow
3. "A square slides left." failed: the locked word 'red' is missing

Write one new prompt that does better than the best try. Keep everything the request asks for and mend what the critiques name. \
Describe only the video: no mention of tries, scores or critiques. At most 40 words. Answer with the prompt only.""",
    }


@pytest.mark.parametrize("name", ["rewrite", "rewrite_physics"])
def test_rule_and_locked_words_are_told_only_when_given(name: str) -> None:
    template = Template.load(name)
    plain = conversation(Trajectory(prompt=PROMPT), template, max_words=40)[-1]["content"]
    assert "rule" not in plain
    assert "Words to keep" not in plain
    ruled = Prompt.of(PROMPT.text, physical_rule="things\nfall down", locked=["red", "square"])
    told = conversation(Trajectory(prompt=ruled), template, max_words=40)[-1]["content"]
    assert f"Request: {PROMPT.text}\nPhysical rule: things fall down\nWords to keep: red, square\n\n" in told


def test_a_template_may_leave_the_optional_placeholders_out() -> None:
    template = Template.parse("{request}|{tries}", name="own")
    assert conversation(Trajectory(prompt=PROMPT), template, max_words=9) == [{"role": "user", "content": f"{PROMPT.text}|none"}]


def test_braces_and_line_breaks_in_texts_stay_text() -> None:
    odd = tried(0, "a {tries}\n\nred {square}", 0.1, "line one\nline two {x}")
    [message] = conversation(
        Trajectory(prompt=PROMPT, candidates=(odd,)), Template.parse("{request} {tries}", name="own"), max_words=9
    )
    assert message["content"].endswith('1. "a {tries} red {square}" score 0.10\nCritique: line one line two {x}')


def test_a_critique_of_several_seeds_is_told_once() -> None:
    assert describe_try(1, tried(0, "a", 0.5, "too dark", "too dark", "", "too slow")).endswith("\nCritique: too dark; too slow")


def test_why_a_try_has_no_score() -> None:
    broken = Candidate(
        id="r0-x", prompt_id="p", round=0, text="a", origin="user", feedback=(Feedback(judge="vlm", error="no answer"),)
    )
    assert describe_try(1, broken) == '1. "a" failed: no answer'
    assert describe_try(1, tried(0, "a", None)) == '1. "a" not scored'
    long = describe_try(1, tried(0, "a", None, error="word " * 500))
    assert count_words(long) < 40


def test_the_oldest_tries_shrink_first_and_only_as_far_as_needed() -> None:
    candidates = tuple(tried(n, f"text {n} " + "word " * 10, n / 10, "critique " * 5) for n in range(5))
    trajectory = Trajectory(prompt=PROMPT, candidates=candidates, best=candidates[1])
    whole = describe_tries(trajectory)
    assert whole == describe_tries(trajectory, memory_words=count_words(whole))

    shorter = describe_tries(trajectory, memory_words=count_words(whole) - 1).splitlines()
    assert shorter[0] == "1. score 0.00"
    assert shorter[1:] == whole.splitlines()[2:]

    least = describe_tries(trajectory, memory_words=1).splitlines()
    assert [line.split(" ")[0] for line in least] == ["1.", "2.", "Critique:", "3.", "4.", "5.", "Critique:"]
    assert least[1].endswith("best so far")
    assert least[3:5] == ["3. score 0.20", "4. score 0.30"]
