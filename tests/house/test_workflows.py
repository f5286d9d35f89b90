"""A whole run by fakes: what it leaves in its folder, what it leaves alone, and how its end is told."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from evaluation.inputs.manifest import read_manifest
from rapo_lightning import workflows
from rapo_lightning.checking import check
from rapo_lightning.errors import InputError, PartError
from rapo_lightning.records import read
from rapo_lightning.run_folder import read_run
from rapo_lightning.session import Outcome
from rapo_lightning.types import Prompt
from rapo_lightning.workflows import Started
from tests.house.command import PROMPTS, candidates, config, journal


def optimise(path: Path, **arguments: Any) -> Outcome:
    return workflows.optimize(path, out=path.parent / "run", allow=["tests"], **arguments)


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_a_run_leaves(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    told: list[Started] = []
    outcome = optimise(config(tmp_path, logger="csv"), started=lambda run: told.append(run) or [])
    run = tmp_path / "run"
    assert (outcome.folder, outcome.exit_code, outcome.failed, outcome.interrupted) == (run, 0, (), False)
    assert [t.prompt.text for t in outcome.trajectories] == PROMPTS
    assert set(outcome.stops.values()) == {"rounds"}
    assert [(s.folder, s.videos, s.processes, s.plan.videos) for s in told] == [(run, 15, 1, 15)]

    best = rows(run / "best.jsonl")
    assert [row["original"] for row in best] == PROMPTS
    for row, trajectory in zip(best, outcome.trajectories, strict=True):
        assert trajectory.best is not None
        assert (row["best"], row["candidate"], row["reward_after"]) == (
            trajectory.best.text,
            trajectory.best.id,
            trajectory.best.reward,
        )
        assert row["reward_before"] == trajectory.candidates[0].reward
        assert row["reward_after"] == max(candidate.reward or 0 for candidate in trajectory.candidates)
        assert (row["rounds"], row["stop"], row["failed"]) == (2, "rounds", False)
    assert (run / "best_prompts.txt").read_text().splitlines() == [row["best"] for row in best]
    manifest = rows(run / "manifest.jsonl")
    assert [row["variant"] for row in manifest] == ["original", "optimised"] * 5
    assert [row["prompt_optimised"] for row in manifest[1::2]] == [row["best"] for row in best]
    records = read_manifest(run / "manifest.jsonl").records
    assert [(record.prompt, Path(record.video).is_file()) for record in records[::2]] == [(text, True) for text in PROMPTS]
    assert all((run / row["video"]).is_file() and not row["video"].startswith("/") for row in manifest)
    assert {row["prompt"] for row in manifest} == set(PROMPTS)
    assert [prompt.text for prompt in read(run / "prompts.jsonl", Prompt)] == PROMPTS
    assert (run / "config.yaml").read_bytes() == (tmp_path / "run.yaml").read_bytes()
    assert len(list(run.rglob("*.webp"))) == len(list(run.rglob("*.mp4"))) == 15
    assert "reward" in (run / "logs" / "version_0" / "metrics.csv").read_text()
    assert PROMPTS[0] in (run / "report.html").read_text()
    totals = read_run(run)["totals"]
    assert {name: totals[name] for name in ("prompts", "failed", "candidates", "videos", "stops")} == {
        "prompts": 5,
        "failed": 0,
        "candidates": 15,
        "videos": 15,
        "stops": {"rounds": 5},
    }
    assert capfd.readouterr() == ("", ""), "libraries keep their notes to themselves"


def test_going_on_renders_nothing_again_and_forgets_no_prompt(tmp_path: Path) -> None:
    path = config(tmp_path)
    optimise(path, limit=2)
    first = rows(tmp_path / "run" / "best.jsonl")
    done = candidates(tmp_path / "run")
    told: list[Started] = []
    outcome = optimise(path, prompt=PROMPTS[3], started=lambda run: told.append(run) or [])
    assert [t.prompt.text for t in outcome.trajectories] == [PROMPTS[3]]
    assert told[0].videos == 3
    assert rows(tmp_path / "run" / "best.jsonl")[:2] == first
    assert {key: candidates(tmp_path / "run")[key] for key in done} == done
    again: list[Started] = []
    optimise(path, limit=2, started=lambda run: again.append(run) or [])
    assert again[0].videos == 0
    assert [row["stop"] for row in rows(tmp_path / "run" / "best.jsonl")] == ["rounds"] * 3
    assert sorted(journal(tmp_path).values()) == [1] * 9


@pytest.mark.parametrize("damage", ["empty", "garbage", "gone", "folder"])
def test_a_video_that_cannot_be_read_spoils_nothing(tmp_path: Path, damage: str) -> None:
    path = config(tmp_path)
    optimise(path, limit=1)
    video = sorted((tmp_path / "run").rglob("*.mp4"))[0]
    video.with_suffix(".webp").unlink()
    video.unlink()
    if damage == "folder":
        video.mkdir()
    elif damage != "gone":
        video.write_bytes(b"" if damage == "empty" else b"\0\0\0\x18ftypmp42" + bytes(range(200)))
    before = candidates(tmp_path / "run")
    assert optimise(path, limit=1).exit_code == 0
    assert candidates(tmp_path / "run") == before
    assert not video.with_suffix(".webp").exists()
    assert read_run(tmp_path / "run")["status"] == "done"


def test_what_failed_is_told_and_done_again_when_asked(tmp_path: Path) -> None:
    flag = tmp_path / "broken"
    flag.touch()
    arguments = {"journal": str(tmp_path / "journal"), "word": "cats", "while_there": str(flag)}
    path = config(tmp_path, generator={"class_path": "tests.house.parts.FlakyGenerator", "init_args": arguments})
    outcome = optimise(path)
    assert outcome.exit_code == 3
    assert [row["failed"] for row in rows(tmp_path / "run" / "best.jsonl")] == [False, True, False, False, False]
    assert (tmp_path / "run" / "best_prompts.txt").read_text().splitlines()[1] == "two cats"
    assert read_run(tmp_path / "run")["totals"]["failed"] == 1
    flag.unlink()
    assert optimise(path).exit_code == 3, "failures stand until they are asked for"
    assert optimise(path, retry_errors=True).exit_code == 0
    optimise(config(tmp_path / "healthy"))
    best = (tmp_path / "run" / "best_prompts.txt").read_text()
    assert best == (tmp_path / "healthy" / "run" / "best_prompts.txt").read_text()
    assert sorted(journal(tmp_path).values()) == [1] * 15


def test_the_end_of_the_budget_is_a_normal_end(tmp_path: Path) -> None:
    path = config(tmp_path, batch_size=1)
    outcome = optimise(path, overrides=["budget.max_videos=6"])
    assert (outcome.exit_code, outcome.failed) == (0, ())
    assert "budget" in outcome.stops.values()
    assert sum(journal(tmp_path).values()) <= 6
    assert read_run(tmp_path / "run")["totals"]["stops"]["budget"] == list(outcome.stops.values()).count("budget")
    assert optimise(path, overrides=["budget.max_hours=1e-9"]).stops == outcome.stops, "no time, no videos"
    assert optimise(path).stops == dict.fromkeys(outcome.stops, "rounds")
    optimise(config(tmp_path / "whole"))
    assert candidates(tmp_path / "run") == candidates(tmp_path / "whole" / "run")


def test_prompts_that_were_not_reached_have_not_failed(tmp_path: Path) -> None:
    outcome = optimise(config(tmp_path, batch_size=1), overrides=["budget.max_videos=2"])
    untouched = [t for t in outcome.trajectories if not t.candidates]
    assert untouched
    assert (outcome.exit_code, outcome.failed) == (0, ())
    assert not any(row["failed"] for row in rows(tmp_path / "run" / "best.jsonl"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_is_an_interruption_unless_all_was_done(tmp_path: Path, number: signal.Signals) -> None:
    before = signal.getsignal(number)
    path = config(tmp_path, batch_size=1)
    outcome = optimise(path, started=lambda run: [lambda candidate, trajectory: os.kill(os.getpid(), number)])
    assert outcome.interrupted
    assert outcome.exit_code == 75
    assert read_run(tmp_path / "run")["status"] == "interrupted"
    assert sum(journal(tmp_path).values()) == 1
    assert signal.getsignal(number) == before
    optimise(path)
    outcome = optimise(path, retry_errors=True, started=lambda run: os.kill(os.getpid(), number) or [])
    assert (outcome.exit_code, outcome.interrupted) == (0, False), "there was nothing left to stop"


def test_errors_that_end_a_run_are_noted_in_it(tmp_path: Path) -> None:
    path = config(tmp_path, judges={"a": {"class_path": "tests.house.parts.BrokenJudge", "init_args": {"how": "contract"}}})
    with pytest.raises(PartError, match="lost its mind"):
        optimise(path)
    assert (read_run(tmp_path / "run")["status"], read_run(tmp_path / "run")["error"]) == ("failed", "the judge lost its mind")


def test_control_c_in_a_part_is_control_c(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    path = config(tmp_path, judges={"a": {"class_path": "tests.house.parts.BrokenJudge", "init_args": {"how": "interrupt"}}})
    with pytest.raises(KeyboardInterrupt):
        optimise(path)
    assert read_run(tmp_path / "run")["status"] == "interrupted"
    assert signal.getsignal(signal.SIGINT) == before


def test_a_part_that_raises_is_one_line_and_a_trace_in_the_log(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")
    judge = {"class_path": "tests.house.parts.BrokenJudge", "init_args": {"how": "key sk-very-secret"}}
    outcome = optimise(config(tmp_path, judges={"a": judge}, loop={"rounds": 1}), limit=1)
    assert outcome.exit_code == 3
    said = capfd.readouterr().err.splitlines()
    assert said[0] == "rapo: BrokenJudge.judge failed for a batch of 1: ZeroDivisionError: key ***"
    log = (tmp_path / "run" / "logs" / "rank_0.log").read_text()
    assert "Traceback" in log
    assert "sk-very-secret" not in log
    optimise(config(tmp_path / "quiet", judges={"a": judge}), limit=1, echo=False)
    assert capfd.readouterr().err == ""


def test_a_tracked_run_goes_on_as_the_same_run(tmp_path: Path) -> None:
    logger = {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"mode": "offline"}}
    path = config(tmp_path, logger=logger)
    optimise(path, limit=1)
    name = read_run(tmp_path / "run")["tracking_id"]
    optimise(path, limit=2)
    assert read_run(tmp_path / "run")["tracking_id"] == name
    assert not (tmp_path / "run" / "logs" / "rank_0.log").exists(), "nothing to warn of"


def test_a_dry_run_and_a_check_write_nothing(tmp_path: Path) -> None:
    path = config(tmp_path, loop={"rounds": 3, "seeds": 2}, budget={"max_videos": 30})
    files = sorted(tmp_path.iterdir())
    plan = workflows.dry_run(path, limit=4)
    assert (plan.prompts, plan.candidates, plan.videos, plan.judgements, plan.rewrites) == (4, 16, 30, 30, 12)
    assert check(path)["rounds"] == 3
    with pytest.raises(InputError, match="cannot be shared over 2 devices"):
        workflows.dry_run(path, limit=1, overrides=["trainer.devices=2"])
    assert sorted(tmp_path.iterdir()) == files


def test_an_augmented_run_is_planned_with_its_augmentation(tmp_path: Path) -> None:
    path = config(tmp_path, augmenter={"class_path": "tests.sspo.parts.Suffix"})
    assert workflows.dry_run(path, allow=["tests"], prompt=" a ball ").videos == 4
    outcome = optimise(path, prompt=" a ball ")
    assert [c.origin for c in outcome.trajectories[0].candidates] == ["user", "rapo", "rewrite", "rewrite"]
    assert outcome.trajectories[0].prompt.text == "a ball"
