"""An adapter is handed on as it is, with another name of its base, or merged: the answers stay the same."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli import app
from rapo_lightning.errors import InputError, WeightsError
from rapo_lightning.exporting import export
from rapo_lightning.language import HuggingFaceChat
from rapo_lightning.training import train
from rapo_lightning.types import ModelReference, Reply
from tests.tuning.tiny_training import save_training

ASK = [[{"role": "user", "content": "a red ball"}], [{"role": "user", "content": "ball 3 red"}]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return train(save_training(folder, epochs=2), out=folder / "run").folder


def answers(model: Path, adapter: Path | None = None) -> list[str]:
    reference = None if adapter is None else ModelReference(str(adapter))
    replies = HuggingFaceChat(ModelReference(str(model)), adapter=reference, dtype="float32").chat(ASK, max_new_tokens=12)
    return [reply.text for reply in replies if isinstance(reply, Reply)]


def test_a_merged_model_answers_as_the_adapter_on_its_base(run: Path, tmp_path: Path) -> None:
    made = export(run, tmp_path / "merged", merged=True, base=str(run.parent / "base"))
    assert made["kind"] == "model"
    assert answers(tmp_path / "merged") == answers(run.parent / "base", run / "adapter")
    assert answers(tmp_path / "merged") != answers(run.parent / "base")
    assert "library_name: transformers" in (tmp_path / "merged/README.md").read_text()
    assert not list((tmp_path / "merged").glob("adapter*"))


def test_an_adapter_can_name_its_base_anew(run: Path, tmp_path: Path) -> None:
    export(run / "adapter", tmp_path / "moved", base="org/base@abc")
    config = json.loads((tmp_path / "moved/adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", "abc")
    assert answers(run.parent / "base", tmp_path / "moved") == answers(run.parent / "base", run / "adapter")


def test_the_card_names_the_base_as_the_configuration_does(run: Path) -> None:
    config = json.loads((run / "adapter/adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "base"
    card = (run / "adapter/README.md").read_text()
    assert "base_model: base" in card
    assert "licence follows that of the base model" in card


def test_refusals(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no adapter there"):
        export(tmp_path, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").write_text("x")
    with pytest.raises(InputError, match="is there already"):
        export(run, tmp_path / "full")
    shutil.copytree(run.parent / "base", tmp_path / "another")
    with pytest.raises(WeightsError, match="belongs to the base model 'base', not to 'another'"):
        export(run, tmp_path / "out", merged=True, base=str(tmp_path / "another"))
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "out.part").exists()


def test_the_command(run: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["export", str(run), "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["kind"] == "adapter"
    assert (tmp_path / "out/adapter_model.safetensors").is_file()
    result = CliRunner().invoke(app, ["export", str(run), "--out", str(tmp_path / "two"), "--dtype", "float8"])
    assert result.exit_code == 2


def test_the_base_may_be_named_from_where_one_stands(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    export(Path("run"), tmp_path / "merged", merged=True, base="./base")
    assert (tmp_path / "merged/model.safetensors").is_file()
    with pytest.raises(InputError, match="--base is empty"):
        export(run, tmp_path / "out", base=" ")
