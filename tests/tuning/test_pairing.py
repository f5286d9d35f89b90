"""``rapo pairs`` on real run folders: files in TRL's columns, a card, no prompt on both sides, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli import app
from rapo_lightning.errors import InputError
from rapo_lightning.pairing import write_pairs
from rapo_lightning.tuning.pair_files import read_pairs
from tests.tuning.run_folders import save_run


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_runs_become_files_that_training_reads(tmp_path: Path) -> None:
    runs = [save_run(tmp_path / "one"), save_run(tmp_path / "two", 20)]
    made = write_pairs(runs, tmp_path / "pairs", margin=0.1, validation=0.2)
    assert (made["pairs"], made["preferences"], made["mean_gain"]) == (60, 60, 0.5)
    files = {name: rows(tmp_path / "pairs" / f"{name}.jsonl") for name in made["files"]}
    assert {name: len(found) for name, found in files.items()} == made["files"]
    assert set(files["train"][0]) == {"prompt", "completion", "gain"}
    assert set(files["preferences-train"][0]) == {"prompt", "chosen", "rejected", "gain"}
    sides = [
        {row["prompt"] for row in files[f"{kind}{side}"]} for side in ("train", "validation") for kind in ("", "preferences-")
    ]
    assert sides[0] == sides[1]
    assert sides[2] == sides[3]
    assert 4 <= len(sides[2]) <= 24
    assert not sides[0] & sides[2]
    assert read_pairs(tmp_path / "pairs/preferences-train.jsonl")[0].rejected == files["preferences-train"][0]["rejected"]
    assert "60 pairs with a mean gain of" in (tmp_path / "pairs/README.md").read_text()


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_pairs([save_run(tmp_path / "one")], tmp_path / "pairs", margin=0.1, parquet=True)
    assert read_pairs(tmp_path / "pairs/train.parquet") == read_pairs(tmp_path / "pairs/train.jsonl")


def test_a_later_call_leaves_nothing_of_an_earlier_one(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "pairs"
    write_pairs([save_run(tmp_path / "one")], out, margin=0.1, validation=0.0, losers=0, parquet=True)
    names = {"train": ["prompt", "completion", "gain"], "preferences-validation": ["prompt", "chosen", "rejected", "gain"]}
    for name, columns in names.items():
        assert parquet.read_schema(out / f"{name}.parquet").names == columns, "rows or none"
    write_pairs([save_run(tmp_path / "two", 20)], out, margin=0.1)
    assert not list(out.glob("*.parquet"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "README.md").write_text("notes")
    with pytest.raises(InputError, match=r"has a README\.md of something else"):
        write_pairs([tmp_path / "two"], tmp_path / "mine", margin=0.1)
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["README.md"]


def test_nothing_to_learn_says_why(tmp_path: Path) -> None:
    run = save_run(tmp_path / "one", gain=0.05)
    with pytest.raises(InputError, match=r"nothing to learn from: gain within the margin \(40\)"):
        write_pairs([run], tmp_path / "pairs", margin=0.1)
    assert not (tmp_path / "pairs").exists()
    with pytest.raises(InputError, match=r"no run\.json there"):
        write_pairs([tmp_path], tmp_path / "pairs", margin=0.1)
    (run / "best.jsonl").unlink()
    with pytest.raises(InputError, match="no results yet"):
        write_pairs([run], tmp_path / "pairs", margin=0.1)


def test_the_command(tmp_path: Path) -> None:
    run = save_run(tmp_path / "one")
    result = CliRunner().invoke(app, ["pairs", str(run), "--out", str(tmp_path / "pairs"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["pairs"] == 40
    result = CliRunner().invoke(app, ["pairs", str(run), "--out", str(tmp_path / "pairs"), "--margin", "0.9"])
    assert result.exit_code == 2
    assert "gain within the margin (40)" in result.stderr
