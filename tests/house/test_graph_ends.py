"""How ``rapo graph build`` and ``add`` end: the exit code says what failed, and after a signal the same command goes on."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from torch import Tensor
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning.language import FakeTextEncoder
from rapo_lightning.retrieval import growing
from rapo_lightning.retrieval.graph import NODE_TYPES
from rapo_lightning.retrieval.store import load_graph
from tests.house.command import rapo, started, wait_for

HEADER = "Input,Output,verb_obj_word,scenario_word,place"
ROWS = [f"A boat {n} drifts.,x,['boat {n} drifts'],['at dusk'],['sea {n}']" for n in range(4)]
STOPPED = "rapo: interrupted by a signal; the same command continues"
ENCODER = {"class_path": "rapo_lightning.language.FakeTextEncoder", "init_args": {"dimension": 64}}
FOX = '{"scenes": ["a field"], "subjects": ["a fox"], "actions": [], "atmosphere": []}'


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    model = {"class_path": "rapo_lightning.language.FakeLanguageModel", "init_args": {"answers": {"fox": FOX}}}
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump({"encoder": ENCODER, "language_model": model, "batch_size": 1}))
    return tmp_path / "graph.yaml"


@pytest.fixture
def captions(tmp_path: Path) -> Path:
    (tmp_path / "captions.csv").write_text("\n".join([HEADER, *ROWS]) + "\n")
    return tmp_path / "captions.csv"


def build(tools: Path, captions: Path, *arguments: object, out: str = "g") -> Result:
    return call("graph", "build", captions, "--config", tools, "--out", tools.parent / out, *arguments)


def test_skipped_rows_are_no_failure_unless_that_is_asked_for(tmp_path: Path, tools: Path, captions: Path) -> None:
    assert build(tools, captions, "--strict", out="all").exit_code == 0
    captions.write_text(captions.read_text() + "bad,x,['a,[],['b']\n")
    assert build(tools, captions, out="lenient").exit_code == 0
    strict = build(tools, captions, "--strict", out="strict")
    assert strict.exit_code == 3
    assert "skipped: 1 rows, listed in " in strict.stdout
    assert load_graph(tmp_path / "strict").captions == 4, "what is good is kept all the same"
    added = call("graph", "add", tmp_path / "strict", captions, "--config", tools, "--strict", "--json")
    assert (added.exit_code, json.loads(added.stdout)["exit_code"]) == (3, 3)
    assert call("graph", "add", tmp_path / "strict", captions, "--config", tools).exit_code == 0


def test_captions_that_the_model_failed_on_are(tmp_path: Path, tools: Path) -> None:
    (tmp_path / "c.txt").write_text("A fox on a field.\nA snail.\n")
    result = build(tools, tmp_path / "c.txt")
    assert result.exit_code == 3, result.output
    assert result.stdout.splitlines()[-1] == (
        "the language model failed on 1 of them; `rapo graph add` with the same file asks again"
    )
    again = call("graph", "add", tmp_path / "g", tmp_path / "c.txt", "--config", tools, "--json")
    assert (again.exit_code, json.loads(again.stdout)["failed"]) == (3, 1)
    answers = (
        f"language_model.init_args.answers={{fox: '{FOX}', snail: '{FOX.replace('fox', 'snail').replace('field', 'snail')}'}}"
    )
    assert call("graph", "add", tmp_path / "g", tmp_path / "c.txt", "--config", tools, "--set", answers).exit_code == 0
    assert load_graph(tmp_path / "g").captions == 2
    assert not (tmp_path / "g" / "skipped.jsonl").exists(), "what failed then is there now"


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes captions go one by one; ``at`` is the text at whose encoding a signal comes, ``asked`` what was encoded."""

    state = SimpleNamespace(at=None, asked=[])
    plain = FakeTextEncoder.encode

    def encode(self: FakeTextEncoder, texts: Sequence[str]) -> Tensor:
        state.asked += texts
        if state.at is not None and any(state.at in text for text in texts):
            os.kill(os.getpid(), signal.SIGTERM)
        return plain(self, texts)

    monkeypatch.setattr(FakeTextEncoder, "encode", encode)
    monkeypatch.setitem(growing.add.__kwdefaults__, "batch", 1)
    monkeypatch.setattr(growing, "_PIECE", 1)
    return state


def same(one: Path, other: Path) -> None:
    graphs = [load_graph(folder) for folder in (one, other)]
    assert graphs[0].captions == graphs[1].captions
    for kind in NODE_TYPES:
        assert graphs[0].texts(kind) == graphs[1].texts(kind)
        assert graphs[0].data[kind].occurrence.tolist() == graphs[1].data[kind].occurrence.tolist()
    assert (one / "style.json").read_text() == (other / "style.json").read_text()


