"""Early stopping: validations that get no better end a training, which says so, and what was killed by then ends the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from rapo_lightning.errors import InputError
from rapo_lightning.run_folder import read_run
from rapo_lightning.terminal_train import trained_text
from rapo_lightning.training import Trained, train
from rapo_lightning.tuning import export
from rapo_lightning.tuning.checkpoints import out_of_patience
from tests.tuning.test_training import stop_after
from tests.tuning.tiny_training import save_training

#: Too small a rate to change anything: the first validation is the best of all.
STILL: dict[str, Any] = {"optimizer": {"learning_rate": 1e-30}, "epochs": 9, "patience": 2, "check": {"prompts": 0}}


def assert_stopped(trained: Trained) -> None:
    """After the third validation of six."""
    summary = trained.summary
    assert trained.exit_code == 0
    assert trained.adapter is not None
    assert (summary["stopped"], summary["steps"], summary["planned_steps"], summary["exported_step"]) == ("patience", 30, 60, 10)
    assert (read_run(trained.folder)["status"], read_run(trained.folder)["summary"]["stopped"]) == ("done", "patience")


def test_a_training_without_progress_ends_and_says_so(tmp_path: Path) -> None:
    path = save_training(tmp_path, **STILL)
    trained = train(path, out=tmp_path / "run")
    assert_stopped(trained)
    assert ": 30 of 60 steps, as the validation loss did not get better any more; of the best, step 10, " in trained_text(trained)
    assert "for 30 steps of 8 lessons; of step 10." in (tmp_path / "run/adapter/README.md").read_text()
    assert_stopped(train(path, out=tmp_path / "run", listen=lambda progressed: pytest.fail("nothing is left to train")))


@pytest.mark.parametrize(("step", "save_every"), [(20, 100), (20, 5), (27, 100)])
def test_the_count_survives_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int, save_every: int) -> None:
    """Also at a validation, where a checkpoint is due as well or is not."""
    path = save_training(tmp_path, **STILL, save_every=save_every)
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        part = train(path, out=tmp_path / "run")
    assert (part.exit_code, part.summary) == (75, {"step": step, "steps": 60, "stopped": "signal"})
    assert read_run(tmp_path / "run")["stopped"] == "signal"
    assert_stopped(train(path, out=tmp_path / "run"))


def test_what_ended_but_was_not_exported_is_exported_by_the_same_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path, **STILL)

    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export.lora, "save", full)
        with pytest.raises(OSError, match="No space left"):
            train(path, out=tmp_path / "run")
    assert out_of_patience(tmp_path / "run/checkpoints/step-30.ckpt")
    assert_stopped(train(path, out=tmp_path / "run", listen=lambda progressed: pytest.fail("nothing is left to train")))


def test_two_processes_end_together(tmp_path: Path) -> None:
    overrides = ["trainer.devices=2", "trainer.strategy=ddp_fork"]
    assert_stopped(train(save_training(tmp_path, **STILL), out=tmp_path / "run", overrides=overrides))


def test_progress_is_waited_for(tmp_path: Path) -> None:
    trained = train(save_training(tmp_path, patience=1), out=tmp_path / "run")
    assert (trained.summary["stopped"], trained.summary["steps"]) == ("steps", 20)
    assert not out_of_patience(tmp_path / "run/checkpoints/step-20.ckpt")
    assert ": 20 steps; of the best, " in trained_text(trained)


def test_a_time_limit_is_named(tmp_path: Path) -> None:
    part = train(save_training(tmp_path), out=tmp_path / "run", overrides=["trainer.max_time={seconds: 0.001}"])
    assert part.summary["stopped"] == "max_time"
    assert trained_text(part) == "stopped after step 0 of 20 (trainer.max_time); the same command goes on"


def test_patience_needs_a_validation(tmp_path: Path) -> None:
    path = save_training(tmp_path, patience=2, data={"train": ["pairs.jsonl"], "validation": 0.0})
    with pytest.raises(InputError, match="patience: nothing is kept apart to validate on"):
        train(path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    train(save_training(tmp_path), out=tmp_path / "run")
    checkpoints = tmp_path / "run/checkpoints"
    assert sorted(path.name for path in checkpoints.glob("step-*")) == ["step-15.ckpt", "step-20.ckpt"]
    state = torch.load(checkpoints / "step-20.ckpt", weights_only=True)["callbacks"]
    best = next(one for one in state.values() if one.get("monitor") == "validation_loss" and "best_model_score" in one)
    assert best["best_model_score"] is not None, "it was written after the validation that was due"
