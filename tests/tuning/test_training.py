"""A whole training: pairs in, an adapter out that the suite loads; it goes on exactly where it stopped; bad input is refused."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from rapo_lightning.checking import check
from rapo_lightning.errors import ConfigError, InputError, RunFolderError, WeightsError
from rapo_lightning.language import HuggingFaceChat
from rapo_lightning.run_folder import read_run
from rapo_lightning.terminal_train import _says
from rapo_lightning.training import Trained, train
from rapo_lightning.tuning import callbacks
from rapo_lightning.tuning.callbacks import Progressed
from rapo_lightning.tuning.module import RewriterModule
from rapo_lightning.types import ModelReference, Reply
from tests.house.modules import ROOT
from tests.tiny_language import FAMILIES, save_chat_model
from tests.tuning.tiny_training import save_pairs, save_training


def adapter_of(trained: Trained) -> Path:
    assert trained.adapter is not None
    return trained.adapter


def weights(trained: Trained) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(adapter_of(trained) / "adapter_model.safetensors")


def stop_after(monkeypatch: pytest.MonkeyPatch, step: int, number: int = signal.SIGTERM) -> None:
    """A signal comes during this step."""
    before = callbacks.KeepState.on_train_batch_end

    def at(self: Any, trainer: Any, *given: Any) -> None:
        if trainer.global_step == step:
            os.kill(os.getpid(), number)
        before(self, trainer, *given)

    monkeypatch.setattr(callbacks.KeepState, "on_train_batch_end", at)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_adapter_learns_and_answers(tmp_path: Path, family: str) -> None:
    told: list[Progressed] = []
    trained = train(save_training(tmp_path, family, epochs=12), out=tmp_path / "run", listen=told.append)
    assert trained.exit_code == 0
    losses = [one.loss for one in told if one.loss is not None]
    assert losses[-1] < 0.6 * losses[0]
    assert told[-1].step == told[-1].steps
    summary = json.loads((trained.folder / "run.json").read_text())
    assert summary["status"] == "done"
    assert summary["summary"]["validation_loss"] < losses[0]
    chat = HuggingFaceChat(ModelReference(str(tmp_path / "base")), adapter=ModelReference(str(adapter_of(trained))))
    (answer,) = chat.chat([[{"role": "user", "content": "a red ball"}]], max_new_tokens=8)
    assert isinstance(answer, Reply)


def test_mixed_precision_trains_with_clipped_gradients_as_on_a_gpu(tmp_path: Path) -> None:
    optimizer = {"learning_rate": 0.02, "clip": 1.0}
    path = save_training(tmp_path, optimizer=optimizer, trainer={"accelerator": "cpu", "precision": "bf16-mixed"})
    trained = train(path, out=tmp_path / "run")
    exact = train(save_training(tmp_path), out=tmp_path / "exact")
    assert trained.summary["validation_loss"] == pytest.approx(exact.summary["validation_loss"], rel=0.1)


def test_an_interrupted_training_continues_exactly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path, lora={"rank": 4, "alpha": 8, "dropout": 0.2})
    whole = train(path, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        part = train(path, out=tmp_path / "run")
    assert (part.adapter, part.exit_code, part.summary["step"]) == (None, 75, 7)
    assert json.loads((tmp_path / "run/run.json").read_text())["status"] == "interrupted"
    told: list[Progressed] = []
    again = train(path, out=tmp_path / "run", listen=told.append)
    assert told[0].step > 7
    assert again.summary["validation_loss"] == pytest.approx(whole.summary["validation_loss"], abs=1e-6)
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(again)[name], value, atol=1e-6, rtol=0)


def test_a_finished_training_is_left_as_it_is(tmp_path: Path) -> None:
    path = save_training(tmp_path, epochs=1)
    first = train(path, out=tmp_path / "run")
    stamp = hashlib.sha256((adapter_of(first) / "adapter_model.safetensors").read_bytes()).hexdigest()
    again = train(path, out=tmp_path / "run", listen=lambda progressed: pytest.fail("nothing is left to train"))
    assert hashlib.sha256((adapter_of(again) / "adapter_model.safetensors").read_bytes()).hexdigest() == stamp


def test_other_data_or_settings_need_another_folder(tmp_path: Path) -> None:
    path = save_training(tmp_path, epochs=1)
    train(path, out=tmp_path / "run")
    with pytest.raises(RunFolderError, match="batch_size"):
        train(path, out=tmp_path / "run", overrides=["batch_size=4"])
    save_pairs(tmp_path / "pairs.jsonl", 50)
    with pytest.raises(RunFolderError, match="lessons"):
        train(path, out=tmp_path / "run")


def test_checkpoints_hold_the_adapter_alone_and_foreign_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path)
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        train(path, out=tmp_path / "run")
    (checkpoint,) = (tmp_path / "run/checkpoints").glob("step-6.ckpt")
    state = torch.load(checkpoint, weights_only=True)
    assert state["state_dict"]
    assert all("lora_" in name for name in state["state_dict"])
    dropped = state["state_dict"].popitem()
    torch.save(state, checkpoint)
    with pytest.raises(WeightsError, match="another adapter"):
        train(path, out=tmp_path / "run")
    state["state_dict"].update([dropped])
    torch.save(state | {"evil": Path("x")}, checkpoint)
    with pytest.raises(WeightsError, match=r"step-6\.ckpt: .*objects"):
        train(path, out=tmp_path / "run")


def test_an_adapter_is_trained_on(tmp_path: Path) -> None:
    """Named by its run; rank and layers are its own, and the card says so."""
    first = train(save_training(tmp_path, epochs=2), out=tmp_path / "first")
    path = save_training(tmp_path, adapter=str(first.folder), epochs=2, lora={"rank": 64})
    second = train(path, out=tmp_path / "second")
    assert second.summary["validation_loss"] < first.summary["validation_loss"]
    assert "| rank, alpha, dropout | 4, 8, 0.0 |" in (adapter_of(second) / "README.md").read_text()


def test_a_template_of_ones_own_lies_beside_the_configuration(tmp_path: Path) -> None:
    path = save_training(tmp_path / "sub", form={"task": "refine", "style": "my.md"}, epochs=1)
    (tmp_path / "sub/my.md").write_text("## user\nSay it better: {request}\n")
    assert train(path, out=tmp_path / "run").exit_code == 0


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"data": {"train": ["missing.jsonl"]}}, ConfigError, r"train\.yaml:1: data\.train\.0: .*missing\.jsonl: no such file"),
        ({"model": "nowhere"}, ConfigError, "model: .*no such folder"),
        ({"lora": {"layers": ["q_proj", "w_pack"]}}, WeightsError, "no linear layer named w_pack; it has .*q_proj"),
        ({"form": {"task": "refine", "style": "wam"}}, ConfigError, "did you mean 'wan'"),
        ({"form": {"task": "select"}}, InputError, "has no rejected text"),
        ({"form": {"task": "sleep"}}, ConfigError, "form"),
        ({"data": {"train": ["pairs.jsonl"], "max_length": 20}}, InputError, "nothing to learn from: more than 20 tokens"),
        ({"data": {"train": ["pairs.jsonl"], "validation": ["pairs.jsonl"]}}, InputError, "60 prompts are in data.train, too"),
        ({"trainer": {"max_epochs": 3}}, ConfigError, r"trainer\.max_epochs: is decided by the rest"),
        ({"trainer": {"accelerator": "abacus"}}, ConfigError, "trainer: .*abacus"),
        ({"learning_rate": 3}, ConfigError, "unknown key"),
        pytest.param(
            {"four_bit": True},
            WeightsError,
            "a 4-bit base needs a CUDA device and the package bitsandbytes",
            marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is one"),
        ),
    ],
)
def test_what_cannot_be_trained_is_refused(tmp_path: Path, changes: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        train(save_training(tmp_path, **changes), out=tmp_path / "run")


def test_an_adapter_of_another_base_is_refused(tmp_path: Path) -> None:
    first = train(save_training(tmp_path, epochs=1), out=tmp_path / "first")
    save_chat_model(tmp_path / "another")
    path = save_training(tmp_path, model="another", adapter=str(adapter_of(first)))
    with pytest.raises(WeightsError, match="belongs to the base model 'base', not to 'another'"):
        train(path, out=tmp_path / "second")


def test_selection_is_taught_in_both_orders(tmp_path: Path) -> None:
    path = save_training(tmp_path, form={"task": "select"}, data={"train": ["pairs.jsonl"], "validation": 0.1})
    save_pairs(tmp_path / "pairs.jsonl", rejected=True)
    trained = train(path, out=tmp_path / "run")
    data = json.loads((trained.folder / "run.json").read_text())["data"]
    assert data["lessons"] == 2 * data["pairs"]
    assert data["validation_lessons"] == 2 * data["validation_pairs"] > 0


def test_two_processes_learn_what_one_would(tmp_path: Path) -> None:
    path = save_training(tmp_path, micro_batch_size=2, data={"train": ["pairs.jsonl"], "validation": 0.15})
    one = train(path, out=tmp_path / "one")
    two = train(path, out=tmp_path / "two", overrides=["trainer.devices=2", "trainer.strategy=ddp_fork"])
    assert one.summary["steps"] >= 19
    assert two.summary["validation_loss"] == pytest.approx(one.summary["validation_loss"], abs=1e-4)
    for name, value in weights(one).items():
        torch.testing.assert_close(weights(two)[name], value, atol=1e-4, rtol=0)


def test_without_validation_the_last_step_is_exported(tmp_path: Path) -> None:
    path = save_training(tmp_path, epochs=1, data={"train": ["pairs.jsonl"], "validation": 0.0})
    trained = train(path, out=tmp_path / "run")
    assert trained.summary["exported_step"] == trained.summary["steps"]
    assert trained.summary["validation_loss"] is None


@pytest.mark.parametrize("goes_on", [False, True])
def test_dpo_prefers_the_better_answers(tmp_path: Path, goes_on: bool) -> None:
    """From the base alone, and from an adapter, which then is the reference."""
    start = train(save_training(tmp_path, epochs=2), out=tmp_path / "sft")
    adapter = str(adapter_of(start)) if goes_on else None
    path = save_training(tmp_path, objective="dpo", adapter=adapter, optimizer={"learning_rate": 0.01}, epochs=3)
    save_pairs(tmp_path / "pairs.jsonl", rejected=True)
    told: list[Progressed] = []
    trained = train(path, out=tmp_path / "dpo", listen=told.append)
    assert told[0].loss == pytest.approx(math.log(2), abs=1e-4), "nothing is preferred at first"
    assert trained.summary["validation_loss"] < 0.6
    assert told[-1].preferred is not None
    assert "preferred 1.00" in _says(told[-1])
    assert len(weights(trained)) == len(weights(start)), "the reference is not exported"


def run_command(path: Path, out: Path, *more: str) -> dict[str, Any]:
    """``rapo train`` in processes of its own."""
    command = [sys.executable, str(ROOT / "cli.py"), "train", str(path), "--out", str(out), "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=path.parent)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_same(found: dict[str, Any], expected: Trained) -> None:
    assert found["validation_loss"] == pytest.approx(expected.summary["validation_loss"], abs=1e-4)
    trained = Trained(folder=Path(found["folder"]), adapter=Path(found["adapter"]), summary={})
    for name, value in weights(expected).items():
        torch.testing.assert_close(weights(trained)[name], value, atol=1e-4, rtol=0)


def test_a_training_goes_on_in_more_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped in one process, continued in two that the command line starts: the same adapter in the end."""
    path = save_training(tmp_path, micro_batch_size=2)
    whole = train(path, out=tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 7)
        train(path, out=tmp_path / "run")
    with pytest.raises(ConfigError, match="holds an optimizer's state of another kind; go on with one that does not shard"):
        train(path, out=tmp_path / "run", overrides=["trainer.strategy=fsdp2"])
    found = run_command(path, tmp_path / "run", "--set", "trainer.strategy=ddp", "--devices", "2")
    assert_same(found, whole)


