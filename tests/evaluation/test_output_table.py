"""A table of rows read back is the same rows, whatever texts and numbers they hold; a file is there whole or not at all."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.errors import InputError
from evaluation.output import files
from evaluation.output.table import COLUMNS, csv_text, read_rows, write_csv, write_parquet, write_tables
from evaluation.rows import Row
from tests.evaluation.output_rows import HOSTILE, evaluation_rows, row

#: Section 10 of the specification, and what exact reduction needs besides.
HEADER = (
    "video_path,video_sha256,prompt_id,prompt,variant,seed,index,metric,protocol,value,status,error_code,error_message,"
    "range_min,range_max,higher_is_better,n_frames,fps,height,width,frame_policy,backbone,weights_revision,weights_sha256,dtype,"
    "details,code_version,seconds,total,count,last,position"
)


def exactly(one: Row) -> list[str]:
    """Values by their repr: -0.0 is not 0.0, 1 not 1.0."""
    return [repr(getattr(one, field.name)) for field in fields(one)]


def hostile_rows() -> list[Row]:
    rows = [row(position=i, prompt=text, video_path=text, prompt_id=text, variant=text) for i, text in enumerate(HOSTILE)]
    rows.append(row(position=50, seed=None, details={text: [text, None, 0.1, {"deep": True}] for text in HOSTILE}))
    rows.append(row(position=51, error="corrupt", error_message='stopped at\n"frame" 3, of 9', n_frames=None, fps=None))
    rows.append(row("color", None, 52, details={"cur_success_frame_rate": None}))
    rows.append(row(position=53, value=-0.0, total=5e-324, count=0.1 + 0.2, last=-1.7976931348623157e308, seed=2**63 - 1))
    rows.append(row(position=54, range_min=None, range_max=None, higher_is_better=False, height=None, width=None))
    return rows


def test_the_columns_are_those_of_the_specification(tmp_path: Path) -> None:
    assert csv_text([]).strip() == ",".join(COLUMNS) == HEADER
    assert set(COLUMNS) == {field.name for field in fields(Row)}
    assert read_rows(write_csv(tmp_path / "none.csv", [])) == []


@pytest.mark.parametrize("name", ["scores.csv", "scores.parquet"])
def test_rows_come_back_bit_for_bit(tmp_path: Path, name: str) -> None:
    rows = [*hostile_rows(), *(replace(one, position=one.position + 100) for one in evaluation_rows(4))]
    assert [path.name for path in write_tables(tmp_path, rows)] == ["scores.csv", "scores.parquet"]
    back = read_rows(tmp_path / name)
    assert back == rows
    counts = [replace(one, count=float(one.count)) for one in rows] if name.endswith("parquet") else rows
    assert [exactly(one) for one in back] == [exactly(one) for one in counts]


@given(text=st.text(), value=st.floats(allow_nan=False, allow_infinity=False), seed=st.none() | st.integers(-(2**63), 2**64))
@settings(max_examples=60, deadline=None)
def test_any_text_and_any_number_survive_a_csv(
    tmp_path_factory: pytest.TempPathFactory, text: str, value: float, seed: int
) -> None:
    before = row(value=value, prompt=text, variant=text, seed=seed, total=value, details={"text": text, "value": value})
    path = write_csv(tmp_path_factory.getbasetemp() / "any.csv", [before])
    assert [exactly(one) for one in read_rows(path)] == [exactly(before)]


def test_other_readers_find_the_same_cells(tmp_path: Path) -> None:
    lines = list(csv.DictReader(io.StringIO(csv_text(hostile_rows()), newline="")))
    assert [line["prompt"] for line in lines[: len(HOSTILE)]] == list(HOSTILE)
    assert json.loads(lines[len(HOSTILE)]["details"])[HOSTILE[2]][0] == HOSTILE[2]
    assert lines[-1]["higher_is_better"] == "false"
    assert lines[-1]["range_min"] == ""
    import pyarrow as pa
    from pyarrow import parquet

    schema = parquet.read_schema(write_parquet(tmp_path / "typed.parquet", []))
    found = [schema.field(name).type for name in ("seed", "value", "higher_is_better", "details", "position")]
    assert found == [pa.int64(), pa.float64(), pa.bool_(), pa.string(), pa.int64()]


def test_a_file_name_that_is_no_unicode(tmp_path: Path) -> None:
    odd = [row(video_path="caf\udce9.mp4", seed=2**64 - 1, details={"frames": list(range(60_000))})]
    assert read_rows(write_csv(tmp_path / "a.csv", odd)) == odd
    back = read_rows(write_parquet(tmp_path / "a.parquet", odd))[0]
    assert (back.video_path, back.seed) == ("caf\\udce9.mp4", 2**64 - 1)
    with pytest.raises(InputError, match="large"):
        write_parquet(tmp_path / "b.parquet", [row(seed=2**64)])


@pytest.mark.parametrize(
    "bad", [{"value": float("nan")}, {"last": float("inf")}, {"details": {"x": float("nan")}}, {"details": {"x": 1j}}]
)
def test_what_is_no_number_is_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    for write in (write_csv, write_parquet):
        with pytest.raises(InputError, match=r"videos/0\.mp4: clip_score"):
            write(tmp_path / "scores", [row(**bad)])
    assert list(tmp_path.iterdir()) == []


def test_wrong_tables_are_named(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    good = csv_text([row(), row(position=1)]).splitlines(keepends=True)
    broken = {
        r"no column.*video_path": "a,b\r\n1,2\r\n",
        r"line 3: 31 cells": "".join(good[:2]) + good[2].replace("videos/1.mp4,", "", 1),
        r"row 3: value is nan": "".join(good[:2]) + good[2].replace(",0.5,", ",nan,", 1),
        r"row 2: status is 'fine'": "".join(good).replace(",ok,", ",fine,", 1),
        r"row 2: .*higher_is_better": "".join(good).replace(",true,", ",TRUE,", 1),
        r"row 2: index: empty": "".join(good).replace(",42,0,", ",42,,", 1),
        r"row 2: details is no JSON object": "".join(good).replace(",{},", ",[],", 1),
    }
    for message, text in broken.items():
        path.write_text(text, encoding="utf-8", newline="")
        with pytest.raises(InputError, match=message):
            read_rows(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"scores\.csv: cannot be read"):
        read_rows(path)
    with pytest.raises(InputError, match="No such file"):
        read_rows(tmp_path / "absent.csv")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(InputError, match=r"bad\.parquet: cannot be read"):
        read_rows(tmp_path / "bad.parquet")


def test_a_file_that_cannot_be_finished_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_csv(tmp_path / "deep" / "scores.csv", [row()])
    assert path.stat().st_mode & 0o600 == 0o600

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left.*scores\.csv"):
        write_csv(path, [row(), row(position=1)])
    assert [file.name for file in path.parent.iterdir()] == ["scores.csv"]
    assert read_rows(path) == [row()]


def test_json_holds_numbers_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="JSON"):
        files.write_json(tmp_path / "a.json", {"x": float("nan")})
    for text in ('{"x": NaN}', "{", "[" * 100_000):
        (tmp_path / "a.json").write_text(text)
        with pytest.raises(InputError, match=r"a\.json: no JSON"):
            files.read_json(tmp_path / "a.json")
    with pytest.raises(InputError, match=r"b\.json: cannot be read"):
        files.read_json(tmp_path / "b.json")
    assert files.read_json(files.write_json(tmp_path / "c.json", {"a": "\udc80é"})) == {"a": "\udc80é"}
