"""The run folder: one configuration, one process at a time, more prompts welcome, secrets not."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from rapo_lightning.environment import environment
from rapo_lightning.errors import RunFolderError
from rapo_lightning.run_folder import await_run, choose, opened, read_prompts, read_run, update_run
from rapo_lightning.types import Prompt

VALUES: dict[str, Any] = {"generator": {"class_path": "a.B", "init_args": {}}, "seed": 1, "trainer": {}, "batch_size": 8}
BALL, CATS = Prompt.of("a red ball"), Prompt.of("zwei Katzen 🐈", locked=["Katzen"])


def test_a_new_run_has_everything_it_started_from(tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text("# mine\nseed: 1\n")
    with opened(
        tmp_path / "a" / "run", VALUES, [BALL, CATS], config_file=tmp_path / "given.yaml", command=["rapo"], allow=["mine"]
    ) as folder:
        assert folder == tmp_path / "a" / "run"
        assert (folder / "config.yaml").read_text() == "# mine\nseed: 1\n"
        assert yaml.safe_load((folder / "config.resolved.yaml").read_text()) == VALUES
        assert read_prompts(folder) == [BALL, CATS]
        run = read_run(folder)
    assert (run["status"], run["command"], run["allow"], run["error"]) == ("running", ["rapo"], ["mine"], None)
    assert run["environment"] == environment()
    assert "started" in run
    assert "resumed" not in run


def test_prompts_join_and_the_first_configuration_stays(tmp_path: Path) -> None:
    (tmp_path / "given.yaml").write_text("seed: 1\n")
    with opened(tmp_path / "run", VALUES, [BALL], config_file=tmp_path / "given.yaml"):
        pass
    (tmp_path / "given.yaml").write_text("seed: 1\nbatch_size: 2\n")
    with opened(tmp_path / "run", {**VALUES, "batch_size": 2}, [CATS, BALL], config_file=tmp_path / "given.yaml") as folder:
        assert read_prompts(folder) == [BALL, CATS]
        assert (folder / "config.yaml").read_text() == "seed: 1\n"
        assert {"started", "resumed"} <= read_run(folder).keys()


def test_a_prompt_keeps_its_text(tmp_path: Path) -> None:
    with opened(tmp_path, VALUES, [Prompt.of("a ball", id="one")]):
        pass
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    other = Prompt.of("two balls", id="one")
    with pytest.raises(RunFolderError, match="prompt 'one' has another text there"), opened(tmp_path, VALUES, [other]):
        pass
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_another_configuration_is_refused_or_goes_beside(tmp_path: Path) -> None:
    with opened(tmp_path / "run", VALUES, [BALL]):
        pass
    other = {**VALUES, "seed": 2}
    with pytest.raises(RunFolderError, match=r"run: made with another configuration \(seed\)"):
        choose(tmp_path / "run", other)
    for _ in range(2):  # the second time the fork is found again
        with opened(tmp_path / "run", other, [BALL], force=True) as folder:
            assert folder == tmp_path / "run-2"
    third = choose(tmp_path / "run", {**VALUES, "seed": 3}, force=True)
    assert third == tmp_path / "run-3"
    assert not third.exists()
    many = {f"key{number}": number for number in range(20)}
    with pytest.raises(RunFolderError, match=r", \.\.\.\); choose another --out"):
        choose(tmp_path / "run", {**VALUES, **many})


def test_what_changes_no_result_changes_no_folder(tmp_path: Path) -> None:
    with opened(tmp_path / "run", VALUES, [BALL]):
        pass
    assert choose(tmp_path / "run", {**VALUES, "batch_size": 1, "trainer": {"devices": 4}}) == tmp_path / "run"


def test_a_start_that_was_killed_can_be_made_again(tmp_path: Path) -> None:
    """At any byte: hidden files alone are no run, the resolved configuration alone is one."""
    (tmp_path / ".config.resolved.yaml.1.tmp").write_text("see")
    (tmp_path / ".lock").touch()
    with opened(tmp_path, VALUES, [BALL]):
        pass
    for name in ("run.json", "prompts.jsonl"):
        (tmp_path / name).unlink()
        with opened(tmp_path, VALUES, [CATS]) as folder:
            assert read_prompts(folder)[-1] == CATS
            assert read_run(folder)["status"] == "running"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with opened(tmp_path, VALUES, [BALL]):
        began = time.monotonic()
        with pytest.raises(RunFolderError, match=r"in use by process \d+ on "):
            choose(tmp_path, VALUES)
        with pytest.raises(RunFolderError, match="in use by process"), opened(tmp_path, VALUES, [CATS]):
            pass
        assert time.monotonic() - began < 2
        assert read_prompts(tmp_path) == [BALL]
    assert choose(tmp_path, VALUES) == tmp_path, "the folder is free again"


def test_a_run_says_how_it_ended(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), opened(tmp_path, VALUES, [BALL]):
        raise ValueError("broken")
    assert (read_run(tmp_path)["status"], read_run(tmp_path)["error"]) == ("failed", "broken")
    with pytest.raises(KeyboardInterrupt), opened(tmp_path, VALUES, [BALL]):
        raise KeyboardInterrupt
    assert (read_run(tmp_path)["status"], read_run(tmp_path)["error"]) == ("interrupted", "KeyboardInterrupt")
    with opened(tmp_path, VALUES, [BALL]):
        assert read_run(tmp_path)["error"] is None


def test_secrets_of_the_command_line_are_not_recorded(tmp_path: Path) -> None:
    command = ["rapo", "--set", "rewriter.init_args.api_key=sk-12345", "--set", "url=https://me:word@host/v1", "--seed=3"]
    with opened(tmp_path, VALUES, [BALL], command=command):
        pass
    text = (tmp_path / "run.json").read_text()
    assert "sk-12345" not in text
    assert "me:word" not in text
    assert json.loads(text)["command"][-1] == "--seed=3"


def test_damaged_files_are_named(tmp_path: Path) -> None:
    with opened(tmp_path, VALUES, [BALL]):
        pass
    (tmp_path / "run.json").write_text("[1]")
    with pytest.raises(RunFolderError, match=r"run.json: holds no JSON object"):
        read_run(tmp_path)
    (tmp_path / "run.json").write_bytes(b'{"a": \xff}')
    with pytest.raises(RunFolderError, match=r"run.json: cannot be read"):
        update_run(tmp_path, status="done")
    (tmp_path / "config.resolved.yaml").write_text("text")
    with pytest.raises(RunFolderError, match=r"config.resolved.yaml: holds no configuration"):
        choose(tmp_path, VALUES)
    assert read_run(tmp_path / "nowhere") == {}


def test_processes_that_others_started_wait_for_the_first(tmp_path: Path) -> None:
    found: list[Path] = []
    waiting = threading.Thread(target=lambda: found.append(await_run(tmp_path / "run", VALUES, seconds=30)))
    waiting.start()
    assert not found
    with opened(tmp_path / "run", VALUES, [BALL]):
        waiting.join(timeout=30)
    assert found == [tmp_path / "run"]
    with pytest.raises(RunFolderError, match="the first process has not prepared it within 0 s"):
        await_run(tmp_path / "run", {**VALUES, "seed": 2}, seconds=0.0)
