"""The commands as users and programs call them: options, exit codes, what is printed where."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning.run_folder import read_run
from rapo_lightning.settings import build_optimize
from tests.house.command import PROMPTS, config, journal, rapo


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, [*map(str, arguments)])


def answer(*arguments: object, code: int = 0) -> dict[str, Any]:
    """The one JSON object that a command prints with ``--json``."""
    result = call(*arguments, "--json")
    assert result.exit_code == code, result.output
    assert result.stdout.count("\n") == 1
    found = json.loads(result.stdout)
    assert isinstance(found, dict)
    return found


def test_optimize_prints_each_prompt_with_its_best_and_the_report(tmp_path: Path) -> None:
    result = call("optimize", config(tmp_path), "--out", tmp_path / "run")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:-1:2] == PROMPTS
    assert all(line.startswith("  -> ") for line in lines[1:-1:2])
    assert lines[-1] == str(tmp_path / "run" / "report.html")
    plan, progress, stops = result.stderr.splitlines()
    assert plan == f"5 prompts, at most 15 videos, 15 judgements, 10 rewrites; models: none; run folder: {tmp_path / 'run'}"
    assert progress.startswith("15/15 videos, ")
    assert stops == "stopped: 5 prompts after all rounds"


def test_quiet_is_quiet(tmp_path: Path) -> None:
    path = config(tmp_path)
    result = call("optimize", path, "--out", tmp_path / "run", "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    result = call("optimize", path, "--out", tmp_path / "run", "-q", "--json")
    assert (result.stderr, json.loads(result.stdout)["failed"]) == ("", [])


def test_json_is_one_object_whatever_happens(tmp_path: Path) -> None:
    path = config(tmp_path)
    found = answer("optimize", path, "--out", tmp_path / "run")
    assert found["folder"] == str(tmp_path / "run")
    assert [row["original"] for row in found["best"]] == PROMPTS
    assert (found["failed"], set(found["stops"].values()), found["exit_code"]) == ([], {"rounds"}, 0)
    assert answer("report", tmp_path / "run") == {"report": str(tmp_path / "run" / "report.html")}
    assert answer("check", path) == {"config": str(path), "kind": "optimize", "judges": ["a"], "rounds": 2}
    plan = answer("optimize", path, "--out", tmp_path / "other", "--dry-run")
    counts = {"prompts": 5, "candidates": 15, "seeds": 1, "videos": 15, "judgements": 15, "rewrites": 10}
    assert plan == {**counts, "models": [], "missing": []}
    assert answer("report", tmp_path / "other", code=2)["exit_code"] == 2


def test_the_options_of_a_run(tmp_path: Path) -> None:
    path = config(tmp_path, prompts=None, batch_size=1)
    (tmp_path / "mine.csv").write_text("id,text,locked\none,a red ball,red\ntwo,two cats,\nthree,rain,\n")
    arguments = ("optimize", path, "--out", tmp_path / "run", "--prompts", tmp_path / "mine.csv")
    found = answer(*arguments, "--limit", 2, "--seed", 7, "--devices", 1, "--max-videos", 3, "--max-hours", 2, "--offline")
    assert [row["id"] for row in found["best"]] == ["one", "two"]
    assert "budget" in found["stops"].values()
    assert sum(journal(tmp_path).values()) <= 3
    stored = yaml.safe_load((tmp_path / "run" / "config.resolved.yaml").read_text())
    assert (stored["seed"], stored["trainer"]["devices"]) == (7, 1)
    assert stored["budget"] == {"max_videos": 3, "max_hours": 2.0}
    found = answer(*arguments, "--seed", 7, "--set", "loop.rounds=1", "--force")
    assert found["folder"] == str(tmp_path / "run-2")
    assert len(found["best"]) == 3


def test_finished_with_failures(tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    arguments = {"journal": str(tmp_path / "journal"), "word": "cats", "while_there": str(flag)}
    path = config(tmp_path, generator={"class_path": "tests.house.parts.FlakyGenerator", "init_args": arguments})
    command = ("optimize", path, "--out", tmp_path / "run", "--allow", "tests")
    result = call(*command)
    assert result.exit_code == 3
    assert "two cats\n  -> (no video could be scored)\n" in result.stdout
    assert result.stderr.splitlines()[-1] == "1 prompt without a scored video; --retry-errors tries again"
    assert len(answer(*command, code=3)["failed"]) == 1
    flag.unlink()
    assert answer(*command, "--retry-errors")["failed"] == []
    assert sorted(journal(tmp_path).values()) == [1] * 15
    assert read_run(tmp_path / "run")["allow"] == ["tests"]


def test_a_broken_part_is_exit_code_1_in_one_line(tmp_path: Path) -> None:
    judge = {"class_path": "tests.house.parts.BrokenJudge", "init_args": {"how": "contract"}}
    result = call("optimize", config(tmp_path, judges={"a": judge}), "--out", tmp_path / "run", "--allow", "tests", "-q")
    assert (result.exit_code, result.stderr) == (1, "rapo: the judge lost its mind\n")


def test_an_unexpected_failure_keeps_its_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("nobody thought of this")

    monkeypatch.setattr("rapo_lightning.checking.load_optimize", fail)
    result = call("check", config(tmp_path))
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


def test_what_libraries_print_does_not_get_into_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chatty(*given: object) -> object:
        print("[INFO] a library speaks")
        return build_optimize(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("rapo_lightning.checking.build_optimize", chatty)
    result = call("check", config(tmp_path), "--json")
    assert json.loads(result.stdout)["kind"] == "optimize"
    assert "a library speaks" in result.stderr


def test_the_report_is_written_again(tmp_path: Path) -> None:
    call("optimize", config(tmp_path), "--out", tmp_path / "run", "--limit", 1)
    page = tmp_path / "run" / "report.html"
    before = page.read_text()
    page.unlink()
    result = call("report", tmp_path / "run")
    assert (result.exit_code, result.stdout) == (0, f"{page}\n")
    assert page.read_text() == before


def test_a_report_to_be_sent_holds_its_videos(tmp_path: Path) -> None:
    call("optimize", config(tmp_path), "--out", tmp_path / "run", "--limit", 1)
    page = tmp_path / "run" / "report.html"
    assert "data:video/mp4;base64," not in page.read_text()
    assert call("report", tmp_path / "run", "--embed").exit_code == 0
    assert "data:video/mp4;base64," in page.read_text()


def test_a_dry_run_says_which_models_are_not_here(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "config.json").write_text("{}")
    arguments = {"model": "there", "adapter": "nowhere/at/all"}
    path = config(tmp_path, rewriter={"class_path": "tests.house.parts.AdaptedRewriter", "init_args": arguments})
    command = ("optimize", path, "--out", tmp_path / "run", "--dry-run", "--allow", "tests")
    assert call(*command).stdout.endswith("models: nowhere/at/all (not here), there\n")
    assert answer(*command)["missing"] == ["nowhere/at/all"]


def test_a_terminal_that_knows_no_snails_is_no_reason_to_fail(tmp_path: Path) -> None:
    out = tmp_path / "run"
    done = rapo("optimize", config(tmp_path), "--out", out, "--limit", "4", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0, done.stderr
    assert "a snail \\U0001f40c" in done.stdout
    assert "🐌" in (out / "best.jsonl").read_text(encoding="utf-8")


def test_prompts_cannot_steer_the_terminal(tmp_path: Path) -> None:
    result = call("optimize", config(tmp_path), "--out", tmp_path / "run", "--prompt", "a \x1b[2J\x07 ball\nin \u202erain")
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == "a [2J ball in rain"
