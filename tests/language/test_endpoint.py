"""What an endpoint's answers mean, one by one, and what is hidden of a key; no server."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.language.endpoint import Again, Secret, read_answer, seconds_to_wait, told
from rapo_lightning.types import Failure, Reply
from tests.language.fault_server import completion

KEY = "sk-sentinel-5f1c9a7e2b4d"
SECRET = Secret(key=KEY)


def read(body: Any) -> Reply | Failure:
    return read_answer(json.dumps(body).encode(), kind="application/json", secret=SECRET)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (completion("", finish="length"), "the tokens were spent before an answer began (finish_reason length)"),
        (completion(None, finish="length"), "the tokens were spent before an answer began (finish_reason length)"),
        (completion("<think>well, a ball", finish="length"), "the tokens were spent before an answer began"),
        (completion(None, refusal="I will not."), "the model refused: I will not."),
        (completion("A b", finish="content_filter"), "the answer was stopped (finish_reason content_filter)"),
        (completion(None, finish="tool_calls"), "the answer's text is null (finish_reason tool_calls)"),
        (completion(["A ball."], finish=[1]), "the answer's text is a list (finish_reason [1])"),
        (completion(7), "the answer's text is a number"),
        ({"choices": []}, "the answer has no choices"),
        ({"object": "error", "message": "no room", "code": 40303}, "the answer has no choices: no room"),
        ({"choices": "yes"}, "the answer's first choice has no message"),
        ({"choices": [None]}, "the answer's first choice has no message"),
        ({"choices": [{"message": "hello"}]}, "the answer's first choice has no message"),
        ({"error": "model\nis   loading"}, "an error in the answer: model is loading"),
        ({"error": {"message": "too long", "code": "context_length_exceeded"}}, "an error in the answer: too long"),
        ({"error": True}, "an error in the answer"),
        ([], "the answer is a list, not an object"),
        ("ok", "the answer is text, not an object"),
        (None, "the answer is null, not an object"),
    ],
)
def test_what_is_no_answer_is_a_failure(body: Any, says: str) -> None:
    answer = read(body)
    assert isinstance(answer, Failure)
    assert answer.error.startswith(says)


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'{"a": ' + b"1" * 5000 + b"}", b"data: {}\n\n"])
def test_bytes_that_are_no_json_may_be_asked_for_again(body: bytes) -> None:
    with pytest.raises(Again, match="the answer is not JSON but"):
        read_answer(body, kind="text/html", secret=SECRET)


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (completion("<think>hm</think>\n A ball.\n", tokens=9), Reply(text="A ball.", tokens=9)),
        (completion("A ball and", finish="length"), Reply(text="A ball and", tokens=5)),
        (completion(""), Reply(text="", tokens=5)),  # as a model in this process may answer
        (completion("A \ud800 ball"), Reply(text="A ? ball", tokens=5)),
        (completion("A ball.", tokens="many"), Reply(text="A ball.", tokens=0)),
        (completion("A ball.", tokens=True), Reply(text="A ball.", tokens=0)),
        (completion("A ball.", tokens=-1), Reply(text="A ball.", tokens=0)),
        (completion("A ball.") | {"usage": None}, Reply(text="A ball.", tokens=0)),
        (completion("A ball.") | {"error": None}, Reply(text="A ball.", tokens=5)),
    ],
)
def test_what_counts_as_a_reply(body: Any, reply: Reply) -> None:
    assert read(body) == reply


@pytest.mark.parametrize("code", [429, 500, "503"])
def test_the_error_of_a_busy_server_may_be_asked_for_again(code: int | str) -> None:
    with pytest.raises(Again, match="an error in the answer: wait"):
        read({"error": {"message": "wait", "code": code}})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["choices", "message", "content", "error", "finish_reason", "usage", "refusal"]), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(body=JSON | st.binary(max_size=30), first=JSON, message=JSON)
def test_nothing_that_a_server_sends_breaks_the_reader(body: Any, first: Any, message: Any) -> None:
    for sent in (body, {"choices": [first]}, {"choices": [{"message": message, "finish_reason": first}], "usage": body}):
        data = sent if isinstance(sent, bytes) else json.dumps(sent, default=str).encode()
        try:
            answer = read_answer(data, kind="text/plain", secret=SECRET)
        except Again as error:
            answer = Failure(error=str(error))
        if isinstance(answer, Reply):
            assert isinstance(answer.text, str)
            assert answer.tokens >= 0
        else:
            assert len(answer.error.splitlines()) == 1
            assert len(answer.error) < 400


@settings(max_examples=200, deadline=None)
@given(before=st.text(max_size=20), after=st.text(max_size=20), start=st.integers(0, 16), size=st.integers(8, 24))
def test_no_eight_characters_of_the_key_are_told(before: str, after: str, start: int, size: int) -> None:
    shown = SECRET.hide(f"{before}{KEY[start : start + size]}{after}")
    assert [i for i in range(len(KEY) - 7) if KEY[i : i + 8] in shown] == []


def test_the_rest_is_told_on_one_line_and_cut() -> None:
    assert SECRET.hide("a\n  b sk-abcdefgh12 Bearer tok.en c") == "a b *** *** c"
    assert len(SECRET.hide("word " * 10_000)) == 300
    assert Secret(key="EMPTY").hide("the EMPTY set") == "the EMPTY set"
    assert KEY not in repr(SECRET)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        ({"message": "too long"}, ": too long"),
        ({"detail": "not found"}, ": not found"),
        ({"detail": [{"loc": "x"}]}, ""),
        ("plain words", ": plain words"),
        ("<html>busy</html>", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_what_a_server_says_of_its_error(error: Any, says: str) -> None:
    assert told(error, SECRET) == says


@pytest.mark.parametrize("value", ["", "soon", "nan", "inf", "Sun, 99 Nov 1994"])
def test_a_time_that_cannot_be_read_is_none(value: str) -> None:
    assert seconds_to_wait({"retry-after": value}) is None
