"""How trainings end: by themselves, by signals, at a time limit, diverged; what lies in the folder then, and how they go on."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from rapo_lightning.errors import ConfigError, TrainingError, WeightsError
from rapo_lightning.run_folder import read_run
from rapo_lightning.training import train
from rapo_lightning.tuning.callbacks import KeepState, Progressed
from rapo_lightning.tuning.checkpoints import WholeCheckpoints, latest
from rapo_lightning.tuning.checks import CheckTexts
from tests.tuning.test_training import stop_after, weights
from tests.tuning.tiny_training import save_training


def test_a_training_that_diverges_is_an_error_and_exports_nothing(tmp_path: Path) -> None:
    path = save_training(tmp_path, optimizer={"learning_rate": 1e30, "clip": None})
    with pytest.raises(TrainingError, match=r"(is (nan|inf)|is not finite) at step \d+: the training has diverged; try a lower"):
        train(path, out=tmp_path / "run")
    assert not (tmp_path / "run/adapter").exists()
    assert read_run(tmp_path / "run")["status"] == "failed"


@pytest.mark.parametrize("seconds", [0.001, 0.1])
def test_a_time_limit_ends_a_training_that_goes_on_later(tmp_path: Path, seconds: float) -> None:
    """Wherever it falls, amid a step, too: the first of them ends within the first one."""
    path = save_training(tmp_path, epochs=8, micro_batch_size=2)
    part = train(path, out=tmp_path / "run", overrides=[f"trainer.max_time={{seconds: {seconds}}}"])
    assert part.exit_code == 75
    assert 0 <= part.summary["step"] < part.summary["steps"]
    assert (tmp_path / f"run/checkpoints/step-{part.summary['step']}.ckpt").is_file()
    again, whole = train(path, out=tmp_path / "run"), train(path, out=tmp_path / "whole")
    assert again.exit_code == 0
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(again)[name], value, atol=1e-6, rtol=0)


def test_ctrl_c_ends_after_the_step_as_other_signals_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 7, signal.SIGINT)
        part = train(path, out=tmp_path / "run")
    assert (part.exit_code, part.summary["step"]) == (75, 7)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("step", [10, 20])
def test_a_stop_at_a_validation_step_validates_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    path = save_training(tmp_path)
    whole = train(path, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, step)
        train(path, out=tmp_path / "run")
    again = train(path, out=tmp_path / "run")
    assert again.summary["validation_loss"] == pytest.approx(whole.summary["validation_loss"], abs=1e-6)
    assert again.summary["exported_step"] == whole.summary["exported_step"]
    steps = [json.loads(line)["step"] for line in (tmp_path / "run/checks.jsonl").read_text().splitlines()]
    assert steps == [10, 20]


def test_a_validation_that_is_cut_off_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though a checkpoint is due at its step."""
    path = save_training(tmp_path)
    whole = train(path, out=tmp_path / "whole")

    def cut(*given: Any) -> None:
        raise RuntimeError("the power is off")

    with monkeypatch.context() as patch:
        patch.setattr(CheckTexts, "on_validation_epoch_end", cut)
        with pytest.raises(RuntimeError, match="power"):
            train(path, out=tmp_path / "run")
    assert latest(tmp_path / "run") == tmp_path / "run/checkpoints/step-5.ckpt"
    again = train(path, out=tmp_path / "run")
    assert again.summary == whole.summary
    assert (tmp_path / "run/checks.jsonl").read_text() == (tmp_path / "whole/checks.jsonl").read_text()


def test_a_process_that_is_late_saves_with_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there when it comes, but the others wait for it."""
    plain = KeepState._save

    def late(self: KeepState, trainer: Any) -> None:
        time.sleep(0.3 * trainer.global_rank)
        plain(self, trainer)

    monkeypatch.setattr(KeepState, "_save", late)
    path = save_training(tmp_path, check={"prompts": 0})
    trained = train(path, out=tmp_path / "run", overrides=["trainer.devices=2", "trainer.strategy=ddp_fork"])
    assert (trained.exit_code, trained.summary["last_validation_loss"] is None) == (0, False)


def test_a_torn_checkpoint_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_training(tmp_path)
    whole = train(path, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        train(path, out=tmp_path / "run")
    newest, older = (tmp_path / f"run/checkpoints/step-{step}.ckpt" for step in (7, 5))
    assert latest(tmp_path / "run") == newest
    newest.write_bytes(newest.read_bytes()[:-1000])
    assert latest(tmp_path / "run") == older
    assert "step-7.ckpt: is not whole" in caplog.text
    again = train(path, out=tmp_path / "run")
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(again)[name], value, atol=1e-6, rtol=0)
    for checkpoint in (tmp_path / "run/checkpoints").glob("step-*"):
        checkpoint.write_bytes(b"")
    with pytest.raises(WeightsError, match="none of its checkpoints is whole"):
        latest(tmp_path / "run")


def test_a_checkpoint_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer, target = WholeCheckpoints(), tmp_path / "deep" / "step-1.ckpt"
    writer.save_checkpoint({"step": 1}, target)

    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space left"):
        writer.save_checkpoint({"step": 2}, target)
    assert torch.load(target, weights_only=True) == {"step": 1}
    assert [path.name for path in target.parent.iterdir()] == ["step-1.ckpt"]


def test_the_date_in_a_template_is_no_other_lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Llama 3.2's chat template writes today's date."""
    path = save_training(tmp_path)
    template = tmp_path / "base" / "chat_template.jinja"
    template.write_text("{{ strftime_now('%N') }}" + template.read_text())
    with monkeypatch.context() as patch:
        stop_after(patch, 5)
        train(path, out=tmp_path / "run")
    assert train(path, out=tmp_path / "run").exit_code == 0


def test_wrong_layers_leave_no_folder(tmp_path: Path) -> None:
    path = save_training(tmp_path, lora={"layers": ["q_prj"]})
    with pytest.raises(WeightsError, match="no linear layer named q_prj"):
        train(path, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("trainer", "says"),
    [
        ({"precision": "bf16-true"}, "would hold the adapter in less than 32 bits"),
        ({"log_every_n_steps": 0}, "must be a whole number of at least 1, not 0"),
        ({"fast_dev_run": True}, "is decided by the rest of the configuration"),
    ],
)
def test_trainer_arguments_that_cannot_be_had(tmp_path: Path, trainer: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        train(save_training(tmp_path, trainer={"accelerator": "cpu", **trainer}), out=tmp_path / "run")


def test_what_goes_on_says_from_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        train(path, out=tmp_path / "run")
    begun: list[tuple[int, int]] = []
    told: list[Progressed] = []
    train(path, out=tmp_path / "run", started=lambda lessons, steps, done: begun.append((steps, done)), listen=told.append)
    assert begun == [(20, 7)]
    assert told[-1].checked is not None
