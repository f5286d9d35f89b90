"""A training is mirrored to a logger: W&B goes on with its run, gets texts and the adapter, and never ends a training."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import CSVLogger, Logger

from rapo_lightning.run_folder import read_run
from rapo_lightning.tracking_tolerant import TolerantLogger
from rapo_lightning.training import train
from rapo_lightning.tuning.objectives import PREFERENCE_FIGURES
from tests.tuning.test_training import stop_after
from tests.tuning.tiny_training import save_pairs, save_training

WANDB = {"class_path": "lightning.pytorch.loggers.WandbLogger", "init_args": {"mode": "offline"}}


def test_figures_go_to_csv_by_default(tmp_path: Path) -> None:
    train(save_training(tmp_path, logger="csv", epochs=2), out=tmp_path / "run")
    (file,) = (tmp_path / "run/logs").rglob("metrics.csv")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert {"loss", "learning_rate", "validation_loss", "check_usable"} <= set(rows[0])
    assert any(row["loss"] for row in rows)


def test_preferences_are_told_as_trl_tells_them(tmp_path: Path) -> None:
    """Of the steps and of the validations: at first nothing is preferred, in the end the better answers are."""
    path = save_training(
        tmp_path, logger="csv", objective="dpo", epochs=3, trainer={"accelerator": "cpu", "log_every_n_steps": 1}
    )
    save_pairs(tmp_path / "pairs.jsonl", rejected=True)
    found = []
    for name, overrides in (("one", []), ("two", ["trainer.devices=2", "trainer.strategy=ddp_fork"])):
        train(path, out=tmp_path / name, overrides=overrides)
        (file,) = (tmp_path / name / "logs").rglob("metrics.csv")
        found.append(list(csv.DictReader(file.read_text().splitlines())))
    one, two = found
    assert float(one[0]["rewards/margins"]) == pytest.approx(0, abs=1e-6)
    for prefix in ("", "validation_"):
        *_, last = [row for row in one if row[f"{prefix}rewards/margins"]]
        chosen, rejected, accuracy, margin = (float(last[f"{prefix}{figure}"]) for figure in PREFERENCE_FIGURES)
        assert margin == pytest.approx(chosen - rejected, abs=1e-4)
        assert 0.9 < accuracy <= 1
        *_, other = [row for row in two if row[f"{prefix}rewards/margins"]]
        assert float(other[f"{prefix}rewards/margins"]) == pytest.approx(margin, abs=1e-3)


def test_wandb_gets_the_adapter_and_goes_on_with_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb")
    for variable in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "wandb"))
    (tmp_path / "wandb").mkdir()
    logged: list[Any] = []
    real = wandb.Run.log_artifact
    monkeypatch.setattr(wandb.Run, "log_artifact", lambda run, artifact, **o: logged.append(artifact) or real(run, artifact, **o))
    path = save_training(tmp_path, logger=WANDB, check={"prompts": 2, "max_new_tokens": 6})
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        train(path, out=tmp_path / "run")
    identity = read_run(tmp_path / "run")["tracking_id"]
    train(path, out=tmp_path / "run")
    assert read_run(tmp_path / "run")["tracking_id"] == identity
    assert wandb.run is None, "the run is closed"
    assert [artifact.name.partition(":")[0] for artifact in logged if artifact.type == "model"] == ["adapter-run"]
    folders = list((tmp_path / "wandb").rglob("offline-run-*"))  # "-1" is appended if both sessions began within a second
    assert {folder.name.split("-")[3] for folder in folders} == {identity}


def test_a_logger_that_fails_is_silenced_after_one_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    class Broken(CSVLogger):
        calls = 0

        def log_metrics(self, *given: Any, **more: Any) -> None:
            Broken.calls += 1
            raise OSError("no network")

    inner: Logger = Broken(tmp_path)
    logger = TolerantLogger(inner)
    for step in range(3):
        logger.log_metrics({"loss": 1.0}, step)
    logger.save()
    logger.finalize("success")
    assert Broken.calls == 1
    assert [record.message for record in caplog.records] == ["tracking with Broken has stopped (OSError: no network)"]
    assert logger.name is None


def test_a_full_disk_while_saving_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from rapo_lightning.errors import StorageError
    from rapo_lightning.tuning import export

    path = save_training(tmp_path)

    def full(*given: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(export.lora, "save", full)
        with pytest.raises((StorageError, OSError), match="No space left"):
            train(path, out=tmp_path / "run")
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "failed"
    assert not (tmp_path / "run/adapter").exists()
    for checkpoint in (tmp_path / "run/checkpoints").glob("*.ckpt"):
        assert torch.load(checkpoint, weights_only=True)["state_dict"]
    assert train(path, out=tmp_path / "run").exit_code == 0, "the same call goes on"
