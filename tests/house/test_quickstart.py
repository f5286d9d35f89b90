"""``rapo quickstart``: the arms at equal noise, compared by the exact verifier; with fakes, and with the embedded default."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cli import app
from rapo_lightning.comparison import NOTE
from rapo_lightning.quickstart import held_out_prompts, quickstart
from rapo_lightning.run_folder import read_run
from tests.house.command import config, journal
from tests.house.modules import ROOT

ARMS = ["raw prompt", "best of 3", "stage 2", "oracle caption"]


def fakes(folder: Path) -> Path:
    """A configuration of fakes whose videos have the size of the shapes world's."""
    arguments = {"frames": 17, "size": 64, "journal": str(folder / "journal")}
    return config(folder, generator={"class_path": "rapo_lightning.generators.FakeGenerator", "init_args": arguments})


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["quickstart", *map(str, arguments)])


def test_the_table_speaks_of_the_shapes_world_only(tmp_path: Path) -> None:
    result = call("--config", fakes(tmp_path), "--out", tmp_path / "run", "--prompts", 3, "--table", tmp_path / "table.json")
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == NOTE
    assert NOTE in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    for arm in ARMS:
        assert any(row[: len(arm.split())] == arm.split() for row in rows), arm
    assert result.stdout.splitlines()[-1] == f"every video, score and rewrite: {tmp_path / 'run' / 'report.html'}"
    told = [line.partition(":")[0] for line in result.stderr.splitlines()[1:-1]]
    assert told == ["raw and oracle", "best of 3", "stage 2"]

    table = json.loads((tmp_path / "table.json").read_text())
    assert [arm["name"] for arm in table["arms"]] == ARMS
    assert [arm["videos_per_prompt"] for arm in table["arms"]] == [1, 3, 3, 1]
    assert all(arm["prompts"] == 3 and arm["seconds"] > 0 for arm in table["arms"])
    assert (table["seed"], table["weights"]) == (0, {})
    assert table["command"][0] == "rapo"
    assert (tmp_path / "run" / "comparison.json").exists()
    assert "best of 3" in (tmp_path / "run" / "report.html").read_text()


def test_the_arms_share_their_first_videos_and_have_equally_many(tmp_path: Path) -> None:
    quickstart(fakes(tmp_path), out=tmp_path / "run", prompts=2)
    counts = journal(tmp_path)
    assert set(counts.values()) == {1}
    assert len(counts) == 2 * (2 + 2 + 2), "raw and oracle, and two more for each of best-of-3 and the loop"
    first = {path.name for path in (tmp_path / "run" / "videos").rglob("r0-*.mp4")}
    for other in ("arms/ends", "arms/best_of_n"):
        assert first <= {path.name for path in (tmp_path / "run" / other).rglob("r0-*.mp4")}


