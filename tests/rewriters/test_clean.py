"""Cleaning of answers: a table of what language models write around a prompt, and properties that hold for any text."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.language.answers import clean, complaint, count_words

BALL = "A red ball rolls down a hill."

TABLE = [
    (BALL, BALL),
    (f"  {BALL}\n", BALL),
    ("A red ball\nrolls  down\ta hill.", BALL),
    (f"{BALL}\n\nI made the motion clearer.", BALL),
    (f"{BALL}\nNote: the hill is new.", BALL),
    (f"{BALL}\n(Explanation of changes: the hill is new.)", BALL),
    # labels
    (f"Prompt: {BALL}", BALL),
    (f"prompt:{BALL}", BALL),
    (f"New prompt: {BALL}", BALL),
    (f"Improved Prompt 2: {BALL}", BALL),
    (f"The revised video prompt: {BALL}", BALL),
    (f"**Prompt:** {BALL}", BALL),
    (f"**Prompt**: {BALL}", BALL),
    (f"Caption: {BALL}", BALL),
    (f"Prompt：{BALL}", BALL),
    ("提示词：一个红球滚下山坡。", "一个红球滚下山坡。"),
    (f"Prompt:\n{BALL}", BALL),
    (f"Prompt:\n\n{BALL}", BALL),
    (f"## Improved prompt\n\n{BALL}", BALL),
    (f"**New prompt**\n{BALL}", BALL),
    (f"Answer: Prompt: {BALL}", BALL),
    # politeness
    (f"Here is the new prompt: {BALL}", BALL),
    (f"Here's one that mends the motion:\n\n{BALL}", BALL),
    (f"Sure! Here is your prompt:\n{BALL}", BALL),
    (f"Sure!\n{BALL}", BALL),
    (f"Certainly.\n\n{BALL}", BALL),
    # quotation marks
    (f'"{BALL}"', BALL),
    (f"'{BALL}'", BALL),
    (f"“{BALL}”", BALL),
    (f"«{BALL}»", BALL),
    ("「一个红球。」", "一个红球。"),
    (f"`{BALL}`", BALL),
    (f"**{BALL}**", BALL),
    (f"*{BALL}*", BALL),
    (f'Prompt: "{BALL}"', BALL),
    (f'"Prompt: {BALL}"', BALL),
    (f'"{BALL}', BALL),
    ("'A dog's red ball rolls.'", "A dog's red ball rolls."),
    # fences and lists
    (f"```\n{BALL}\n```", BALL),
    (f"```text\n{BALL}\n```", BALL),
    (f"Here it is:\n```\n{BALL}\n```\nIt is shorter now.", BALL),
    (f"```\n{BALL}", BALL),
    (f"{BALL}\n```\n", BALL),
    (f"```{BALL}```", BALL),
    (f"1. {BALL}", BALL),
    (f"- {BALL}", BALL),
    (f"1. {BALL}\n2. A blue ball.", BALL),
    (f"- {BALL}\n- A blue ball.", BALL),
    (f"> {BALL}", BALL),
    (f'1. "{BALL}"', BALL),
    # thoughts
    (f"<think>Which hill?</think>\n\n{BALL}", BALL),
    (f"Which hill?\n</think>\n{BALL}", BALL),
    (f"<think>\n\n</think>\n\nPrompt: {BALL}", BALL),
    ("<think>Which hill? I wonder", ""),
    # what belongs to a prompt stays
    ('A sign reads "stop" by the road.', 'A sign reads "stop" by the road.'),
    ('"Stop" reads one sign, another "go"', '"Stop" reads one sign, another "go"'),
    ("A clock shows 10:30 in a hall.", "A clock shows 10:30 in a hall."),
    ("2 dogs chase 1. FC fans.", "2 dogs chase 1. FC fans."),
    ("Close-up: a red ball.", "Close-up: a red ball."),
    ("'Tis the season, snow falls.", "'Tis the season, snow falls."),
    ("A well-lit room - two chairs.", "A well-lit room - two chairs."),
    # nothing there
    ("", ""),
    ("\n \n", ""),
    ('""', ""),
    ("```\n```", ""),
    ("Prompt:", ""),
    ("Sure!", ""),
]


@pytest.mark.parametrize(("answer", "prompt"), TABLE)
def test_table(answer: str, prompt: str) -> None:
    assert clean(answer) == prompt


_PIECES = [
    "```",
    "\n",
    "<think>",
    "</think>",
    '"',
    "'",
    "“",
    "”",
    "*",
    "**",
    "Prompt:",
    "Sure!",
    "1. ",
    "- ",
    "Note:",
    " ",
    "a ball",
]


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(st.sampled_from(_PIECES), max_size=40).map("".join)))
def test_any_text_gives_one_clean_line(answer: str) -> None:
    prompt = clean(answer)
    assert prompt == " ".join(prompt.split())
    assert "<think>" not in prompt.lower()
    assert clean(prompt) == prompt


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(["a", "red", "ball", "rolls", "10:30", "well-lit,", "it's", "hill."]), min_size=1, max_size=30))
def test_a_plain_sentence_is_left_alone(words: list[str]) -> None:
    assert clean(" ".join(words)) == " ".join(words)


def test_complaints() -> None:
    assert complaint(BALL, request="a ball", max_words=7) is None
    assert complaint("", request="a ball", max_words=7) == "it holds no prompt"
    assert complaint("word " * 13, request="a ball", max_words=10) == "it has 13 words, more than 10"
    assert complaint("word " * 12, request="a ball", max_words=10) is None  # up to a quarter more is let pass


@pytest.mark.parametrize("word", ["feedback", "score", "critique", "Critiques"])
def test_mentions_are_refused_unless_the_user_spoke_of_them(word: str) -> None:
    text = f"A ball, as the {word} asked."
    assert complaint(text, request="a ball", max_words=20) == f"it mentions the word '{word.lower()}'"
    assert complaint(text, request=f"a ball and a {word}", max_words=20) is None


def test_scoring_a_goal_is_no_mention() -> None:
    assert complaint("A player scores a goal.", request="football", max_words=20) is None


@pytest.mark.parametrize(
    ("text", "words"),
    [("", 0), ("a red ball", 3), ("well-lit room", 2), ("一个红球", 4), ("一个 red ball。", 4), ("一个红球。", 4), ("ボール", 3)],
)
def test_count_words(text: str, words: int) -> None:
    assert count_words(text) == words
