"""Tracking mirrors a run to CSV, TensorBoard and W&B offline; whatever a logger raises, the run goes on."""

from __future__ import annotations

import csv
import itertools
import json
import logging
import os
import socket
from pathlib import Path
from typing import Any

import pytest
from lightning import Trainer
from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.utilities import rank_zero_only

from rapo_lightning.errors import ConfigError
from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.judges.fake import FakeJudge
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.sections import Part
from rapo_lightning.sspo.data import PromptData
from rapo_lightning.sspo.log import read_all
from rapo_lightning.sspo.module import SSPOModule
from rapo_lightning.sspo.options import LoopOptions, Parts
from rapo_lightning.sspo.selection import HighestReward, WeightedMean
from rapo_lightning.tracking import Tracker, build_logger, run_id
from rapo_lightning.types import Candidate, Failure, Feedback, Prompt, Trajectory, Video, candidate_id

# Lightning 2.6 on torch 2.13.
pytestmark = pytest.mark.filterwarnings(r"ignore:.isinstance\(treespec, LeafSpec\):FutureWarning")

PROMPTS = [Prompt.of("a red ball"), Prompt.of("two cats")]
WANDB = {"class_path": "lightning.pytorch.loggers.WandbLogger"}
TENSORBOARD = {"class_path": "lightning.pytorch.loggers.TensorBoardLogger"}


class Broken(Logger):
    """A logger whose disk is full."""

    calls = 0

    @property
    def name(self) -> str:
        return "broken"

    @property
    def version(self) -> str:
        return "0"

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.calls += 1
        raise OSError(28, "No space left on device")

    def log_hyperparams(self, params: Any) -> None:
        raise AssertionError("not part of tracking")


