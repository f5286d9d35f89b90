"""Bad input: one clear line on stderr that names the file, line and key, exit code 2, and nothing touched."""

from __future__ import annotations

import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from filelock import FileLock
from typer.testing import CliRunner

from cli import app
from rapo_lightning.settings import load_optimize, resolved
from tests.house.command import config, rapo, started, wait_for

SAFETY = 4  # a machine that runs other tests at the same time


def refused(*arguments: object, code: int = 2) -> str:
    """The one line that a command is refused with."""
    result = CliRunner().invoke(app, [*map(str, arguments)])
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, result.stderr
    assert lines[0].startswith("rapo: ")
    return lines[0].removeprefix("rapo: ")


def optimise(path: Path, *arguments: object) -> str:
    out = path.parent / "run"
    line = refused("optimize", path, "--out", out, *arguments)
    assert not out.exists()
    return line


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rewritter": {}}, "run.yaml:18: rewritter: unknown key, did you mean 'rewriter'?"),
        ({"loop": {"rounds": "many"}}, "run.yaml:12: loop.rounds: must be a whole number, not 'many'"),
        ({"loop": {"rounds": 0}}, "run.yaml:12: loop.rounds: rounds must be at least 1, not 0"),
        ({"seed": 1.5}, "run.yaml:18: seed: must be a whole number, not 1.5"),
        ({"trainer": {"device": 2}}, "run.yaml:15: trainer.device: no argument of lightning.Trainer, did you mean 'devices'?"),
        ({"prompts": "nowhere.txt"}, "nowhere.txt: No such file or directory"),
        ({"prompts": "prompts.pdf"}, "prompts.pdf: prompt files end in .txt, .csv, .jsonl or .json, not '.pdf'"),
        ({"prompts": None}, "no prompts: give --prompt TEXT, --prompts FILE, or prompts: in the configuration"),
        ({"trainer": {"devices": 9}}, "run.yaml:15: trainer.devices: 5 prompts cannot be shared over 9 devices; use at most 5"),
        ({"trainer": {"callbacks": ["x"]}}, "run.yaml:15: trainer.callbacks: cannot be given in a configuration"),
        (
            {"logger": {"class_path": "lightning.Other"}},
            "run.yaml:17: logger.class_path: 'lightning.Other' is none of lightning.pytorch.loggers.CSVLogger, "
            "lightning.pytorch.loggers.TensorBoardLogger, lightning.pytorch.loggers.WandbLogger",
        ),
        (
            {"logger": {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"projekt": "films"}}},
            "run.yaml:19: logger.init_args.projekt: no argument of WandbLogger, did you mean 'project'?",
        ),
    ],
)
def test_what_the_configuration_gets_wrong(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    assert optimise(config(tmp_path, **changes)).endswith(says)


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    path = config(tmp_path)
    path.write_text(path.read_text() + "loop: [1, 2\n")
    assert f"{path}:" in (line := optimise(path))
    assert "not YAML" in line
    path.write_bytes(b"seed: \xff\n")
    assert f"{path}:1: not UTF-8" in optimise(path)
    assert optimise(tmp_path / "none.yaml") == f"{tmp_path / 'none.yaml'}: No such file or directory"


def test_several_problems_are_told_together(tmp_path: Path) -> None:
    path = config(tmp_path, loop={"ronds": 1}, seed="x")
    result = CliRunner().invoke(app, ["optimize", str(path), "--out", str(tmp_path / "run")])
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 2
    assert all(line.startswith(f"rapo: {path}:") for line in result.stderr.splitlines())


def test_weights_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    spec = {"class_path": "rapo_lightning.generators.DiffusersGenerator", "init_args": {"model": "ckpt/no-such-model"}}
    line = optimise(config(tmp_path, generator=spec))
    assert "generator.init_args.model: ckpt/no-such-model: " in line
    spec["init_args"]["model"] = "/nowhere/at/all"  # type: ignore[index]
    assert "no such folder" in optimise(config(tmp_path, generator=spec))


def test_a_check_knows_loggers_too(tmp_path: Path) -> None:
    logger = {"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"nam": "x"}}
    assert refused("check", config(tmp_path, logger=logger)).endswith(
        "run.yaml:19: logger.init_args.nam: no argument of CSVLogger, did you mean 'name'?"
    )


def test_a_prompt_file_of_the_configuration_is_named_with_its_key(tmp_path: Path) -> None:
    path = config(tmp_path)
    (tmp_path / "prompts.txt").write_text(" \n")
    assert optimise(path) == f"{path}:17: prompts: {tmp_path / 'prompts.txt'}: holds no prompts"


def test_prompt_files(tmp_path: Path) -> None:
    path = config(tmp_path)
    (tmp_path / "empty.txt").write_text("\n\n")
    assert optimise(path, "--prompts", tmp_path / "empty.txt") == f"{tmp_path / 'empty.txt'}: holds no prompts"
    (tmp_path / "bad.csv").write_text("id,prompt\n1,a ball\n2,\n")
    assert optimise(path, "--prompts", tmp_path / "bad.csv").startswith(f"{tmp_path / 'bad.csv'}:3: ")


def test_options_that_contradict_one_another(tmp_path: Path) -> None:
    path = config(tmp_path)
    assert optimise(path, "--prompt", " \t") == "--prompt: the prompt is empty"
    assert optimise(path, "--prompt", "a ball", "--prompts", path) == "--prompt and --prompts exclude each other"
    assert "--set loop.rounds" in optimise(path, "--set", "loop.rounds=x")
    assert "write it as key=value" in optimise(path, "--set", "nonsense")
    assert "budget.max_hours" in optimise(path, "--max-hours", "0")
    assert "lies outside" in optimise(config(tmp_path, slow=0.1))


def test_a_prompt_longer_than_the_text_encoder_reads(tmp_path: Path) -> None:
    spec = {"class_path": "tests.house.parts.ShortGenerator"}
    path = config(tmp_path, generator=spec)
    line = optimise(path, "--prompt", "one two three four five six seven eight nine ten", "--allow", "tests")
    assert line.startswith("--prompt: prompt ")
    assert line.endswith(
        ": 2 tokens longer than the video model's text encoder reads: one two three four five six seven eight nine ten"
    )
    (tmp_path / "long.txt").write_text("a ball\n" + "word " * 50 + "\n")
    line = optimise(path, "--prompts", tmp_path / "long.txt", "--allow", "tests")
    assert line.startswith(f"{tmp_path / 'long.txt'}:2: prompt ")
    assert line.endswith("...")
    (tmp_path / "long.csv").write_text('prompt\na ball\n"one two three four five\nsix seven eight nine \x1b[2J"\n')
    line = optimise(path, "--prompts", tmp_path / "long.csv", "--allow", "tests")
    assert line.startswith(f"{tmp_path / 'long.csv'}:3: prompt ")
    assert line.endswith(": one two three four five six seven eight nine [2J"), "one line, and nothing that steers a terminal"


@pytest.mark.parametrize("trainer", [{"strategy": "none"}, {"accelerator": "tpu"}, {"devices": "many"}, {"precision": "7-bit"}])
def test_what_lightning_refuses(tmp_path: Path, trainer: dict[str, str]) -> None:
    path = config(tmp_path, trainer={"accelerator": "cpu", **trainer})
    assert optimise(path).startswith(f"{path}:14: trainer: ")


def test_run_folders_that_cannot_be_used(tmp_path: Path) -> None:
    path = config(tmp_path)
    (tmp_path / "file").write_text("mine")
    line = refused("optimize", path, "--out", tmp_path / "file" / "run")
    assert line == f"{tmp_path / 'file' / 'run'}: cannot be written: {tmp_path / 'file'} is a file"
    assert refused("optimize", path, "--out", tmp_path / "file") == f"{tmp_path / 'file'}: is a file, not a folder"
    assert (tmp_path / "file").read_text() == "mine"
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    assert "is not empty and holds no run; choose another --out" in refused("optimize", path, "--out", tmp_path / "full")
    assert [entry.name for entry in (tmp_path / "full").iterdir()] == ["thesis.tex"]
    assert refused("report", tmp_path / "full") == f"{tmp_path / 'full'}: no run.json there; is it a run folder?"
    assert refused("report", tmp_path / "nowhere") == f"{tmp_path / 'nowhere'}: no run.json there; is it a run folder?"
    (tmp_path / "full" / "run.json").write_text("{")
    assert "run.json: cannot be read" in refused("report", tmp_path / "full")


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = config(tmp_path)
    monkeypatch.setattr(os, "access", lambda folder, mode: folder != tmp_path)
    line = optimise(path)
    assert line == f"{tmp_path / 'run'}: cannot be written: no permission to write to {tmp_path}"


def test_a_file_system_that_refuses(tmp_path: Path) -> None:
    line = refused("optimize", config(tmp_path), "--out", "/proc/rapo/run")
    assert line.startswith("/proc/rapo/run: cannot be written: ")


def test_a_run_of_another_configuration_is_left_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    path = config(tmp_path)
    stored = {**resolved(load_optimize(path)[0]), "seed": 7}
    (run / "config.resolved.yaml").write_text(yaml.safe_dump(stored))
    line = refused("optimize", path, "--out", run)
    assert line == (
        f"{run}: made with another configuration ({path}:1: seed); "
        "choose another --out, or --force to run in a new folder beside it"
    )
    assert "(--set seed: seed)" in refused("optimize", path, "--out", run, "--set", "seed=3")
    assert [entry.name for entry in run.iterdir()] == ["config.resolved.yaml"]
    (run / "config.resolved.yaml").write_text("[")
    assert "cannot be read" in refused("optimize", path, "--out", run)


def test_json_errors_are_one_object(tmp_path: Path) -> None:
    path = config(tmp_path, loop={"ronds": 1})
    result = CliRunner().invoke(app, ["optimize", str(path), "--out", str(tmp_path / "run"), "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["exit_code"]) == (2, 2)
    assert "did you mean 'rounds'?" in answer["error"]


def test_a_folder_in_use_names_who_has_it(tmp_path: Path) -> None:
    path = config(tmp_path)
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.resolved.yaml").write_text(yaml.safe_dump(resolved(load_optimize(path)[0])))
    with FileLock(run / ".lock"):
        (run / ".lock.json").write_text(json.dumps({"pid": 123, "host": "there"}))
        assert refused("optimize", path, "--out", run) == f"{run}: in use by process 123 on there"
        (run / ".lock.json").write_text("")
        assert refused("optimize", path, "--out", run) == f"{run}: in use by another process"


def test_two_processes_on_one_folder(tmp_path: Path) -> None:
    path = config(tmp_path, slow=0.5)
    arguments = ("optimize", path, "--out", tmp_path / "run", "--allow", "tests")
    first = started(*arguments)
    try:
        wait_for(tmp_path / "journal")
        record = (tmp_path / "run" / "run.json").read_bytes()
        began = time.monotonic()
        second = rapo(*arguments)
        assert time.monotonic() - began < 2 * SAFETY
        assert second.returncode == 2
        assert second.stderr == f"rapo: {tmp_path / 'run'}: in use by process {first.pid} on {socket.gethostname()}\n"
        assert (tmp_path / "run" / "run.json").read_bytes() == record
    finally:
        first.kill()
        first.communicate()
