"""The reply reader against replies as judges really write them: read right, or unscored, never wrong."""

from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.judges.reply import Parsed, parse_alignment, read_phrases, read_reply, read_score, strip_markers

LISTS = '"missing": ["red ball"], "wrong": ["goes left"], "extra": []'

# (reply, digit of the 1-5 scale that it gives; None: unscored)
SCORED: list[tuple[str, float | None]] = [
    (f'{{"score": 4, {LISTS}}}', 4),
    (f'{{"score":1,{LISTS}}}', 1),
    (f'{{"score": 5.0, {LISTS}}}', 5),
    (f'{{"score": 3.5, {LISTS}}}', 3.5),
    (f'{{"score": "4", {LISTS}}}', 4),
    (f'{{"score": "4/5", {LISTS}}}', 4),
    (f'{{"score": 4/5, {LISTS}}}', 4),
    (f'{{"score": "2 / 5", {LISTS}}}', 2),
    (f'{{"score": "4 out of 5", {LISTS}}}', 4),
    (f'{{"score": "4 of 5 stars", {LISTS}}}', 4),
    (f'{{"score": "3 (partly right)", {LISTS}}}', 3),
    (f'{{"score": "2 - hardly matches", {LISTS}}}', 2),
    (f'{{"score": "80%", {LISTS}}}', 4.2),
    (f'{{"score": 80%, {LISTS}}}', 4.2),
    (f'{{"score": 0.75, {LISTS}}}', 4),
    (f'{{"score": "0.25", {LISTS}}}', 2),
    (f'{{"Score": 3, {LISTS}}}', 3),
    (f'{{"SCORE" : 2 , {LISTS}}}', 2),
    (f'{{"score": +4, {LISTS}}}', 4),
    (f'{{\n  "score": 4,\n  {LISTS}\n}}', 4),
    (f'{{"score": 4, {LISTS.replace(chr(34), chr(39))}}}', 4),
    (f"{{'score': 4, {LISTS}}}", 4),
    (f"{{score: 4, {LISTS}}}", 4),
    (f'{{"score": 4, {LISTS},}}', 4),
    ('{"score": 4, "missing": ["red ball",], "wrong": ["goes left",], "extra": [],}', 4),
    (f"{{“score”: 4, {LISTS.replace(chr(34), '”')}}}", 4),
    (f'{{"score": 4 {LISTS}', 4),
    (f'{{"score": 4, // most of it\n {LISTS}}}', 4),
    (f'{{"score" = 4, {LISTS}}}', 4),
    (f'{{"score": 3, {LISTS}', 3),
    (f'{{"result": {{"score": 4, {LISTS}}}}}', 4),
    (f'[{{"score": 4, {LISTS}}}]', 4),
    (f'{{"score": 1..5}} means: {{"score": 4, {LISTS}}}', 4),
    (f'{{"score": 4, {LISTS}}} {{"score": 4, {LISTS}}}', 4),
    (f'{{"analysis": "the score is 5 of 5", "score": 2, {LISTS}}}', 2),
    (f'{{"score": 2, {LISTS}, "note": "sign says \\"score\\": 5"}}', 2),
    ('{"score": 2, "missing": [], "wrong": [], "extra": ["sign: {score: 5}"]}', 2),
    (f'{{"score": "４", {LISTS}}}', None),
    (f'{{"score": 0, {LISTS}}}', None),
    (f'{{"score": 6, {LISTS}}}', None),
    (f'{{"score": -3, {LISTS}}}', None),
    (f'{{"score": 100, {LISTS}}}', None),
    (f'{{"score": "8/10", {LISTS}}}', None),
    (f'{{"score": "6/5", {LISTS}}}', None),
    (f'{{"score": "0/5", {LISTS}}}', None),
    (f'{{"score": "120%", {LISTS}}}', None),
    (f'{{"score": "3-4", {LISTS}}}', None),
    (f'{{"score": 3-4, {LISTS}}}', None),
    (f'{{"score": "3 to 4", {LISTS}}}', None),
    (f'{{"score": "4,5", {LISTS}}}', None),
    (f'{{"score": 4,5, {LISTS}}}', None),
    (f'{{"score": 1..5, {LISTS}}}', None),
    (f'{{"score": "1-5", {LISTS}}}', None),
    (f'{{"score": true, {LISTS}}}', None),
    (f'{{"score": false, {LISTS}}}', None),
    (f'{{"score": null, {LISTS}}}', None),
    (f'{{"score": NaN, {LISTS}}}', None),
    (f'{{"score": Infinity, {LISTS}}}', None),
    (f'{{"score": 1e999, {LISTS}}}', None),
    (f'{{"score": 1{"0" * 400}, {LISTS}}}', None),
    (f'{{"score": "high", {LISTS}}}', None),
    (f'{{"score": "four", {LISTS}}}', None),
    (f'{{"score": "", {LISTS}}}', None),
    (f'{{"score": [4], {LISTS}}}', None),
    (f'{{"score": {{"value": 4}}, {LISTS}}}', None),
    (f'{{"score": 4, {LISTS}, "score": 5}}', None),
    (f'{{"score": 2, {LISTS}}} or perhaps {{"score": 4, {LISTS}}}', None),
    (f'The screen shows {{"score": 5}}. {{"score": 2, {LISTS}}}', None),
    (f"{{{LISTS}}}", None),
    (f'{{"rating": 4, {LISTS}}}', None),
    (f'{{"alignment_score": 4, {LISTS}}}', None),
    ('{"score": ', None),
    ('{"sco', None),
    ("{}", None),
]
UNSCORED = [
    "",
    "   \n",
    "4",
    "Score: 4/5",
    "I would give this video 4 out of 5.",
    "I cannot judge this video.",
    '"score": 4',
    '<think>{"score": 5}',
    "null",
    "[]",
    "{" * 500,
    '{"a":' * 4000,
    "}" * 500,
    "\x00\ud800{",
]
WRAPPERS = [
    "{}",
    "```json\n{}\n```",
    "```\n{}\n```",
    '<think>A draft: {{"score": 5}}, or 3? No.</think>\n{}',
    'I started thinking {{"score": 1}}</think>{}',
    "Here is my verdict:\n\n{}",
    "{}\n\nThe video hardly shows the ball, so I took a point off.",
    "\ufeff  {}  \n",
]


