"""The record of skipped rows: each row once, however often its file is read, whatever else stands in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapo_lightning import records
from rapo_lightning.retrieval.captions import Skipped, SkipRecord, skip_record

ROWS = [Skipped(place=f"a.csv:{number}", reason="no scene", failed=number == 3) for number in range(1, 6)]


def noted(path: Path, rows: list[Skipped]) -> SkipRecord:
    record = SkipRecord(path)
    for row in rows:
        record.add(row)
    record.flush()
    return record


@pytest.mark.parametrize("waiting", [1, 2, 1000])
def test_rows_are_written_once_and_counted_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: int) -> None:
    monkeypatch.setattr(skip_record, "_WAITING", waiting)
    path = tmp_path / "skipped.jsonl"
    first = noted(path, ROWS)
    assert list(records.read(path, Skipped)) == ROWS
    again = noted(path, ROWS)
    assert list(records.read(path, Skipped)) == ROWS
    for record in (first, again):
        assert (record.reasons, record.failed, record.first) == ({"no scene": 5}, 1, ROWS[0])
    other = [Skipped(place="a.csv:2", reason="not UTF-8"), Skipped(place="A.csv:2", reason="no scene")]
    noted(path, [*other, *ROWS])
    assert list(records.read(path, Skipped)) == [*ROWS, *other], "another reason or place is another row"


def test_failures_that_are_over_are_forgotten(tmp_path: Path) -> None:
    """Of the file that was read, once it was read whole; those of other files and what is wrong with a row itself stay."""
    path = tmp_path / "skipped.jsonl"
    failed = [Skipped(place=place, reason="no answer", failed=True) for place in ("a.csv:7", "a.csv:8", "b.csv:7", "a.csv2:7")]
    noted(path, [*ROWS, *failed])
    with path.open("ab") as file:
        file.write(b"[]\n")
    record = noted(path, [*ROWS, failed[1]])
    record.settle("a.csv")
    lines = path.read_text().splitlines()
    assert lines == [*map(records.encode, [*ROWS, *failed[1:]]), "[]"]
    noted(path, [failed[0]])
    assert path.read_text().splitlines() == [*lines, records.encode(failed[0])]
    only = tmp_path / "only.jsonl"
    noted(only, failed[:1])
    noted(only, []).settle("a.csv")
    assert not only.exists()


def test_nothing_skipped_is_no_record(tmp_path: Path) -> None:
    assert noted(tmp_path / "skipped.jsonl", []).first is None
    assert list(tmp_path.iterdir()) == []


def test_lines_of_other_releases_and_torn_ones_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "skipped.jsonl"
    path.write_text('{"schema": "skipped/0", "place": "a.csv:1", "reason": "no scene"}\n[]\n{"schema": "skipped/1", "pla')
    noted(path, ROWS[:2])
    lines = path.read_text().splitlines()
    assert lines[:2] == ['{"schema": "skipped/0", "place": "a.csv:1", "reason": "no scene"}', "[]"]
    assert lines[2:] == [records.encode(ROWS[1])]
