"""Matrices of numbers in JSON: any layout, any block, little memory; whatever is not such a matrix is refused by its row."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.graph_data import json_files as published_json
from rapo_lightning.retrieval.graph_data.json_files import read_matrix, write_matrix


@pytest.mark.parametrize("indent", [None, 0, 4])
@pytest.mark.parametrize("block", [1, 7, 1 << 20])
def test_any_layout_is_read_in_any_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, indent: int | None, block: int) -> None:
    monkeypatch.setattr(published_json, "_BLOCK", block)
    values = [[0.1, -2, 3e-8], [1e30, 0.0, -1.5e-40], [np.pi, 7, -0.0]]
    (tmp_path / "m.json").write_text(json.dumps(values, indent=indent))
    x = read_matrix(tmp_path / "m.json", 3)
    assert x.dtype == np.float32
    assert x.tobytes() == np.array(values, np.float32).tobytes()


@pytest.mark.parametrize("rows", [0, 1, 5])
def test_a_matrix_is_written_as_json_dump_writes_it(tmp_path: Path, rows: int) -> None:
    x = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    write_matrix(tmp_path / "m.json", x)
    assert (tmp_path / "m.json").read_text() == json.dumps(x.tolist(), indent=4)
    assert np.array_equal(read_matrix(tmp_path / "m.json", rows).reshape(rows, 3), x)


REFUSED = {
    "[[1, 2], [3, 4]": "cut off",
    "[[1, 2], [3": "cut off",
    "[[1, 2], ": "cut off",
    "": "cut off",
    "[[1, 2]]": "1 rows for 2 texts",
    "[]": "0 rows for 2 texts",
    "[[1, 2], [3, 4], [5, 6]]": "more than the 2 rows",
    "[[1, 2], [3]]": "row 1: 1 numbers, but 2 in row 0",
    "[[1, 2], [3, 4, 5]]": "row 1: 3 numbers, but 2 in row 0",
    "[[1, 2, 3, 4, 5, 6, 7, 8, 9], [1]]": "row 1: 1 numbers, but 9 in row 0",
    "[[1, 2, 3, 4, 5, 6, 7, 8, 9]]": "1 rows for 2 texts",
    "[[1, 2], [3, NaN]]": "row 1: not a list of finite",
    "[[NaN, 2], [3, 4]]": "row 0: not a list of finite",
    "[[1, 2], [-Infinity, 4]]": "row 1: not a list of finite",
    "[[1, 2], [1e39, 4]]": "row 1: not a list of finite",
    "[[1, 2], [null, 4]]": "row 1: not a list of finite",
    '[[1, 2], ["3", 4]]': "row 1: not a list of finite",
    "[[1, 2], [3, 4,]]": "row 1: not a list of finite",
    "[[1, 2], [3,, 4]]": "row 1: not a list of finite",
    "[[1, 2], [3 4]]": "row 1: not a list of finite",
    "[[1, 2], []]": "row 1: not a list of finite",
    "[[1, 2] [3, 4]]": "row 1: not a list of lists",
    "[[1, 2], [[3, 4]]]": "row 1: not a list of lists",
    "[[1, 2], [3, 4],]": "row 2: not a list of lists",
    "[1, 2]": "row 0: not a list of lists",
    '{"a": [1, 2]}': "row 0: not a list of lists",
    "[[1, 2], [3, 4]] 5": "goes on after the end",
    "[[1, 2], [3, 4]]]": "row 2: not a list of lists",
}


@pytest.mark.parametrize("text", REFUSED)
@pytest.mark.parametrize("block", [1, 1 << 20])
def test_what_is_no_matrix_is_refused_by_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, block: int) -> None:
    monkeypatch.setattr(published_json, "_BLOCK", block)
    path = tmp_path / "m.json"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        read_matrix(path, 2)
    assert str(error.value).startswith(f"{path}: ")
    assert REFUSED[text] in str(error.value)


def test_reading_takes_the_matrix_and_no_more_than_a_few_blocks(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(3000, 200)).astype(np.float32)
    write_matrix(tmp_path / "m.json", x)
    size = (tmp_path / "m.json").stat().st_size
    tracemalloc.start()
    found = read_matrix(tmp_path / "m.json", 3000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(found, x)
    assert x.nbytes < peak < x.nbytes + 5 * 2**20 < size


def test_a_row_without_an_end_and_a_promise_of_more_than_the_file_holds_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.json"
    path.write_text("[[1, 2]]")
    with pytest.raises(InputError, match="1 rows for 1000000000000 texts"):
        read_matrix(path, 10**12)
    monkeypatch.setattr(published_json, "_LONGEST_ROW", 1000)
    path.write_text("[[" + "1," * 1000)
    with pytest.raises(InputError, match="row 0 does not end within 1,000 bytes"):
        read_matrix(path, 2)