def test_stage_1_has_arms_of_its_own_and_shares_its_videos(tmp_path: Path) -> None:
    """An augmenter that rewrites one prompt and fails on the other: there Stage 1's answer is the user's own words."""
    own, other = (prompt for prompt, _, _ in held_out_prompts(2, 0))
    answers = {"class_path": "rapo_lightning.language.FakeLanguageModel", "init_args": {"answers": {own.text: f"{own.text}!"}}}
    refiner = {"language_model": answers, "style": "plain"}
    augmenter = {"class_path": "rapo_lightning.retrieval.refiners.ChatRefiner", "init_args": refiner}
    arguments = {"frames": 17, "size": 64, "journal": str(tmp_path / "journal")}
    generator = {"class_path": "rapo_lightning.generators.FakeGenerator", "init_args": arguments}
    path = config(tmp_path, augmenter=augmenter, generator=generator)
    comparison, outcome = quickstart(path, out=tmp_path / "run", prompts=2)
    assert comparison is not None
    arms = {arm["name"]: arm for arm in comparison["arms"]}
    assert list(arms) == ["raw prompt", "best of 3", "stage 1", "stage 2", "stage 1 + 2", "oracle caption"]
    assert arms["stage 1"]["videos_per_prompt"] == 1
    assert set(comparison["gap_closed"]) == {"stage 1", "stage 2", "stage 1 + 2"}
    counts = journal(tmp_path)
    assert set(counts.values()) == {1}, "nothing is rendered twice"
    assert len(counts) == 2 * (2 + 2 + 2 + 1) + 1, "ends, best of 3, stage 2, one rewrite of stage 1 + 2, one of stage 1"
    first = [[c.origin for c in t.candidates if c.round == 0] for t in outcome.trajectories]
    assert first == [["user", "refiner"], ["user", "refiner"]]
    assert [c.error is None for t in outcome.trajectories for c in t.candidates if c.origin == "refiner"] == [True, False]
    assert other.text != own.text


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    path = fakes(tmp_path)

    def interrupt(name: str, videos: int) -> Any:
        signals = [signal.SIGTERM] if name == "best of 3" else []
        return lambda candidate, trajectory: os.kill(os.getpid(), signals.pop()) if signals else None

    comparison, outcome = quickstart(path, out=tmp_path / "run", prompts=2, listen=interrupt)
    assert comparison is None
    assert (outcome.interrupted, outcome.exit_code) == (True, 75)
    assert not (tmp_path / "run" / "comparison.json").exists()
    comparison, outcome = quickstart(path, out=tmp_path / "run", prompts=2)
    assert outcome.exit_code == 0
    assert read_run(tmp_path / "run")["status"] == "done"
    whole, _ = quickstart(fakes(tmp_path / "whole"), out=tmp_path / "whole" / "run", prompts=2)
    assert comparison is not None
    assert whole is not None
    assert timeless(comparison) == timeless(whole)
    assert [arm["seconds"] for arm in comparison["arms"]] == [None] * 4, "parts of a time are no time"
    assert set(journal(tmp_path).values()) == {1}


def timeless(comparison: dict[str, Any]) -> dict[str, Any]:
    return {**comparison, "arms": [{**arm, "seconds": None} for arm in comparison["arms"]]}


def test_json_and_quiet(tmp_path: Path) -> None:
    path = fakes(tmp_path)
    result = call("--config", path, "--out", tmp_path / "run", "--prompts", 2, "--json", "--quiet")
    assert (result.exit_code, result.stderr, result.stdout.count("\n")) == (0, "", 1)
    answer = json.loads(result.stdout)
    assert [arm["name"] for arm in answer["arms"]] == ARMS
    assert (answer["note"], answer["folder"], answer["exit_code"]) == (NOTE, str(tmp_path / "run"), 0)
    result = call("--config", path, "--out", tmp_path / "run", "--prompts", 2, "--quiet")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_one_device_and_two_prompts(tmp_path: Path) -> None:
    result = call("--config", fakes(tmp_path), "--out", tmp_path / "run", "--set", "trainer.devices=2")
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == "rapo: quickstart runs on one device: trainer.devices must be 1"
    assert call("--prompts", 1).exit_code == 2
    assert not (tmp_path / "run").exists()


def test_other_videos_than_the_shapes_world_s_are_refused(tmp_path: Path) -> None:
    path = config(tmp_path)
    result = call("--config", path, "--out", tmp_path / "run", "--prompts", 2)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("rapo: quickstart measures videos of the shapes world: needs uint8 ")


def test_held_out_prompts_follow_from_the_seed() -> None:
    texts = [prompt.text for prompt, _, _ in held_out_prompts(20, 0)]
    assert texts == [prompt.text for prompt, _, _ in held_out_prompts(20, 0)]
    assert texts[:5] == [prompt.text for prompt, _, _ in held_out_prompts(5, 0)]
    assert len({*texts, *(prompt.text for prompt, _, _ in held_out_prompts(20, 1))}) > 30


@pytest.mark.slow
def test_the_embedded_default_runs(tmp_path: Path) -> None:
    """Needs ckpt/shapes: the whole stack, small."""
    result = call("--out", tmp_path / "run", "--prompts", 2, "--set", "loop.rounds=1", "--quiet", "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    answer = json.loads(result.stdout)
    names = ["raw prompt", "best of 2", "stage 1", "stage 2", "stage 1 + 2", "oracle caption"]
    assert [arm["name"] for arm in answer["arms"]] == names
    assert all(arm["judge"] is not None for arm in answer["arms"])
    weights = read_run(tmp_path / "run")["weights"]
    assert {name.split("/")[0] for name in weights} == {"video", "judge", "language", "encoder", "restyle", "select"}
    assert all((ROOT / "ckpt/shapes" / name).is_file() for name in weights)
