"""What counts as a loss of the user's sentence, strictly and by meaning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapo_lightning.keeping import holds, lost_fixtures, script
from rapo_lightning.retrieval.guard import alternatives, losses, open_words, worked_in
from rapo_lightning.retrieval.words import count_words, stem, words

SYNONYMS = {("crimson", "red"), ("ball", "circle"), ("slides left", "moves to the left"), ("dunes", "sandy desert")}


def same(a: str, b: str) -> bool:
    return (a, b) in SYNONYMS


@pytest.mark.parametrize(
    ("request_", "text", "reasons"),
    [
        ("a red ball rolls", "In a calm valley, a shiny red ball is rolling.", []),
        ("show me a video of two dogs", "Two golden dogs in the snow", []),
        ("a dog's tail doesn't move", "the tail of a dog ... a dog's tail does not move at night", []),
        ("two dogs", "2 dogs at sunset", []),
        ("a couple of dogs", "two dogs at sunset", []),
        ("a red ball and a blue box", "a red ball at sunset", ["lost the words: blue, box"]),
        ("two dogs", "three dogs", ["lost the words: two"]),
        ("two dogs", "two hundred dogs", ["lost the words: two"]),
        ("a cat left of a dog", "a dog left of a cat", ["moved the word: left"]),
        ("a cat on a table", "a cat under a table", ["lost the words: on"]),
        ("a ball never moves", "a ball moves", ["lost the words: never"]),
        ("a ball and a ball", "a ball", ["lost the words: ball"]),
        ("两只狗在跑", "夕阳下,两只狗在雪地里跑", []),
        ("两只狗在跑", "夕阳下,三只狗在雪地里跑", ["lost the words: 两"]),
        ("zwei Hunde laufen", "zwei Katzen laufen", ["lost the words: hunde"]),
        ("a dog", "", ["the writing changed from Latin to no letters", "lost the words: dog"]),
    ],
)
def test_strict(request_: str, text: str, reasons: list[str]) -> None:
    assert losses(request_, text, mode="strict") == reasons


@pytest.mark.parametrize(
    ("request_", "text", "reasons"),
    [
        ("two dogs run", "A pair of dogs is running.", []),
        ("two dogs run", "Three dogs are running.", ["changed the number: two dogs run"]),
        ("two dogs run", "Dogs are running.", ["lost the number: two dogs run"]),
        ("two balls roll", "Two objects are in view, a circle and a circle.", []),
        ("a dog sleeps", "Three dogs sleep.", ["changed the number: a dog sleeps"]),
        ("a dog sleeps", "The dog is sleeping.", []),
        ("a red ball", "Two red lights shine on a ball.", []),
        (
            "a red ball and two blue balls",
            "Two red balls and a blue ball.",
            ["changed the number: a red ball", "changed the number: two blue balls"],
        ),
        ("twenty-two dogs", "Twenty dogs.", ["changed the number: twenty two dogs"]),
        ("12 dogs", "a dozen dogs", ["lost the numbers: 12"]),
        ('a sign "Open"', "a sign", ["lost the quoted text: Open"]),
    ],
)
def test_meaning_by_rules(request_: str, text: str, reasons: list[str]) -> None:
    assert losses(request_, text) == reasons


def test_meaning_with_a_judge_of_phrases() -> None:
    request = "show me a crimson ball that slides left over the dunes"
    said = "A sandy desert. A large red circle moves to the left."
    assert losses(request, said, same=same) == []
    assert losses(request, said.replace("sandy desert", "calm sea"), same=same) == ["lost: dunes"]
    assert losses(request, said.replace("to the left", "to the right"), same=same) == ["lost: slides left"]


def test_a_word_of_the_request_stands_for_no_other_of_its_words() -> None:
    """Cats are much like dogs; the cats that were asked for are not the dog that was."""
    assert losses("two cats and a dog", "two cats on a sofa", same=lambda a, b: "cats" in b) == ["lost: dog"]
    assert losses("two cats and a dog", "two cats and a puppy", same=lambda a, b: (a, b) == ("dog", "puppy")) == []


def test_open_words_are_what_same_is_asked_about() -> None:
    assert open_words("a red ball", "A RED ball.") == {}
    found = open_words("a red ball", "a red circle on grass")
    assert found == {"ball": ["circle", "circle on", "circle on grass", "on grass", "grass"]}
    asked: list[tuple[str, str]] = []
    losses("a red ball", "a red circle on grass", same=lambda a, b: asked.append((a, b)) or False)
    assert {b for _, b in asked} == set(found["ball"])


def test_words_that_belong_together_are_asked_about_together() -> None:
    assert list(open_words("a dot slides left over the field of grass", "x")) == ["dot", "slides left", "field of grass"]
    assert list(open_words("a field of grass", "the grass")) == ["field"]
    assert list(open_words("going left", "x")) == ["left"]


def test_a_detail_is_worked_in_when_half_of_its_new_words_are_there() -> None:
    assert worked_in("sails over the sea", "a boat", "a boat on the sea")
    assert not worked_in("sails over the sea", "a boat on the sea", "a boat on the sea bounces")
    assert not worked_in("a small purple circle", "a ball", "a ball bounces over a circle")
    assert worked_in("over there", "a ball", "a ball, as ever")


@pytest.mark.parametrize("mode", ["strict", "meaning"])
def test_what_the_user_fixed_holds_in_both_modes(mode: str) -> None:
    found = losses("a red ball", "a red ball rolls", locked=["ACME"], mode=mode)  # type: ignore[arg-type]
    assert found == ["lost the locked words: ACME"]
    assert losses("a red ball", "a red ball by ACME", locked=["acme"], mode=mode) == []  # type: ignore[arg-type]


NAMES = ["red", "blue", "dog", "cat", "two", "three", "left", "on", "tree", "house", "jumps"]
WORDS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=8)


@given(WORDS, st.data())
def test_strict_never_misses_a_dropped_word(sentence: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(sentence) - 1))
    kept = sentence[:place] + sentence[place + 1 :]
    assert losses(" ".join(sentence), " ".join([*kept, "softly"]), mode="strict")


@given(WORDS, st.data())
def test_strict_lets_new_words_in_between(sentence: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(sentence)))
    longer = [*sentence[:place], "softly", *sentence[place:]]
    assert losses(" ".join(sentence), " ".join(longer), mode="strict") == []


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_text_can_be_asked_about(request: str, text: str) -> None:
    assert losses(request, request, mode="strict") == []
    assert losses(request, request, same=same) == []
    assert all("\n" not in reason for reason in losses("two dogs", text, mode="strict"))


def test_words() -> None:
    found = words("A dozen of twenty-two dogs, 3D, 1,000 cats: two, three")
    assert [word.value for word in found if word.value] == ["12", "22", "1,000", "2", "3"]
    assert [stem(word) for word in ("goes", "going", "running", "skies", "sky", "moves", "moving", "king")] == [
        *("go", "go", "run", "ski", "ski", "mov", "mov", "king")
    ]
    assert (count_words("a red  ball"), count_words("一只 猫 ok")) == (3, 4)


def test_fixtures_are_told_one_by_one() -> None:
    assert lost_fixtures('12 "Go" signs', "знаки", locked=["red"]) == [
        "lost the locked words: red",
        "lost the quoted text: Go",
        "lost the numbers: 12",
        "the writing changed from Latin to Cyrillic",
    ]
    for quoted in ("'OPEN'", "‘OPEN’", "„OPEN“", "„OPEN”", "‹OPEN›", "says 'OPEN', twice"):
        (lost,) = lost_fixtures(f"a sign {quoted}", "a sign that reads CLOSED")
        assert lost.startswith("lost the quoted text: OPEN"), quoted
    for plain in ("the dogs' bowls and the cats' beds", "it's a dog's life, isn't it", "rock 'n roll", "5' tall", "‘tis so"):
        assert lost_fixtures(plain, "a dog of 5") == [], plain
    assert lost_fixtures("‘don’t stop’ in neon", "Don’t Stop in neon") == ["lost the quoted text: don’t stop"]
    assert lost_fixtures("a 🐶 and a 🐈\u200d⬛ ☀️", "a dog 🐈 ☀") == ["lost the symbols: 🐶 ⬛"]
    assert lost_fixtures("a 👍🏽", "a 👍") == []
    assert holds("fine 3D art", "3d")
    assert not holds("13D", "3D")
    assert script("赤い") == "Chinese or Japanese"


@pytest.mark.parametrize(
    ("detail", "other", "request_", "expected"),
    [
        ("moves to the left at a slow pace", "moves to the left at a fast pace", "a ball", True),
        ("moving up at a slow pace", "moves down at a slow pace", "a ball", True),
        ("two dogs run on grass", "three dogs run on grass", "dogs", True),
        ("a cat on a wooden table", "a cat under the wooden table", "a cat", True),
        ("一只红色的船", "一只蓝色的船", "海", True),
        ("moves to the left at a slow pace", "moves to the right at a fast pace", "a ball", False),
        ("a dog runs", "a dog barks", "a dog", False),
        ("a dog runs fast on grass", "a dog runs on grass", "a dog", False),
        ("a white dog runs on grass", "a black dog runs on grass", "a black dog and a white one", False),
        ("soft light", "golden light", "a street", False),
        ("at dusk", "at dusk", "a street", False),
        ("", "", "", False),
    ],
)
def test_details_that_are_alternatives(detail: str, other: str, request_: str, expected: bool) -> None:
    assert alternatives(detail, other, request_) == expected
