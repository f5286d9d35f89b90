"""Every configuration of the repository loads, names parts that exist with arguments they take, and opens with its command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli import app
from rapo_lightning.class_paths import import_class
from rapo_lightning.language import HuggingFaceChat, SentenceEncoder
from rapo_lightning.parts import Builder
from rapo_lightning.planning import model_references
from rapo_lightning.protocols import LanguageModel, TextEncoder
from rapo_lightning.sections import GraphConfig
from rapo_lightning.sections_train import RefactorForm, TrainConfig
from rapo_lightning.settings import build_optimize, load, load_optimize
from rapo_lightning.tuning.forms import teacher
from rapo_lightning.types import PromptPair
from tests.house.modules import ROOT

FILES = sorted((ROOT / "configs").rglob("*.y*ml"))
OPTIMIZE = [path for path in FILES if path.parent.name == "optimize"]
GRAPH = [path for path in FILES if path.parent.name == "graph"]
TRAIN = [path for path in FILES if path.parent.name == "train"]
EVALUATE = [path for path in FILES if path.parent.name == "evaluate"]


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def opening(path: Path) -> list[str]:
    """The comment lines that a file opens with."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line.lstrip("# ") for line in lines[: next(i for i, line in enumerate(lines) if not line.startswith("#"))]]


def test_every_configuration_is_of_a_kind_that_is_tested_here() -> None:
    assert OPTIMIZE
    assert GRAPH
    assert TRAIN
    assert EVALUATE
    assert [path for path in FILES if path not in [*OPTIMIZE, *GRAPH, *TRAIN, *EVALUATE]] == []


@pytest.mark.parametrize("path", FILES, ids=name)
def test_it_opens_with_what_it_is_and_the_command_that_runs_it(path: Path) -> None:
    lines = opening(path)
    assert len(lines) >= 2
    commands = [shlex.split(line) for line in lines if line.startswith("rapo ")]
    assert any(name(path) in command for command in commands)
    for command in commands:
        done = CliRunner().invoke(app, [*command[1 : 3 if command[1] in ("graph", "data") else 2], "--help"])
        assert done.exit_code == 0
        assert [word for word in command if word.startswith("--") and word not in done.output] == []


@pytest.fixture
def weights(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins for weights that are not in the repository; those that belong to it must be there."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    for reference in model_references(data):
        if reference.startswith("ckpt/"):
            assert (ROOT / reference).is_dir(), f"{reference} belongs to the repository"
        else:
            stand_in = tmp_path / "ckpt" / reference.removeprefix("ckpt/").partition("@")[0]
            stand_in.mkdir(parents=True, exist_ok=True)
            (stand_in / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("path", GRAPH, ids=name)
def test_a_graph_s_parts_build(path: Path) -> None:
    config, positions = load(path, GraphConfig)
    builder = Builder(positions)
    assert config.encoder is not None
    assert config.language_model is not None
    assert isinstance(builder.part(config.encoder, ("encoder",), TextEncoder), SentenceEncoder)
    assert isinstance(builder.part(config.language_model, ("language_model",), LanguageModel), HuggingFaceChat)
    builder.finish()


@pytest.mark.usefixtures("weights")
@pytest.mark.parametrize("path", OPTIMIZE, ids=name)
def test_it_builds(path: Path) -> None:
    config, positions = load_optimize(path)
    parts = build_optimize(config, positions)
    assert parts.judges.keys() == config.judges.keys()


@pytest.mark.parametrize("path", TRAIN, ids=name)
def test_a_training_s_lessons_and_checks_can_be_made(path: Path) -> None:
    config, positions = load(path, TrainConfig)
    assert config.model.startswith("ckpt/") == (ROOT / config.model).is_dir()
    pair = PromptPair(prompt="a red ball", completion="a large red ball", rejected="a ball")
    if not isinstance(config.form, RefactorForm) or config.form.graph is None:
        assert teacher(config.form, config.objective)(pair)
    if config.check.optimize is not None:
        load_optimize(Path(positions.folder) / config.check.optimize)


@pytest.mark.parametrize("path", OPTIMIZE, ids=name)
def test_its_dry_run_plans_something(path: Path, tmp_path: Path) -> None:
    """The prompts that it names are there; one that names none is given one."""
    config, _ = load_optimize(path)
    given = [] if config.prompts else ["--prompt", "a red ball"]
    result = CliRunner().invoke(app, ["optimize", str(path), "--out", str(tmp_path / "run"), "--dry-run", *given])
    assert result.exit_code == 0, result.output


def test_a_wrong_argument_would_be_found() -> None:
    config, positions = load_optimize(OPTIMIZE[0], ["generator.init_args.hight=64"])
    builder = Builder(positions)
    builder.part(config.generator, ("generator",), import_class(config.generator.class_path, ()))
    with pytest.raises(Exception, match="did you mean 'height'"):
        builder.finish()


@pytest.mark.parametrize("path", EVALUATE, ids=name)
def test_an_evaluate_configuration_names_metrics_that_exist_and_parts_that_can_be_made(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    result = CliRunner().invoke(app, ["check", str(path), "--json"])
    assert result.exit_code == 0, result.output
    checked = json.loads(result.stdout)
    assert checked["kind"] == "evaluate"
    assert checked["metrics"]
