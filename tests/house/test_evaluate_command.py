"""``rapo evaluate``: from a configuration to results, on a run folder, with gates, signals and everything that can be wrong."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner, Result

from cli import app
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.temporal_flickering import TemporalFlickering
from evaluation.video.clip import Clip
from evaluation.video.record import Record
from rapo_lightning.evaluating import _parts, check_evaluation
from rapo_lightning.sections_evaluate import EvaluateConfig
from rapo_lightning.settings import load
from tests.evaluation.videos import moving, write_mp4
from tests.house.command import PROMPTS, config


def write(folder: Path, **values: Any) -> Path:
    path = folder / "evaluate.yaml"
    path.write_text(yaml.safe_dump({"input": "videos", "metrics": ["temporal_flickering"], "device": "cpu", **values}))
    return path


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / "videos").mkdir()
    for number in range(3):
        write_mp4(tmp_path / "videos" / f"a cat-{number}.mp4", moving(4, 64, 64, number))
    return tmp_path / "videos"


def call(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_a_run_of_optimize_is_scored_and_its_arms_are_paired(tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["optimize", str(config(tmp_path)), "--out", str(tmp_path / "run"), "--prompts", str(prompts(tmp_path)), "--quiet"]
    )
    assert done.exit_code == 0, done.output
    path = write(tmp_path, input="run", metrics=["temporal_flickering", "dynamic_degree.dis"])
    result = call(path, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    assert set(told["variants"]) == {"original", "optimised"}
    (pair,) = told["pairs"]
    assert (pair["baseline"], pair["candidate"]) == ("original", "optimised")
    assert {found["n_pairs"] for found in pair["metrics"].values()} == {len(PROMPTS)}, "also where the user's words are the best"
    assert told["metrics"]["temporal_flickering"]["n_prompts"] == len(PROMPTS)


def prompts(folder: Path) -> Path:
    path = folder / "prompts.txt"
    path.write_text("\n".join(PROMPTS))
    return path


def test_files_gates_and_a_second_call(videos: Path, tmp_path: Path) -> None:
    path = write(tmp_path, fail_under=["temporal_flickering=0.1"])
    first = call(path, "--out", tmp_path / "out")
    assert first.exit_code == 0, first.output
    assert "3 videos, 1 metrics: 3 scores to find" in first.stderr
    assert f"{tmp_path / 'out'}: scores.csv, summary.json, report.html" in first.stdout
    assert {"scores.csv", "summary.json", "report.html", "manifest.jsonl"} <= {file.name for file in (tmp_path / "out").iterdir()}
    again = call(path, "--out", tmp_path / "out", "--fail-under", "temporal_flickering=0.9999")
    assert again.exit_code == 4
    assert "3 are there already" in again.stderr
    assert "not met: temporal_flickering" in again.stdout
    quiet = call(path, "--out", tmp_path / "out", "--quiet")
    assert (quiet.exit_code, quiet.output) == (0, "")
    dry = call(path, "--out", tmp_path / "other", "--dry-run", "--json")
    assert json.loads(dry.stdout)["to_score"] == 3
    assert not (tmp_path / "other").exists()
    one = call(path, "--input", videos / "a cat-1.mp4", "--out", tmp_path / "one", "--json")
    assert json.loads(one.stdout)["metrics"]["temporal_flickering"]["n_videos"] == 1


def test_broken_videos_end_with_three(videos: Path, tmp_path: Path) -> None:
    (videos / "broken.mp4").write_bytes(b"no video")
    result = call(write(tmp_path), "--out", tmp_path / "out")
    assert result.exit_code == 3
    assert "1 corrupt" in result.stdout


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"metrics": ["temporal_flickerin"]}, "no such metric, did you mean"),
        ({"metrics": []}, "metrics: no metric is named"),
        ({"input": "nothing"}, "no such file or folder"),
        ({"metrcs": []}, "metrcs: unknown key"),
        ({"protocol": "long"}, "protocol"),
        ({"metrics": ["imaging_quality"]}, "musiq_spaq_ckpt"),
        ({"metrics": ["vqascore"]}, "asks a judge"),
        ({"own": {"x": {"class_path": "evaluation.rows.Row"}}}, "own.x"),
        ({"judge": {"class_path": "evaluation.judge.local.LocalJudge", "init_args": {"frame": 3}}}, "frame: no argument"),
        ({"fail_under": ["temporal=1"]}, "has no metric temporal"),
        ({"suite": "vbench"}, "none of 3 videos is named as vbench wants it"),
        ({"weights": {"musiq": "x"}, "metrics": ["temporal_flickering"]}, "musiq: no such weights"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_before_anything_runs(videos: Path, tmp_path: Path, values: dict[str, Any], says: str) -> None:
    result = call(write(tmp_path, **values), "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert says in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("out/findings*"))


def test_a_signal_stops_between_videos_and_the_same_command_goes_on(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = TemporalFlickering.score
    seen: list[str] = []

    def score(metric: TemporalFlickering, clip: Any, record: Any) -> Any:
        seen.append(clip.path)
        if len(seen) == 1:
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Event().wait(0.05)
        return real(metric, clip, record)

    monkeypatch.setattr(TemporalFlickering, "score", score)
    stopped = call(write(tmp_path), "--out", tmp_path / "out")
    assert stopped.exit_code == 75, stopped.output
    assert "the same command continues" in stopped.stderr
    first = len(seen)
    assert first == 1
    done = call(write(tmp_path), "--out", tmp_path / "out")
    assert (done.exit_code, len(seen)) == (0, 3)


def test_check_knows_the_kind(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", str(write(tmp_path)), "--json"])
    assert json.loads(result.stdout)["kind"] == "evaluate"
    assert check_evaluation(write(tmp_path)).metrics == ["temporal_flickering"]


class Bright(VideoMetric):
    """A metric of one's own, which its argument decides."""

    id = "bright"

    def __init__(self, target: float = 0.5) -> None:
        super().__init__()
        self.target = target

    def score(self, clip: Clip, record: Record) -> Score:
        return Score.of_video(self.target)


def test_the_arguments_of_a_metric_of_one_s_own_decide_its_answers(tmp_path: Path, videos: Path) -> None:
    part = {"class_path": f"{__name__}.Bright", "init_args": {"target": 0.25}}
    path = write(tmp_path, metrics=[], own={"bright": part})
    options = ("--out", tmp_path / "out", "--json", "--allow", __name__.partition(".")[0])
    values = []
    for target in (0.25, 0.75, 0.75):
        result = call(path, *options, "--set", f"own.bright.init_args.target={target}")
        assert result.exit_code == 0, result.output
        values.append(json.loads(result.stdout)["metrics"]["bright"]["value"])
    assert values == [0.25, 0.75, 0.75]


def test_a_server_s_model_keeps_its_name(tmp_path: Path, videos: Path) -> None:
    """Whatever lies beside the configuration."""
    (tmp_path / "some" / "model").mkdir(parents=True)
    (tmp_path / "some" / "model" / "config.json").write_text("{}")
    for name in ("gpt-4o", "some/model"):
        arguments = {"model": name, "base_url": "http://127.0.0.1:9"}
        judge = {"class_path": "evaluation.judge.endpoint.OpenAIJudge", "init_args": arguments}
        path = write(tmp_path, judge=judge)
        check_evaluation(path)
        config, positions = load(path, EvaluateConfig)
        built, _ = _parts(config, positions, ())
        assert built.id.startswith(f"{name}@")