def test_sharded_weights_learn_the_same(tmp_path: Path) -> None:
    path = save_training(tmp_path, micro_batch_size=2)
    arguments = (path, tmp_path / "run", "--set", "trainer.strategy=fsdp2", "--devices", "2")
    found, whole = run_command(*arguments), train(path, out=tmp_path / "whole")
    assert_same(found, whole)
    checks = [(tmp_path / name / "checks.jsonl").read_text() for name in ("run", "whole")]
    assert checks[0] == checks[1], "what a sharded model writes"
    # Gone on with from its last checkpoint but one, it ends the same.
    shutil.rmtree(tmp_path / "run/adapter")
    for name in ("step-20", "best-20"):
        (tmp_path / f"run/checkpoints/{name}.ckpt").unlink()
    assert_same(run_command(*arguments), whole)


def test_a_configuration_is_checked_without_training(tmp_path: Path) -> None:
    path = save_training(tmp_path)
    assert check(path) | {"model": ""} == {"kind": "train", "task": "refactor", "objective": "sft", "model": ""}
    with pytest.raises(ConfigError, match=r"form: no style is named 'wam', did you mean 'wan'"):
        check(path, overrides=['form={"task": "refine", "style": "wam"}'])
    with pytest.raises(ConfigError, match="nowhere"):
        check(path, overrides=["model=nowhere"])