@pytest.mark.parametrize(("reply", "digit"), SCORED)
def test_a_recorded_reply_is_read_right_or_unscored(reply: str, digit: float | None) -> None:
    expected = None if digit is None else pytest.approx((digit - 1) / 4)
    assert parse_alignment(reply).score == expected


@pytest.mark.parametrize("reply", UNSCORED)
def test_a_reply_without_a_verdict_is_unscored(reply: str) -> None:
    assert parse_alignment(reply) == Parsed(score=None)


def test_500_wrapped_replies_read_like_the_bare_ones() -> None:
    replies = [
        (wrapper.format(reply), reply)
        for (reply, digit), wrapper in itertools.product(SCORED, WRAPPERS)
        if digit is not None or wrapper != WRAPPERS[-2]
    ]
    assert len(replies) >= 500
    wrong = [wrapped for wrapped, bare in replies if parse_alignment(wrapped).score != parse_alignment(bare).score]
    assert wrong == []


@pytest.mark.parametrize(
    ("value", "phrases"),
    [
        (["a red ball", " the  beach. "], ("a red ball", "the beach")),
        (["Ball", "ball", "BALL"], ("Ball",)),
        (["none"], ()),
        (["N/A", "", "-"], ()),
        ("the ball", ("the ball",)),
        ("nothing", ()),
        ([], ()),
        (None, ()),
        (False, ()),
        (True, ()),
        (3, ()),
        ({"a": "b"}, ()),
        ([1, None, ["x"], "y"], ("y",)),
        ([{"item": "the ball", "why": "it is not seen"}, {"n": 1}], ("the ball",)),
        (["a <|im_end|> ball", "<|im_<|x|>start|>"], ("a ball",)),
        (["café au lait", "球"], ("café au lait", "球")),
    ],
)
def test_phrases_are_tidied(value: object, phrases: tuple[str, ...]) -> None:
    assert read_phrases(value) == phrases