class Kept(Broken):
    """A logger that keeps what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[tuple[int | None, dict[str, float]]] = []

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.rows.append((step, metrics))


@pytest.fixture
def own_wandb_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """No key, no folders and no mode are configured; a home without a netrc."""
    for variable in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_MODE", "WANDB_API_KEY", "NETRC"):
        monkeypatch.setenv(variable, "unset")  # so that what the code under test sets is undone
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def candidate(prompt: Prompt, round: int, reward: float | None, videos: tuple[Video, ...] = ()) -> Candidate:
    text = f"{prompt.text} {round}"
    feedback = () if reward is None else (Feedback(judge="fake", score=reward),)
    return Candidate(
        id=candidate_id(round, text),
        prompt_id=prompt.id,
        round=round,
        text=text,
        origin="rewrite" if round else "user",
        videos=videos or (Video(path="v.mp4", seed=0, frames=4, fps=8.0, height=32, width=32),),
        feedback=feedback,
        reward=reward,
        error="no score" if reward is None else None,
    )


def trajectory(prompt: Prompt, *rewards: float | None, videos: tuple[Video, ...] = ()) -> Trajectory:
    candidates = tuple(candidate(prompt, number, reward, videos) for number, reward in enumerate(rewards))
    chosen = HighestReward().select(candidates)
    return Trajectory(prompt=prompt, candidates=candidates, best=None if chosen is None else candidates[chosen])


def rendered(folder: Path, prompt: Prompt) -> tuple[Video, ...]:
    made = FakeGenerator().generate([prompt.text], [1], [str(folder / "videos" / f"{prompt.id}.mp4")])
    assert not isinstance(made[0], Failure)
    return (made[0],)


def csv_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def run(folder: Path, tracker: Tracker) -> None:
    parts = Parts(
        generator=FakeGenerator(),
        judges={"fake": FakeJudge()},
        reward=WeightedMean(),
        selection=HighestReward(),
        rewriter=FakeRewriter(),
    )
    module = SSPOModule(folder, parts, LoopOptions(rounds=2, patience=None), on_candidate=[tracker.on_candidate])
    quiet = {"enable_progress_bar": False, "enable_checkpointing": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", logger=False, **quiet)
    trainer.predict(module, PromptData(PROMPTS, batch_size=2), return_predictions=False)


def test_scalars_stand_against_the_videos_spent() -> None:
    logger, ticks = Kept(), itertools.count(0, 30)
    tracker = Tracker(logger, clock=lambda: float(next(ticks)))
    ball, cats = trajectory(PROMPTS[0], 0.25), trajectory(PROMPTS[1], None)
    tracker.on_candidate(ball.candidates[0], ball)
    tracker.on_candidate(cats.candidates[0], cats)
    better = trajectory(PROMPTS[0], 0.25, 0.75)
    tracker.on_candidate(better.candidates[1], better)
    first = {"videos_generated": 1, "best_reward_mean": 0.25, "failures": 0, "reward": 0.25, "videos_per_minute": 2.0}
    second = {"videos_generated": 2, "best_reward_mean": 0.25, "failures": 1, "videos_per_minute": 2.0}
    third = {"videos_generated": 3, "best_reward_mean": 0.75, "failures": 1, "reward": 0.75, "videos_per_minute": 2.0}
    assert logger.rows == [(1, first), (2, second), (3, third)]


def test_a_resumed_run_counts_on_and_the_end_speaks_of_the_whole_run() -> None:
    earlier, logger = trajectory(PROMPTS[0], 0.5, None), Kept()
    tracker = Tracker(logger, recorded={PROMPTS[0].id: earlier.candidates}, clock=itertools.count(0, 60).__next__)
    cats = trajectory(PROMPTS[1], 1.0)
    tracker.on_candidate(cats.candidates[0], cats)
    step, scalars = logger.rows[-1]
    assert (step, scalars["best_reward_mean"], scalars["failures"], scalars["videos_per_minute"]) == (3, 0.75, 1, 1.0)
    tracker.finish([earlier, cats, trajectory(Prompt.of("bees"), 0.0)])
    assert logger.rows[-1] == (4, {"videos_generated": 4, "best_reward_mean": 0.5, "failures": 1})


def test_a_run_is_logged_to_csv_by_default_and_each_session_has_its_file(tmp_path: Path) -> None:
    logger = build_logger("csv", tmp_path)
    assert isinstance(logger, CSVLogger)
    assert not (tmp_path / "logs").exists(), "nothing is written before the first use"
    tracker = Tracker(logger)
    run(tmp_path, tracker)
    rows = csv_rows(tmp_path / "logs" / "version_0" / "metrics.csv")
    assert [int(float(row["videos_generated"])) for row in rows] == [1, 2, 3, 4, 5, 6]
    found = read_all(tmp_path)
    best = [max(c.reward for c in candidates if c.reward is not None) for candidates in found.values()]
    assert float(rows[-1]["best_reward_mean"]) == pytest.approx(sum(best) / 2)
    assert {float(row["reward"]) for row in rows} == {c.reward for candidates in found.values() for c in candidates}
    ended = [Trajectory(prompt=p, candidates=tuple(found[p.id]), best=found[p.id][0]) for p in PROMPTS]
    tracker.finish(ended)
    assert len(csv_rows(tmp_path / "logs" / "version_0" / "metrics.csv")) == 7
    second = build_logger("csv", tmp_path)
    Tracker(second).finish(ended)
    assert len(csv_rows(tmp_path / "logs" / "version_1" / "metrics.csv")) == 1


def test_tensorboard_gets_the_same_scalars(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logger = build_logger(TENSORBOARD, tmp_path)
    assert isinstance(logger, TensorBoardLogger)
    tracker = Tracker(logger)
    ball = trajectory(PROMPTS[0], 0.25, 0.5)
    for one in ball.candidates:
        tracker.on_candidate(one, ball)
    tracker.finish([ball])
    events = EventAccumulator(str(tmp_path / "logs" / "version_0"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("reward")] == [(1, 0.25), (2, 0.5)]
    assert [event.step for event in events.Scalars("best_reward_mean")] == [1, 2, 2]


def test_wandb_without_a_key_is_offline_and_stays_in_the_run_folder(own_wandb_folders: Path) -> None:
    import wandb

    folder = own_wandb_folders / "runs" / "first"
    folder.mkdir(parents=True)
    logger = build_logger(Part(class_path=WANDB["class_path"], init_args={"tags": ["demo"]}), folder)
    tracker = Tracker(logger, max_videos=1)
    identity = tracker.run_id
    assert isinstance(logger, WandbLogger)
    assert identity
    assert {os.environ[f"WANDB_{kind}"] for kind in ("DIR", "DATA_DIR", "CACHE_DIR")} == {str(folder)}
    ended = [trajectory(p, 0.25, 0.5, videos=rendered(folder, p)) for p in PROMPTS]
    for one in ended:
        tracker.on_candidate(one.candidates[0], one)
    assert (logger.experiment.id, logger.experiment.offline) == (identity, True)
    assert dict(logger.experiment.summary)["best_reward_mean"] == 0.5
    tracker.finish(ended)
    assert tracker.logger is logger, "nothing failed"
    assert wandb.run is None, "the run is closed"
    written = list((folder / "wandb").glob(f"offline-run-*-{identity}"))
    assert len(written) == 1
    assert len(list(written[0].rglob("*.mp4"))) == 1, "at most max_videos videos, as files"
    (table,) = written[0].rglob("prompts*.table.json")
    rows = json.loads(table.read_text())["data"]
    assert rows == [[p.id, p.text, f"{p.text} 1", 0.25, 0.5, 1, 2] for p in PROMPTS]
    outside = [path for path in own_wandb_folders.rglob("*") if path.is_file() and not path.is_relative_to(folder)]
    assert [path for path in outside if "wandb" in str(path.relative_to(own_wandb_folders))] == []
    assert run_id(build_logger(WANDB, folder, run_id=identity)) == identity


def test_wandb_keeps_to_folders_and_modes_that_are_set(own_wandb_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_DIR", str(own_wandb_folders / "elsewhere"))
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    logger = build_logger({**WANDB, "init_args": {"project": "films"}}, own_wandb_folders / "run")
    assert isinstance(logger, WandbLogger)
    assert (logger.save_dir, os.environ["WANDB_DIR"]) == (str(own_wandb_folders / "elsewhere"),) * 2
    assert (logger.name, logger._wandb_init.get("mode")) == ("films", None)


def test_a_key_in_the_netrc_file_means_online(own_wandb_folders: Path) -> None:
    import wandb

    host = wandb.Settings().base_url.removeprefix("https://")
    for machine, mode in (("example.org", "offline"), (host, None)):
        (own_wandb_folders / ".netrc").write_text(f"machine {machine} login user password {'0' * 40}\n")
        (own_wandb_folders / ".netrc").chmod(0o600)
        logger = build_logger(WANDB, own_wandb_folders)
        assert isinstance(logger, WandbLogger)
        assert logger._wandb_init.get("mode") == mode


def test_wandb_that_cannot_start_is_one_warning(
    own_wandb_folders: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(**arguments: object) -> None:
        raise socket.gaierror("no network")

    monkeypatch.setattr("wandb.init", refuse)
    tracker = Tracker(build_logger(WANDB, own_wandb_folders))
    run(own_wandb_folders, tracker)
    tracker.finish([])
    assert len(read_all(own_wandb_folders)) == 2
    assert [record.getMessage() for record in caplog.records if record.name == "rapo_lightning.tracking"] == [
        "tracking with WandbLogger has stopped (gaierror: no network)"
    ]


def test_wandb_that_is_not_installed_gives_way_to_csv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    assert isinstance(build_logger(WANDB, tmp_path), CSVLogger)
    assert [(record.levelno, "tracking to CSV instead" in record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, True)
    ]


def test_a_logger_that_raises_is_one_warning_and_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = Broken()
    tracker = Tracker(logger)
    run(tmp_path, tracker)
    tracker.finish([])
    assert {len(candidates) for candidates in read_all(tmp_path).values()} == {3}
    assert logger.calls == 1
    warnings = [record.getMessage() for record in caplog.records if record.name == "rapo_lightning.tracking"]
    assert warnings == ["tracking with Broken has stopped (OSError: [Errno 28] No space left on device)"]


def test_only_rank_0_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    logger, ball = Kept(), trajectory(PROMPTS[0], 0.5)
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    Tracker(logger).on_candidate(ball.candidates[0], ball)
    assert logger.rows == []
    monkeypatch.setattr(rank_zero_only, "rank", 0)
    Tracker(logger).on_candidate(ball.candidates[0], ball)
    assert len(logger.rows) == 1


def test_no_logger_and_wrong_ones(tmp_path: Path) -> None:
    assert build_logger(None, tmp_path) is None
    assert run_id(build_logger("csv", tmp_path)) is None
    ball = trajectory(PROMPTS[0], 0.5)
    Tracker(None).on_candidate(ball.candidates[0], ball)
    with pytest.raises(ConfigError, match="'mlflow' is neither csv nor a class_path"):
        build_logger("mlflow", tmp_path)
    with pytest.raises(ConfigError, match=r"'os\.system' is none of lightning\.pytorch\.loggers\.CSVLogger, "):
        build_logger({"class_path": "os.system"}, tmp_path)
    with pytest.raises(ConfigError, match="unexpected keyword argument 'colour'"):
        build_logger({"class_path": "lightning.pytorch.loggers.CSVLogger", "init_args": {"colour": "red"}}, tmp_path)
