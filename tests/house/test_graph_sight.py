"""``rapo graph search`` and ``show`` mark what a rewrite would take: of the kinds, scenes and threshold given or configured."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning.graph_search import Sight
from rapo_lightning.retrieval.augment import RAPOAugmenter
from rapo_lightning.retrieval.graph import NODE_TYPES
from tests.house.command import FAKES

CAPTIONS = """Input,Output,verb_obj_word,scenario_word,place
a,x,"['a boat drifts', 'a boat sinks']","['at dusk', 'a boat']","['a calm sea']"
b,x,['a dog runs'],['at dusk'],"['a sandy beach', 'a calm sea']"
"""
PROMPT = "a boat on a calm sea at dusk"
ENCODER = {"class_path": "rapo_lightning.language.FakeTextEncoder", "init_args": {"dimension": 64}}
NOT_HERE = {"class_path": "rapo_lightning.language.HuggingFaceChat", "init_args": {"model": "not/here"}}


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    (tmp_path / "captions.csv").write_text(CAPTIONS)
    (tmp_path / "graph.yaml").write_text(yaml.safe_dump({"encoder": ENCODER}))
    result = call("graph", "build", tmp_path / "captions.csv", "--config", tmp_path / "graph.yaml", "--out", tmp_path / "g")
    assert result.exit_code == 0, result.output
    return tmp_path / "g"


def run(folder: Path, **arguments: Any) -> Path:
    """An ``optimize`` configuration whose language model need not be here."""
    given = {"graph": "g", "encoder": ENCODER, "language_model": NOT_HERE, **arguments}
    part = {"class_path": "rapo_lightning.retrieval.augment.RAPOAugmenter", "init_args": given}
    (folder / "run.yaml").write_text(yaml.safe_dump({**FAKES, "augmenter": part}))
    return folder / "run.yaml"


def found(graph: Path, config: Path, *arguments: object) -> dict[str, Any]:
    result = call("graph", "search", graph, PROMPT, "--config", config, *arguments, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert isinstance(answer, dict)
    return answer


def taken(answer: dict[str, Any]) -> set[tuple[str, str]]:
    scenes = {("scene", scene["text"]) for scene in answer["scenes"] if scene["chosen"]}
    return scenes | {(row["kind"], row["text"]) for scene in answer["scenes"] for row in scene["modifiers"] if row["chosen"]}


@pytest.mark.parametrize("kinds", [["--kinds", "action,scene"], ["--kinds", "action", "--kinds", "scene"]])
def test_only_the_kinds_asked_for_are_listed(tmp_path: Path, graph: Path, kinds: list[str]) -> None:
    answer = found(graph, tmp_path / "graph.yaml", *kinds)
    assert {row["kind"] for scene in answer["scenes"] for row in scene["modifiers"]} == {"action"}
    assert answer["sight"] == {"scenes": 3, "threshold": 0.0, "kinds": ["scene", "action"], "most": None}
    assert answer["scenes"][0]["more"]["atmosphere"] == 2
    everything = found(graph, tmp_path / "graph.yaml")
    assert {row["kind"] for scene in everything["scenes"] for row in scene["modifiers"]} == {"action", "atmosphere"}


def test_a_kind_that_is_none_is_refused(graph: Path) -> None:
    for command in ("search", "show"):
        result = call("graph", command, graph, PROMPT, "--kinds", "scene,acton")
        assert (result.exit_code, result.stderr) == (2, "rapo: --kinds: there is no kind 'acton', did you mean 'action'?\n")


def test_a_run_shows_what_its_augmenter_takes_though_its_language_model_is_not_here(tmp_path: Path, graph: Path) -> None:
    answer = found(graph, run(tmp_path, kinds=["scene", "action"], threshold=0.45, modifiers=2, scenes=1))
    assert answer["sight"] == {"scenes": 1, "threshold": 0.45, "kinds": ["scene", "action"], "most": 2}
    assert taken(answer) == {("scene", "a calm sea"), ("action", "a boat sinks")}, "the nearest two of all kinds together"
    lines = call("graph", "search", graph, PROMPT, "--config", tmp_path / "run.yaml").stdout.splitlines()
    assert [line.split("  (")[-1] for line in lines] == [
        *(
            "2 captions, taken itself)",
            "        0.55  action     a boat sinks",
            "not among the nearest 2)",
            "below the threshold)",
        )
    ]
    out = tmp_path / "near.html"
    assert call("graph", "show", graph, PROMPT, "--config", tmp_path / "run.yaml", "--out", out).exit_code == 0
    assert out.read_text().count('class="is-chosen-row"') == 1


def test_what_is_given_comes_before_what_is_configured(tmp_path: Path, graph: Path) -> None:
    path = run(tmp_path, kinds=["subject"])
    answer = found(graph, path, "--kinds", "atmosphere", "--threshold", "-1", "--scenes", "2")
    assert answer["sight"] == {"scenes": 2, "threshold": -1.0, "kinds": ["atmosphere"], "most": 5}
    assert taken(answer) == {("atmosphere", "at dusk"), ("atmosphere", "a boat")}
    assert found(graph, path, "--set", "augmenter.init_args.kinds=[scene]")["sight"]["kinds"] == ["scene"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kinds": ["acton"]}, "augmenter.init_args.kinds"),
        ({"scenes": "three"}, "augmenter.init_args.scenes"),
        ({"scenes": 0}, "must be at least 1"),
        ({"threshold": 2.0}, "threshold in [-1, 1]"),
    ],
)
def test_a_run_that_is_wrong_is_refused_by_its_line(tmp_path: Path, graph: Path, change: dict[str, Any], says: str) -> None:
    result = call("graph", "search", graph, PROMPT, "--config", run(tmp_path, **change))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith(f"rapo: {tmp_path / 'run.yaml'}:")
    assert says in result.stderr


def test_a_run_without_stage_1_is_refused(tmp_path: Path, graph: Path) -> None:
    chat = {"class_path": "rapo_lightning.retrieval.refiners.ChatRefiner", "init_args": {"language_model": NOT_HERE}}
    for part, says in ((None, "missing"), (chat, "takes nothing from a graph")):
        (tmp_path / "other.yaml").write_text(yaml.safe_dump({**FAKES, "augmenter": part}))
        result = call("graph", "show", graph, PROMPT, "--config", tmp_path / "other.yaml")
        assert (result.exit_code, result.stderr) == (2, f"rapo: {tmp_path / 'other.yaml'}: augmenter: {says}\n")


def test_what_neither_names_is_what_an_augmenter_has() -> None:
    arguments = inspect.signature(RAPOAugmenter).parameters
    assert {name: arguments[name].default for name in ("scenes", "threshold", "kinds")} == {
        "scenes": Sight().scenes,
        "threshold": Sight().threshold,
        "kinds": NODE_TYPES,
    }
