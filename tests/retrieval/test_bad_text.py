"""Captions that are missing, empty or no text at all: refused by file and row, each for what it is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.captions.ingest import Skipped, open_captions
from rapo_lightning.types import CaptionPhrases

HEADER = "Input,Output,verb_obj_word,scenario_word,place"
GOOD = "a man walks,raw,['walking'],['calm'],['a park']"
IS_GOOD = CaptionPhrases(caption="a man walks", scenes=("a park",), actions=("walking",), atmosphere=("calm",))


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def writer(content: str | bytes, name: str) -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return writer


def test_a_value_is_missing_or_no_text_or_empty(write: Any) -> None:
    rows = ['{"caption": "c"}', '{"text": "c"}', '{"caption": null}', '{"caption": []}', '{"caption": " "}']
    found = list(open_captions(write("\n".join(rows), "a.jsonl")).captions())
    assert [row.reason for row in found if isinstance(row, Skipped)] == [
        *("caption: missing", "caption: not text", "caption: not text", "caption: empty")
    ]


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.jsonl"])
def test_zero_bytes_are_refused_by_row_and_utf_16_by_file(write: Any, name: str) -> None:
    rows = {"a.txt": ["one", "t\0wo"], "a.csv": ["text", "one", "t\0wo"], "a.jsonl": ['"one"', '"t\\u0000wo"', '"t\0wo"']}[name]
    found = list(open_captions(write("\n".join(rows), name)).captions())
    assert [row if isinstance(row, Skipped) else row[1] for row in found][:1] == ["one"]
    bad = [row for row in found if isinstance(row, Skipped)]
    assert len(bad) == len(found) - 1 > 0
    assert all(re.fullmatch(r".*a zero byte in it; is the file UTF-16\?", row.reason) for row in bad), bad
    for encoding in ("utf-16-le", "utf-16-be"):
        with pytest.raises(InputError, match=rf"{name}:1: UTF-16"):
            open_captions(write("\ufeff".encode(encoding) + "\n".join(rows).encode(encoding), name))


def test_zero_bytes_in_phrases_are_refused(write: Any) -> None:
    rows = (HEADER, GOOD, "c,,['a\0'],[],['x']", "c,,['a\\0'],[],['x']")
    found = list(open_captions(write("\n".join(rows), "rows.csv")).phrases())
    assert found[0] == IS_GOOD
    assert [row.reason.split(";")[0].split(": ")[1] for row in found[1:] if isinstance(row, Skipped)] == [
        *("a zero byte in it", "a list with a zero byte in it")
    ]
    path = write('{"caption": "c", "scenes": ["x\\u0000"], "actions": ["a"]}', "rows.jsonl")
    (row,) = open_captions(path).phrases()
    assert row == Skipped(place=f"{path}:1", reason="scenes: a zero byte in it; is the file UTF-16?")
