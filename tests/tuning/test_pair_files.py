"""Pairs from files: this suite's records and TRL's columns, errors with file and row, a split that leaks no prompt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.tuning.pair_files import read_pairs, split, unique
from rapo_lightning.types import PromptPair


def pair(prompt: str, completion: str = "a clip", rejected: str | None = None) -> PromptPair:
    return PromptPair(prompt=prompt, completion=completion, rejected=rejected)


def write(path: Path, *rows: Any) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_records_are_read(tmp_path: Path) -> None:
    pairs = [pair("a"), pair("b", "c", "d")]
    records.write(tmp_path / "pairs.jsonl", pairs)
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs


def test_columns_of_trl_are_read_from_jsonl_and_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    rows = [{"prompt": "a", "chosen": "b", "rejected": "c", "margin": 2}, {"prompt": "d", "chosen": "e", "rejected": "f"}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "pairs.parquet")
    expected = [pair("a", "b", "c"), pair("d", "e", "f")]
    assert read_pairs(write(tmp_path / "pairs.jsonl", *rows)) == expected
    assert read_pairs(tmp_path / "pairs.parquet") == expected


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"prompt": "a"}, "completion or chosen is missing"),
        ({"prompt": "a", "completion": " "}, "completion or chosen must be text that is not empty"),
        ({"prompt": [{"role": "user", "content": "a"}], "completion": "b"}, "prompt must be text .* conversational form"),
        ({"prompt": "a", "completion": "b", "rejected": 3}, "rejected must be text"),
        ([1], "not an object"),
    ],
)
def test_a_bad_row_is_named(tmp_path: Path, row: Any, says: str) -> None:
    path = write(tmp_path / "pairs.jsonl", {"prompt": "a", "completion": "b"}, row)
    with pytest.raises(InputError, match=rf"pairs\.jsonl:2: {says}"):
        read_pairs(path)


@pytest.mark.parametrize(
    ("content", "says"), [(b"", "holds no pairs"), (b"\n\n", "holds no pairs"), (b"{", ":1: "), (b'{"prompt": "\xff"}', ":1: ")]
)
def test_files_that_hold_no_pairs(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=says):
        read_pairs(path)
    with pytest.raises(InputError, match="no such file"):
        read_pairs(tmp_path / "missing.jsonl")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match="cannot be read"):
        read_pairs(tmp_path / "broken.parquet")


def test_repeated_pairs_count_once() -> None:
    pairs = [pair("a"), pair("b"), pair("A ", "A clip"), pair("a", "another"), pair("a", "a clip", "worse")]
    assert unique(pairs) == [pairs[0], pairs[1], pairs[3], pairs[4]]


def test_no_prompt_is_on_both_sides_and_each_keeps_its_side() -> None:
    pairs = [pair(f"prompt {number // 2}", f"text {number}") for number in range(400)]
    learn, validate = split(pairs, 0.2, seed=0)
    assert not {one.prompt for one in learn} & {one.prompt for one in validate}
    assert 20 <= len({one.prompt for one in validate}) <= 60
    assert set(split(pairs[:100], 0.2, seed=0)[1]) <= set(validate)
    assert split(pairs, 0.2, seed=1)[1] != validate
    assert split(pairs, 0.0, seed=0) == (pairs, [])


def test_neither_side_is_empty_where_there_are_two_prompts() -> None:
    for seed in range(40):
        for share in (0.05, 0.95):
            learn, validate = split([pair("a"), pair("a", "another"), pair("b")], share, seed)
            assert learn
            assert validate
            assert not {one.prompt for one in learn} & {one.prompt for one in validate}
    assert split([pair("a")], 0.05, seed=0) in (([pair("a")], []), ([], [pair("a")]))


def test_a_file_to_validate_on_may_be_empty(tmp_path: Path) -> None:
    (tmp_path / "validation.jsonl").write_text("")
    assert read_pairs(tmp_path / "validation.jsonl", may_be_empty=True) == []
