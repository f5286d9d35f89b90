"""``rapo data`` with fakes: pairs for L_r from captions, pairs for L_d from rendered and judged rewrites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning import records
from rapo_lightning.run_folder import read_run
from rapo_lightning.types import PromptPair
from tests.house.command import FAKES, journal

CAPTIONS = (
    "Input,Output,verb_obj_word,scenario_word,place\nA boat drifts at dusk.,x,['a boat drifts'],['at dusk'],['a calm sea']\n"
)
LANGUAGE = "rapo_lightning.language.FakeLanguageModel"
ENCODER = {"class_path": "rapo_lightning.language.FakeTextEncoder", "init_args": {"dimension": 64}}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def model(answers: dict[str, str]) -> dict[str, Any]:
    return {"class_path": LANGUAGE, "init_args": {"answers": answers}}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "captions.csv").write_text(CAPTIONS)
    (tmp_path / "graph.yaml").write_text(
        yaml.safe_dump({"encoder": ENCODER, "language_model": model({"A boat": "boat drifting at dusk"})})
    )
    result = call("graph", "build", tmp_path / "captions.csv", "--config", tmp_path / "graph.yaml", "--out", tmp_path / "g")
    assert result.exit_code == 0, result.output
    return tmp_path / "g"


@pytest.fixture
def config(tmp_path: Path, graph: Path) -> Path:
    """Refactored texts and naive ones, as a fake writes them; the second prompt's naive rewrite fails."""
    answers = {
        "Description: a boat": "A boat in the style of captions.",
        "Description: a cat": "A cat in the style of captions.",
        "Request: a boat": "A plain boat.",
    }
    arguments = {
        "graph": str(graph),
        "encoder": ENCODER,
        "language_model": model(answers),
        "merge": False,
        "meaning": None,
        "max_words": 20,
    }
    augmenter = {"class_path": "rapo_lightning.retrieval.augment.RAPOAugmenter", "init_args": arguments}
    generator = {**FAKES["generator"], "init_args": {"journal": str(tmp_path / "journal")}}
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump({**FAKES, "augmenter": augmenter, "generator": generator}))
    (tmp_path / "prompts.txt").write_text("a boat\na cat\n")
    return path


def test_refactor_makes_pairs_and_goes_on(tmp_path: Path, graph: Path) -> None:
    arguments = ("data", "refactor", tmp_path / "captions.csv", "--config", tmp_path / "graph.yaml", "--out", tmp_path / "d")
    result = call(*arguments, "--alike", "0.2")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{tmp_path / 'd'}: 1 pairs; refused: none\n"
    (pair,) = records.read(tmp_path / "d" / "pairs.jsonl", PromptPair)
    assert (pair.prompt, pair.completion) == ("boat drifting at dusk", "A boat drifts at dusk.")
    assert json.loads(call(*arguments, "--alike", "0.2", "--json").stdout)["pairs"] == 1
    other = call(*arguments, "--alike", "0.3")
    assert other.exit_code == 2
    assert "made with another alike" in other.stderr
    strict = call(*arguments[:-1], tmp_path / "strict", "--alike", "0.99")
    assert strict.exit_code == 2
    assert "no caption gave a pair: means something else (1)" in strict.stderr


def test_select_renders_both_and_notes_the_better(tmp_path: Path, config: Path) -> None:
    arguments = ("data", "select", config, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", "--margin", "0")
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"{tmp_path / 'd'}: 1 pairs; without one: one rewrite only (1)"
    (pair,) = records.read(tmp_path / "d" / "pairs.jsonl", PromptPair)
    assert pair.prompt == "a boat"
    assert {pair.completion, pair.rejected} == {"A boat in the style of captions.", "A plain boat."}
    assert pair.gain is not None
    assert pair.gain > 0
    before = journal(tmp_path)
    assert set(before.values()) == {1}
    assert len(before) == 2 + 2 + 1, "both prompts, two refactored texts, one naive"
    assert call(*arguments).exit_code == 0
    assert journal(tmp_path) == before, "nothing is rendered twice"
    assert read_run(tmp_path / "d")["status"] == "done"
    assert call(*arguments[:-1], "1").exit_code == 2
    assert not (tmp_path / "d" / "pairs.jsonl").exists(), "they were those of another margin"


def test_ties_are_counted_and_no_pair_is_an_error(tmp_path: Path, config: Path) -> None:
    result = call("data", "select", config, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", "--margin", "1")
    assert result.exit_code == 2
    assert "no prompt gave a pair: a tie (1), one rewrite only (1)" in result.stderr
    assert not (tmp_path / "d" / "pairs.jsonl").exists()


def test_only_stage_1_makes_both_rewrites(tmp_path: Path, config: Path) -> None:
    result = call(
        "data", "select", config, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", "--set", "augmenter=null"
    )
    assert result.exit_code == 2
    assert "must be a RAPOAugmenter" in result.stderr