def test_a_build_that_a_signal_ends_goes_on(tmp_path: Path, tools: Path, captions: Path, killed: Any) -> None:
    captions.write_text(captions.read_text() + ROWS[0] + "\nbad,x,['a,[],['b']\n")
    whole = json.loads(build(tools, captions, "--json", out="whole").stdout)
    killed.at = "sea 2"
    result = build(tools, captions)
    assert (result.exit_code, result.stdout, result.stderr.splitlines()[-1]) == (75, "", STOPPED)
    assert not (tmp_path / "g").exists()
    killed.at = None
    killed.asked.clear()
    done = build(tools, captions, "--json")
    assert done.exit_code == 0, done.output
    assert done.stderr.startswith("2 captions are there already, from a build that was interrupted\n")
    assert not [text for text in killed.asked if "0" in text or "1" in text], "nothing is encoded again"
    found = json.loads(done.stdout)
    different = {"folder", "seconds"}
    assert {key: found[key] for key in found.keys() - different} == {key: whole[key] for key in whole.keys() - different}
    same(tmp_path / "g", tmp_path / "whole")
    skipped = [(folder / "skipped.jsonl").read_text() for folder in (tmp_path / "g", tmp_path / "whole")]
    assert skipped[0] == skipped[1]
    assert {path.name for path in (tmp_path / "g").iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


@pytest.mark.parametrize("change", ["rows", "limit", "encoder", "damage"])
def test_a_build_of_something_else_begins_anew(tmp_path: Path, tools: Path, captions: Path, killed: Any, change: str) -> None:
    killed.at = "sea 2"
    assert build(tools, captions).exit_code == 75
    killed.at = None
    arguments = []
    if change == "rows":
        captions.write_text("\n".join([HEADER, *ROWS[2:]]) + "\n")
    elif change == "limit":
        arguments = ["--limit", 3]
    elif change == "encoder":
        arguments = ["--set", "encoder.init_args.dimension=32"]
    else:
        next((tmp_path / ".g.building").glob("segments/*/nodes.jsonl")).unlink()
    done = build(tools, captions, *arguments)
    assert done.exit_code == 0, done.output
    assert "there already" not in done.stderr
    assert build(tools, captions, *arguments, out="whole").exit_code == 0
    same(tmp_path / "g", tmp_path / "whole")


def test_an_addition_that_a_signal_ends_goes_on(tmp_path: Path, tools: Path, captions: Path, killed: Any) -> None:
    assert build(tools, captions, out="whole").exit_code == 0
    assert build(tools, captions, "--limit", 1).exit_code == 0
    killed.at = "sea 2"
    add = ("graph", "add", tmp_path / "g", captions, "--config", tools)
    result = call(*add)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (75, STOPPED)
    assert load_graph(tmp_path / "g").captions == 2, "the addition ends between two pieces of work"
    killed.at = None
    assert call(*add).exit_code == 0
    same(tmp_path / "g", tmp_path / "whole")


def test_an_extraction_that_a_signal_ends_keeps_what_was_found(tmp_path: Path, tools: Path, killed: Any) -> None:
    (tmp_path / "c.txt").write_text("".join(f"A fox on a field {number}.\n" for number in range(3)))
    killed.at = "a field"
    assert build(tools, tmp_path / "c.txt").exit_code == 75
    killed.at = None
    done = build(tools, tmp_path / "c.txt")
    assert done.exit_code == 0
    assert "3 captions: 1 known already, 2 to ask the language model about" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_in_a_process_of_its_own(tmp_path: Path, number: signal.Signals) -> None:
    """With a language model that takes its time; what it was asked is in ``journal``."""
    model = {"class_path": "tests.house.parts.SlowExtractor", "init_args": {"journal": str(tmp_path / "journal"), "seconds": 0.2}}
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump({"encoder": ENCODER, "language_model": model, "batch_size": 2}))
    (tmp_path / "c.txt").write_text("".join(f"A fox on a field {number}.\n" for number in range(8)))
    command = (
        "graph",
        "build",
        tmp_path / "c.txt",
        "--config",
        tmp_path / "graph.yaml",
        "--out",
        tmp_path / "g",
        "--allow",
        "tests",
    )
    process = started(*command)
    try:
        wait_for(tmp_path / "journal", lines=3)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 75, err
    assert err.splitlines()[0] == "8 captions: 0 known already, 8 to ask the language model about"
    assert err.splitlines()[-1] == STOPPED
    asked = (tmp_path / "journal").read_text().count("\n")
    assert asked == 4, "the batch under way was finished, and no other begun"
    done = rapo(*command)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("8 captions: 4 known already, 4 to ask the language model about\n")
    assert (tmp_path / "journal").read_text().count("\n") == 8, "nothing was asked twice"
    assert load_graph(tmp_path / "g").captions == 8
