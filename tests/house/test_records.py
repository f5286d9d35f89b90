"""Records: exact round trips, torn ends at every byte, refusals that name file and line."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rapo_lightning import records
from rapo_lightning.errors import RecordError, StorageError
from rapo_lightning.types import Candidate, Cost, Feedback, Modifier, Prompt, Video

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
finite = st.floats(allow_nan=False, allow_infinity=False)
modifiers = st.builds(Modifier, text=text, kind=st.sampled_from(["scene", "subject", "action", "atmosphere"]))
videos = st.builds(
    Video, path=text, seed=st.integers(0, 2**32), frames=st.integers(1, 99), fps=finite, height=st.integers(), width=st.integers()
)
details = st.dictionaries(text, json_values, max_size=3)
feedback = st.builds(
    Feedback, judge=text, score=st.floats(0, 1), critique=text, details=details, seed=st.none() | st.integers()
) | (st.builds(Feedback, judge=text, error=text, details=details))
candidates = st.builds(
    Candidate,
    id=text,
    prompt_id=text,
    round=st.integers(0, 9),
    text=text,
    origin=st.sampled_from(["user", "rapo", "refiner", "rewrite"]),
    parent=st.none() | text,
    modifiers=st.lists(modifiers, max_size=2).map(tuple),
    videos=st.lists(videos, max_size=2).map(tuple),
    feedback=st.lists(feedback, max_size=2).map(tuple),
    reward=st.none() | finite,
    cost=st.builds(Cost, seconds=finite, tokens=st.integers(0)),
    error=st.none() | text,
)
A = Candidate(
    id="r0-a",
    prompt_id="p",
    round=0,
    text='a "réd" ball\u2028',
    origin="user",
    modifiers=(Modifier(text="at night", kind="atmosphere"),),
    videos=(Video(path="v.mp4", seed=7, frames=17, fps=8.0, height=64, width=64),),
    feedback=(Feedback(judge="j", score=0.25, details={"raw": [1, None]}), Feedback(judge="k", error="lost")),
    reward=0.25,
    cost=Cost(seconds=0.1, tokens=3),
)
B = replace(A, id="r1-b", round=1, origin="rewrite", parent="r0-a", text="größer\n")


@settings(max_examples=300, deadline=None)
@given(record=candidates)
def test_a_candidate_comes_back_exactly(record: Candidate) -> None:
    line = records.encode(record)
    assert "\n" not in line
    back = records.decode(line, Candidate)
    assert back == record
    assert records.encode(back) == line


@settings(max_examples=100, deadline=None)
@given(context=details)
def test_a_prompt_comes_back_exactly(context: dict[str, Any]) -> None:
    prompt = Prompt(id="p-1", text="a ball", context=context)
    assert records.decode(records.encode(prompt), Prompt) == prompt


@settings(max_examples=300, deadline=None)
@given(line=st.binary(max_size=60) | st.text(max_size=60) | json_values.map(json.dumps))
def test_any_line_is_a_record_or_a_record_error(line: bytes | str) -> None:
    with pytest.raises(RecordError):
        records.decode(line, Candidate)


def test_the_schema_is_the_name_and_the_version() -> None:
    @dataclass(frozen=True)
    class PromptPair:
        SCHEMA_VERSION = 3
        prompt: str

    assert records.schema(Candidate) == "candidate/1"
    assert records.schema(PromptPair) == "prompt_pair/3"
    assert json.loads(records.encode(A))["schema"] == "candidate/1"


def test_a_log_cut_at_every_byte_of_its_last_two_records_loses_only_the_torn_one(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    for record in (A, B, A):
        records.append(log, record)
    whole = log.read_bytes()
    first, second, third = whole.splitlines(keepends=True)
    assert first == third
    for cut in range(len(first), len(whole) + 1):
        log.write_bytes(whole[:cut])
        # A record is whole once its closing brace is there, with or without the line end.
        kept = 1 + (cut >= len(first) + len(second) - 1) + (cut >= len(whole) - 1)
        assert list(records.read(log, Candidate)) == [A, B, A][:kept]
        records.append(log, B)
        assert list(records.read(log, Candidate)) == [*[A, B, A][:kept], B]
        assert log.read_bytes().count(b"\n") == kept + 1


def test_a_log_torn_in_its_only_record_is_empty(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_bytes(records.encode(A).encode()[:-1])
    assert list(records.read(log, Candidate)) == []
    records.append(log, B)
    assert list(records.read(log, Candidate)) == [B]


def test_a_torn_record_longer_than_one_block_is_removed(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records.append(log, A)
    with log.open("a", encoding="utf-8") as file:
        file.write(records.encode(replace(A, text="é" * 200_000))[:-1])
    records.append(log, B)
    assert list(records.read(log, Candidate)) == [A, B]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "Expecting property name"),
        ("", "Expecting value"),
        ("[1]", "not a JSON object"),
        (records.encode(Prompt.of("a ball")), "schema 'prompt/1' where 'candidate/1' was expected"),
        (records.encode(A).replace("candidate/1", "candidate/2"), "written by a newer release"),
        (records.encode(A).replace("candidate/1", "candidate/0"), "not known"),
        (records.encode(A).replace("candidate/1", "candidate"), "was expected"),
        (records.encode(A).replace('"parent": null, ', ""), "parent"),
        (records.encode(A).replace('"kind"', '"colour": 1, "kind"'), "modifiers.0.colour"),
        (records.encode(A).replace('"round": 0', '"round": "0"'), "round: Input should be a valid integer"),
        (records.encode(A).replace('"round": 0', '"round": true'), "round: Input should be a valid integer"),
        (records.encode(A).replace('"reward": 0.25', '"reward": NaN'), "NaN is no number"),
        (records.encode(A).replace('"reward": 0.25', '"reward": 1e999'), "1e999 is no number"),
        (records.encode(A).replace('"score": 0.25', '"score": 1.25'), "outside"),
        ('{"schema": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_line_in_the_middle_is_named(tmp_path: Path, line: str, message: str) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f"{records.encode(A)}\n{line}\n{records.encode(A)}\n", encoding="utf-8")
    read = records.read(log, Candidate)
    assert next(read) == A
    with pytest.raises(RecordError) as caught:
        next(read)
    assert str(caught.value).startswith(f"{log}:2: ")
    assert message in str(caught.value)


def test_a_broken_last_line_that_was_ended_is_no_torn_line(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text(f'{records.encode(A)}\n{{"schema"\n', encoding="utf-8")
    with pytest.raises(RecordError, match=r"log\.jsonl:2: "):
        list(records.read(log, Candidate))


@pytest.mark.parametrize("value", [math.nan, math.inf, object(), b"bytes", "\ud800", {1, 2}])
def test_what_json_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path, value: object) -> None:
    log = tmp_path / "log.jsonl"
    records.append(log, A)
    with pytest.raises(RecordError, match="cannot be written as JSON"):
        records.append(log, replace(A, feedback=(Feedback(judge="j", score=1.0, details={"value": value}),)))
    assert list(records.read(log, Candidate)) == [A]


def test_a_write_that_fails_leaves_the_log_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "log.jsonl"
    records.append(log, A)
    before = log.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match=r"log\.jsonl: cannot be written: No space left on device"):
        records.append(log, B)
    assert log.read_bytes() == before


def test_a_missing_log_is_a_record_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file"):
        list(records.read(tmp_path / "none.jsonl", Candidate))


def test_append_and_write_make_the_folder(tmp_path: Path) -> None:
    records.append(tmp_path / "a" / "log.jsonl", A)
    records.write(tmp_path / "b" / "best.jsonl", iter([A, B]))
    assert list(records.read(tmp_path / "a" / "log.jsonl", Candidate)) == [A]
    assert list(records.read(tmp_path / "b" / "best.jsonl", Candidate)) == [A, B]
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["best.jsonl"]


def test_a_failed_replacement_keeps_the_old_file_and_leaves_nothing_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "best.jsonl"
    records.write_text_atomic(file, "old\n")

    def denied(self: Path, target: Path) -> None:
        raise OSError(13, "Permission denied")

    monkeypatch.setattr(Path, "replace", denied)
    with pytest.raises(StorageError, match="Permission denied"):
        records.write_text_atomic(file, "new\n")
    assert file.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_folder_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        records.append(tmp_path, A)
    with pytest.raises(StorageError, match="cannot be written"):
        records.write_text_atomic(tmp_path, "text")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=st.lists(candidates, max_size=4))
def test_a_written_file_reads_back(tmp_path: Path, log: list[Candidate]) -> None:
    records.write(tmp_path / "log.jsonl", log)
    assert list(records.read(tmp_path / "log.jsonl", Candidate)) == log