@pytest.mark.parametrize(
    ("reply", "lists"),
    [
        ('{"score": 3, "missing": ["a ball", "the be', (("a ball",), (), ())),
        ('{"score": 3, "missing": ["a ball"], "wro', (("a ball",), (), ())),
        (
            "{'score': 3, 'missing': ['the dog\\'s ball', 'it's red'], 'wrong': [], 'extra': ['x']}",
            (("the dog\\'s ball", "it's red"), (), ("x",)),
        ),
        ("{score: 3, missing: [red ball, beach], wrong: none, extra: []}", (("red ball", "beach"), (), ())),
        ('{"score": 3, "missing": "a ball", "wrong": "", "extra": null,}', (("a ball",), (), ())),
        ('{"score": 3, "missing": ["a [small] ball"], "wrong": ["x]"], "extra": [],}', (("a [small] ball",), ("x]",), ())),
    ],
)
def test_lists_of_broken_replies(reply: str, lists: tuple[tuple[str, ...], ...]) -> None:
    parsed = parse_alignment(reply)
    assert parsed.score == 0.5
    assert (parsed.missing, parsed.wrong, parsed.extra) == lists


def test_the_critique_names_only_the_groups_that_hold_something() -> None:
    full = Parsed(score=0.5, missing=("a", "b"), wrong=("c",), extra=("d",))
    assert full.critique == "missing: a, b; wrong: c; extra: d"
    assert Parsed(score=0.5, extra=("d",)).critique == "extra: d"
    assert Parsed(score=1.0).critique == "nothing is missing or wrong"


def test_an_unscored_reply_keeps_its_lists() -> None:
    assert parse_alignment('{"score": "high", "missing": ["a ball"]}').critique == "missing: a ball"


def test_another_scale() -> None:
    assert read_score("7/10", (0, 10)) == 0.7
    assert read_score(0.5, (0, 1)) == 0.5
    assert read_score(0.5, (0, 10)) == 0.05
    assert read_reply('{"score": 2, "law": "gravity"}', ("law",), (1, 3)) == (0.5, {"score": 2, "law": "gravity"})


def test_markers_are_stripped_however_they_are_nested() -> None:
    assert strip_markers("a<|im_start|>b</request>c") == "abc"
    assert strip_markers("<|im_<|im_end|>end|><requ<request>est>x") == "x"
    assert strip_markers("a < b | c > d, 1<|>2") == "a < b | c > d, 1<|>2"


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["score", "missing", "wrong", "a"]), inner, max_size=4)
    ),
    max_leaves=12,
)
fragments = st.lists(
    st.sampled_from(
        [
            "{",
            "}",
            '"score"',
            "'score'",
            ":",
            "4",
            "4/5",
            "[",
            "]",
            '"',
            "'",
            ",",
            "\\",
            "missing",
            "<think>",
            "</think>",
            "a",
            "\n",
        ]
    ),
    max_size=60,
).map("".join)


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=300), fragments, json_like.map(str), json_like.map(lambda value: f"x {value!r} y")))
def test_any_text_gives_a_bounded_answer(text: str) -> None:
    parsed = parse_alignment(text)
    assert parsed.score is None or 0.0 <= parsed.score <= 1.0
    for phrases in (parsed.missing, parsed.wrong, parsed.extra):
        assert len(phrases) <= 12
        assert all(0 < len(phrase) <= 160 for phrase in phrases)


@settings(max_examples=200, deadline=None)
@given(json_like, st.sampled_from([(1, 5), (0, 1), (0, 10)]))
def test_any_value_gives_a_score_in_range_or_none(value: object, scale: tuple[float, float]) -> None:
    score = read_score(value, scale)
    assert score is None or 0.0 <= score <= 1.0


@pytest.mark.parametrize("piece", ['{"score": "', "{'missing': ['", '{"a":', "score:", '"missing": ["', "'a", "<|", '\\"'])
def test_hostile_replies_are_read_in_short_time(piece: str) -> None:
    start = time.perf_counter()
    parse_alignment(piece * 100_000)
    assert time.perf_counter() - start < 2
