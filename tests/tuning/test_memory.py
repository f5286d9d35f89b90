"""Out of memory amid a training: one line that names the keys that help, checkpoints whole, and less at once goes on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from cli import app
from rapo_lightning.errors import TrainingError
from rapo_lightning.run_folder import read_run
from rapo_lightning.sections_train import TrainConfig
from rapo_lightning.training import train
from rapo_lightning.tuning.lessons import Lessons
from rapo_lightning.tuning.memory import advice, ran_out
from rapo_lightning.tuning.module import RewriterModule
from rapo_lightning.tuning.tokens import TokenLesson
from tests.tuning.test_training import weights
from tests.tuning.tiny_training import save_training

LESSONS = Lessons(learn=[(TokenLesson((1, 2, 3), 2),)], validate=[], pairs=1, validation_pairs=0, hash="")


def run_out_at(monkeypatch: pytest.MonkeyPatch, step: int, lessons: int, error: Exception) -> None:
    """From this step on, so many lessons at once are too many."""
    plain = RewriterModule.training_step

    def training_step(self: RewriterModule, batch: Any, index: int) -> Any:
        if self.trainer.global_step + 1 >= step and len(batch.ids) >= lessons:
            raise error
        return plain(self, batch, index)

    monkeypatch.setattr(RewriterModule, "training_step", training_step)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"),
    ],
)
def test_memory_that_runs_out_is_one_line_and_less_at_once_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    path = save_training(tmp_path, micro_batch_size=4)
    run_out_at(monkeypatch, 8, 4, error)
    result = CliRunner().invoke(app, ["train", str(path), "--out", str(tmp_path / "run"), "--quiet"])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("rapo: out of memory at step 8, with 4 lessons of at most ")
    assert " at once: this run goes on after step 5 with micro_batch_size below 4 or gradient_checkpointing: true; " in line
    assert "another one, in another folder, would need less with data.max_length below " in line
    assert "four_bit" not in line, "that needs CUDA"
    assert read_run(tmp_path / "run")["status"] == "failed"
    assert [one.name for one in (tmp_path / "run/checkpoints").iterdir()] == ["step-5.ckpt"]
    again = train(path, out=tmp_path / "run", overrides=["micro_batch_size=2"])
    whole = train(path, out=tmp_path / "whole", overrides=["micro_batch_size=2"])
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(again)[name], value, atol=1e-4, rtol=0)


def test_two_processes_that_run_out_are_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path)
    run_out_at(monkeypatch, 3, 4, torch.OutOfMemoryError("CUDA out of memory."))
    with pytest.raises(TrainingError, match=r"out of memory, with 4 lessons of .* goes on from its beginning"):
        train(path, out=tmp_path / "run", overrides=["trainer.devices=2", "trainer.strategy=ddp_fork"])


def test_other_errors_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_out_at(monkeypatch, 2, 1, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(save_training(tmp_path), out=tmp_path / "run")
    assert ran_out(MemoryError())
    assert not ran_out(ValueError("out of memory"))


def told(**changes: Any) -> str:
    values = {"model": "base", "form": {"task": "refine"}, "data": {"train": ["pairs.jsonl"]}, **changes}
    return advice(TrainConfig.model_validate(values), LESSONS, size=changes["micro_batch_size"], step=3, kept=2, on_cuda=True)


def test_only_what_is_not_done_yet_is_advised() -> None:
    everything = told(micro_batch_size=8, check={"optimize": "wan.yaml"}, objective="dpo")
    assert everything == (
        "out of memory at step 3, with 8 lessons by two answers each of at most 3 tokens at once: this run goes on after step 2 "
        "with micro_batch_size below 8 or gradient_checkpointing: true or check.optimize: null, whose models share the device; "
        "another one, in another folder, would need less with data.max_length below 3, lora.rank below 64, dtype: bfloat16, "
        "four_bit: true, trainer.strategy: fsdp2 on several GPUs"
    )
    nothing = told(micro_batch_size=1, gradient_checkpointing=True, four_bit=True, trainer={"strategy": "fsdp2"})
    assert nothing == (
        "out of memory at step 3, with 1 lessons of at most 3 tokens at once: "
        "another one, in another folder, would need less with data.max_length below 3, lora.rank below 64"
    )


@pytest.mark.parametrize("given", [None, "PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_memory_grows_in_place_unless_the_user_says_how(monkeypatch: pytest.MonkeyPatch, given: str | None) -> None:
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        monkeypatch.setenv(name, "max_split_size_mb:512")  # so that it is as before afterwards
        if name != given:
            monkeypatch.delenv(name)
    assert CliRunner().invoke(app, ["train", "nowhere.yaml", "--out", "nowhere"]).exit_code == 2
    wanted = "expandable_segments:True" if given is None else "max_split_size_mb:512" if given == "PYTORCH_ALLOC_CONF" else None
    assert os.environ.get("PYTORCH_ALLOC_CONF") == wanted