def test_a_training_survives_a_kill(tmp_path: Path) -> None:
    path = save_training(tmp_path, save_every=2)
    command = [sys.executable, str(ROOT / "cli.py"), "train", str(path), "--out", str(tmp_path / "run"), "--quiet"]
    with subprocess.Popen(command, cwd=tmp_path) as training:
        while not list((tmp_path / "run").glob("checkpoints/step-*.ckpt")):
            assert training.poll() is None, "it ended before it could be killed"
            time.sleep(0.01)
        training.kill()
    assert read_run(tmp_path / "run")["status"] == "running"
    again, whole = train(path, out=tmp_path / "run"), train(path, out=tmp_path / "whole")
    for name, value in weights(whole).items():
        torch.testing.assert_close(weights(again)[name], value, atol=1e-6, rtol=0)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's own, amid compiling
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("option", ["gradient_checkpointing", "compile"])
def test_what_trades_time_for_memory_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    """Compiled by the backend that needs no compiler of C++."""
    compiled: list[torch.nn.Module] = []
    real = torch.nn.Module.compile

    def compile(self: torch.nn.Module, **given: Any) -> None:
        compiled.append(self)
        real(self, **given, backend="aot_eager")

    monkeypatch.setattr(torch.nn.Module, "compile", compile)
    lengths: list[int] = []
    seen = RewriterModule.training_step
    monkeypatch.setattr(
        RewriterModule,
        "training_step",
        lambda self, batch, index: lengths.append(batch.ids.shape[1]) or seen(self, batch, index),  # type: ignore[func-returns-value]
    )
    path = save_training(tmp_path, epochs=0.3)
    plain = train(path, out=tmp_path / "plain")
    assert any(length % 8 for length in lengths)
    lengths.clear()
    other = train(path, out=tmp_path / "other", overrides=[f"{option}=true"])
    assert len(compiled) == (2 if option == "compile" else 0), "each block of the decoder"
    assert option != "compile" or not any(length % 8 for length in lengths), "another alignment would be compiled anew"
    for name, value in weights(plain).items():
        torch.testing.assert_close(weights(other)[name], value, atol=1e-4, rtol=0)
