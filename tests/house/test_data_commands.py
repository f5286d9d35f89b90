"""``rapo data`` with fakes: pairs for L_r from captions, pairs for L_d from rendered and judged rewrites."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning import records
from rapo_lightning.language import FakeLanguageModel
from rapo_lightning.retrieval.augment import RAPOAugmenter
from rapo_lightning.retrieval.captions import Skipped
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
    assert "made with another alike (0.2, not 0.3)" in other.stderr
    strict = call(*arguments[:-1], tmp_path / "strict", "--alike", "0.99")
    assert strict.exit_code == 2
    assert "no caption gave a pair: means something else (1)" in strict.stderr


def test_refactor_names_what_it_skips_and_ends_accordingly(tmp_path: Path, graph: Path) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text(CAPTIONS + "bad,x,y\n")
    arguments = ("data", "refactor", captions, "--config", tmp_path / "graph.yaml", "--out", tmp_path / "d", "--alike", "0.2")
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[1:] == [
        f"skipped: 1 rows, listed in {tmp_path / 'd' / 'skipped.jsonl'}",
        "  1 x 3 cells for 5 columns",
    ]
    assert result.stderr.startswith("2 captions: 0 known already, 1 to ask the language model about\nsaid: 2 of 2 captions, ")
    (row,) = records.read(tmp_path / "d" / "skipped.jsonl", Skipped)
    assert row == Skipped(place=f"{captions}:3", reason="3 cells for 5 columns")
    assert call(*arguments, "--strict").exit_code == 3
    captions.write_text(CAPTIONS + "A snail.,x,[],[],['a leaf']\n")
    failed = call(*arguments, "--json")
    assert failed.exit_code == 3
    assert (json.loads(failed.stdout)["failed"], json.loads(failed.stdout)["exit_code"]) == (1, 3)


def test_refactor_refuses_captions_of_another_file_but_takes_more_of_the_same(tmp_path: Path, graph: Path) -> None:
    captions, other = tmp_path / "captions.csv", tmp_path / "other.csv"
    arguments = ("--config", tmp_path / "graph.yaml", "--out", tmp_path / "d", "--alike", "0.2")
    assert call("data", "refactor", captions, *arguments).exit_code == 0
    other.write_text(CAPTIONS)
    (tmp_path / "moved").mkdir()
    moved = tmp_path / "moved" / "captions.csv"
    moved.write_text(CAPTIONS + "A boat sinks.,x,[],[],['a sea']\n")
    assert call("data", "refactor", moved, *arguments).exit_code == 0
    moved.write_text(CAPTIONS.replace("dusk", "dawn"))
    for file in (other, moved):
        refused = call("data", "refactor", file, *arguments)
        assert refused.exit_code == 2
        assert "holds data made with another source (captions.csv, first caption " in refused.stderr


def test_a_signal_ends_refactoring_between_two_batches(tmp_path: Path, graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions = tmp_path / "captions.csv"
    captions.write_text(CAPTIONS + "A boat sinks.,x,[],[],['a sea']\n")
    arguments = ("data", "refactor", captions, "--config", tmp_path / "graph.yaml", "--out", tmp_path / "d", "--alike", "0.2")
    plain = FakeLanguageModel.chat

    def chat(self: FakeLanguageModel, *given: Any, **options: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *given, **options)

    with monkeypatch.context() as patch:
        patch.setattr(FakeLanguageModel, "chat", chat)
        result = call(*arguments, "--set", "batch_size=1")
    assert result.exit_code == 75, result.output
    assert result.stderr.splitlines()[-1] == "rapo: interrupted by a signal; the same command continues"
    done = call(*arguments, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["pairs"] == 2
    assert "2 captions: 1 known already, 1 to ask" in done.stderr


REWRITES_ONLY = ("--set", "augmenter.init_args.raw_is_candidate=false")


def test_select_renders_all_texts_and_notes_the_better_of_each_two(tmp_path: Path, config: Path) -> None:
    arguments = ("data", "select", config, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", "--margin", "0")
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    made = json.loads(result.stdout)
    assert (made["pairs"], made["without"]) == (4, {}), "a boat: three texts; a cat: its own words and one rewrite"
    assert sum(made["better"].values()) == 4
    assert set(made["better"]) == {"raw", "refactored", "naive"}
    pairs = [*records.read(tmp_path / "d" / "pairs.jsonl", PromptPair)]
    style = "in the style of captions."
    assert sorted((pair.prompt, *sorted((pair.completion, pair.rejected or ""))) for pair in pairs) == [
        ("a boat", f"A boat {style}", "A plain boat."),
        ("a boat", f"A boat {style}", "a boat"),
        ("a boat", "A plain boat.", "a boat"),
        ("a cat", f"A cat {style}", "a cat"),
    ]
    assert len(journal(tmp_path)) == 2 + 2 + 1, "the user's words were rendered before, too"


def test_select_renders_both_and_notes_the_better(tmp_path: Path, config: Path) -> None:
    where = ("--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", *REWRITES_ONLY)
    arguments = ("data", "select", config, *where, "--margin", "0")
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == f"{tmp_path / 'd'}: 1 pairs; without one: fewer than two texts (1)"
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


def test_select_says_what_it_does_before_the_first_prompt_is_rewritten(
    tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Though all prompts are one batch."""
    said: list[str] = []
    plain = RAPOAugmenter.explain

    def explain(self: RAPOAugmenter, *given: Any) -> Any:
        said.append(capfd.readouterr().err)
        return plain(self, *given)

    monkeypatch.setattr(RAPOAugmenter, "explain", explain)
    arguments = [
        "data",
        "select",
        str(config),
        "--prompts",
        str(tmp_path / "prompts.txt"),
        "--out",
        str(tmp_path / "d"),
        "--margin",
    ]
    with pytest.raises(SystemExit) as ended:
        app([*arguments, "0"])
    assert ended.value.code == 0
    assert said == ["2 prompts: each is rewritten twice, then all texts are rendered and judged\n"]
    assert capfd.readouterr().err.startswith("rewritten: 2 of 2 prompts")


def test_ties_are_counted_and_no_pair_is_an_error(tmp_path: Path, config: Path) -> None:
    result = call("data", "select", config, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", "--margin", "1")
    assert result.exit_code == 2
    assert "no prompt gave a pair: a tie (4)" in result.stderr
    assert not (tmp_path / "d" / "pairs.jsonl").exists()


def test_only_stage_1_makes_both_rewrites(tmp_path: Path, config: Path) -> None:
    result = call(
        "data", "select", config, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", "--set", "augmenter=null"
    )
    assert result.exit_code == 2
    assert "must be a RAPOAugmenter" in result.stderr


def test_a_signal_ends_selecting_amid_the_rewriting(tmp_path: Path, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("data", "select", config, "--prompts", tmp_path / "prompts.txt", "--out", tmp_path / "d", "--margin", "0")
    plain = RAPOAugmenter.explain

    def explain(self: RAPOAugmenter, *given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, *given)

    with monkeypatch.context() as patch:
        patch.setattr(RAPOAugmenter, "explain", explain)
        result = call(*arguments, "--set", "batch_size=1")
    assert result.exit_code == 75, result.output
    assert "rewritten: 1 of 2 prompts" in result.stderr
    assert read_run(tmp_path / "d")["status"] == "interrupted"
    assert call(*arguments).exit_code == 0
