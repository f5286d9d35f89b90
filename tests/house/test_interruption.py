"""Runs that are stopped, killed or shared between processes end like one that was left alone. Each in processes of its own."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from rapo_lightning.interruption import StopSignals
from rapo_lightning.processes import RUN_FOLDER, follows, is_first
from tests.house.command import PROMPTS, candidates, config, journal, rapo, started, wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    done = rapo("optimize", config(folder), "--out", folder / "run", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder / "run"


def command(folder: Path, *arguments: object) -> list[object]:
    """A run that takes its time, in batches of two prompts."""
    path = config(folder, slow=0.3, batch_size=2)
    return ["optimize", path, "--out", folder / "run", "--allow", "tests", *arguments]


def stop(folder: Path, number: signal.Signals, *, times: int = 1) -> tuple[int, str]:
    """Start a run and send it a signal while it renders; its exit code and stderr."""
    process = started(*command(folder))
    try:
        wait_for(folder / "journal", lines=3)
        for _ in range(times):
            process.send_signal(number)
            time.sleep(0.05)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    return process.returncode, err


def status(folder: Path) -> str:
    return str(json.loads((folder / "run" / "run.json").read_text())["status"])


def same(run: Path, whole: Path) -> None:
    """All that is recorded and every video is as in the undisturbed run, and nothing was rendered twice."""
    assert candidates(run) == candidates(whole)
    assert max(journal(run.parent).values()) == 1
    videos = {path.relative_to(run) for path in run.rglob("[!.]*.mp4")}
    assert videos == {path.relative_to(whole) for path in whole.rglob("*.mp4")}
    assert all((run / path).read_bytes() == (whole / path).read_bytes() for path in videos)
    assert (run / "best_prompts.txt").read_text() == (whole / "best_prompts.txt").read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_ends_the_round_and_the_same_command_goes_on(tmp_path: Path, whole: Path, number: signal.Signals) -> None:
    code, err = stop(tmp_path, number)
    assert code == 75, err
    assert err.splitlines()[-2:] == ["stopped: 5 prompts by a signal", "interrupted; the same command continues"]
    assert status(tmp_path) == "interrupted"
    rows = [json.loads(line) for line in (tmp_path / "run" / "best.jsonl").read_text().splitlines()]
    assert [row["stop"] for row in rows] == ["interrupted"] * 5
    assert [row["failed"] for row in rows] == [False] * 5
    assert len(journal(tmp_path)) == 4, "the round under way was finished, and no other begun"
    done = rapo(*command(tmp_path, "--json"))
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["stops"].values()) == {"rounds"}
    same(tmp_path / "run", whole)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    code, err = stop(tmp_path, signal.SIGTERM, times=2)
    assert code == 75, err
    assert len(journal(tmp_path)) == 3
    assert status(tmp_path) == "interrupted"


def test_control_c(tmp_path: Path) -> None:
    code, err = stop(tmp_path, signal.SIGINT)
    assert code == 130
    assert err.splitlines()[-1] == "rapo: interrupted; the same command continues"
    assert "Traceback" not in err
    assert status(tmp_path) == "interrupted"


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path, whole: Path) -> None:
    for lines in (2, 6, 9):
        process = started(*command(tmp_path))
        wait_for(tmp_path / "journal", lines=lines)
        process.kill()
        process.communicate()
    assert status(tmp_path) == "running"
    done = rapo(*command(tmp_path))
    assert done.returncode == 0, done.stderr
    assert status(tmp_path) == "done"
    same(tmp_path / "run", whole)


def two_processes(folder: Path, *arguments: object) -> list[object]:
    return command(folder, "--devices", 2, "--set", "trainer.strategy=ddp", *arguments)


def test_two_processes_share_the_prompts(tmp_path: Path, whole: Path) -> None:
    done = rapo(*two_processes(tmp_path, "--json"))
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [row["original"] for row in answer["best"]] == PROMPTS
    assert set(answer["stops"].values()) == {"rounds"}
    plan, *progress, stops = done.stderr.splitlines()
    assert plan.startswith("5 prompts, at most 15 videos, 15 judgements, 10 rewrites; ")
    assert progress[-1].startswith("process 1 of 2: 9/9 videos, ")
    assert stops == "stopped: 5 prompts after all rounds"
    counts = [len((tmp_path / "run" / f"candidates-{rank}.jsonl").read_text().splitlines()) for rank in (0, 1)]
    assert counts == [9, 6]
    same(tmp_path / "run", whole)


def test_two_processes_stop_on_one_signal(tmp_path: Path, whole: Path) -> None:
    process = started(*two_processes(tmp_path))
    try:
        wait_for(tmp_path / "journal", lines=3)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=90)
    finally:
        process.kill()
    assert process.returncode == 75, err
    assert err.splitlines()[-1] == "interrupted; the same command continues"
    assert len(journal(tmp_path)) < 15
    done = rapo(*command(tmp_path))
    assert done.returncode == 0, done.stderr
    same(tmp_path / "run", whole)


def test_two_processes_follow_the_first_into_its_folder(tmp_path: Path) -> None:
    done = rapo(*command(tmp_path, "--limit", 2, "--quiet"))
    assert done.returncode == 0, done.stderr
    before = candidates(tmp_path / "run")
    done = rapo(*two_processes(tmp_path, "--limit", 2, "--seed", 3, "--force", "--quiet"))
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert candidates(tmp_path / "run") == before
    assert sorted(path.name for path in (tmp_path / "run-2").glob("candidates-*")) == ["candidates-0.jsonl", "candidates-1.jsonl"]


@pytest.mark.parametrize(
    ("environment", "first", "following"),
    [
        ({}, True, False),
        ({"LOCAL_RANK": "0"}, True, False),
        ({"LOCAL_RANK": "1", RUN_FOLDER: "x"}, False, True),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True, False),
        ({"RANK": "8", "LOCAL_RANK": "0"}, False, False),
        ({"NODE_RANK": "1"}, False, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False, False),
        ({"SLURM_PROCID": "0"}, True, False),
        ({"SLURM_PROCID": "3"}, False, False),
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1", RUN_FOLDER: "x"}, False, True),
    ],
)
def test_which_process_is_first(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], first: bool, following: bool
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", RUN_FOLDER):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (is_first(), follows()) == (first, following)


def test_signals_are_given_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)]
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert signals.asked
        with pytest.raises(SystemExit) as end:
            os.kill(os.getpid(), signal.SIGTERM)
        assert end.value.code == 75
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGUSR1)] == before
