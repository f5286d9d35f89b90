"""Trainings on odd input: damaged files, weights that diverge, seeds and layers that nobody expects."""

from __future__ import annotations

import csv
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from lightning import Trainer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from rapo_lightning.errors import ConfigError, InputError, StorageError, TrainingError, WeightsError
from rapo_lightning.exporting import export
from rapo_lightning.training import train
from rapo_lightning.tuning.checkpoints import kept, latest
from tests.tuning.test_training import assert_same, run_command, stop_after
from tests.tuning.tiny_training import save_pairs, save_training


def test_weights_that_diverge_replace_no_good_checkpoint(tmp_path: Path) -> None:
    path = save_training(tmp_path, optimizer={"learning_rate": 1e30, "clip": None}, save_every=2, validate_every=100)
    for _ in range(2):
        with pytest.raises(TrainingError, match="has diverged; try a lower"):
            train(path, out=tmp_path / "run")
        for checkpoint in kept(tmp_path / "run" / "checkpoints", "step"):
            state = torch.load(checkpoint, weights_only=True)["state_dict"]
            assert all(bool(torch.isfinite(value).all()) for value in state.values())


def test_a_large_seed(tmp_path: Path) -> None:
    path = save_training(tmp_path, epochs=0.3)
    assert train(path, out=tmp_path / "run", overrides=[f"seed={2**63 - 1}"]).adapter
    with pytest.raises(ConfigError, match="seed"):
        train(path, out=tmp_path / "other", overrides=[f"seed={2**63}"])


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT's
def test_biases_that_an_adapter_trains(tmp_path: Path) -> None:
    path = save_training(tmp_path, epochs=0.6, adapter="biased")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    settings = peft.LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], bias="lora_only", task_type="CAUSAL_LM")
    peft.get_peft_model(base, settings).save_pretrained(tmp_path / "biased", save_embedding_layers=False)
    config = tmp_path / "biased" / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"base_model_name_or_path": "base"}))
    adapter = train(path, out=tmp_path / "run").adapter
    assert adapter is not None
    before, after = (load_file(folder / "adapter_model.safetensors") for folder in (tmp_path / "biased", adapter))
    biases = [name for name in before if name.endswith("bias")]
    assert len(biases) == 4
    assert all(float((after[name] - before[name]).abs().max()) > 1e-3 for name in biases)


def test_an_output_layer_is_adapted_where_a_process_has_no_lesson_left(tmp_path: Path) -> None:
    """Three lessons to validate on two processes: one looks at a lesson without an answer, of which the head sees nothing."""
    path = save_training(
        tmp_path, epochs=0.3, lora={"rank": 4, "dropout": 0.0, "layers": ["lm_head", "q_proj"]}, micro_batch_size=1
    )
    config = tmp_path / "base" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"tie_word_embeddings": False}))
    weights = load_file(tmp_path / "base" / "model.safetensors")
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, tmp_path / "base" / "model.safetensors", {"format": "pt"})
    whole = train(path, out=tmp_path / "one")
    found = run_command(path, tmp_path / "two", "--set", "trainer.devices=2", "--set", "trainer.strategy=ddp_fork")
    assert_same(found, whole)


def broken(checkpoint: Path, how: str) -> None:
    """Damage a checkpoint."""
    if how == "bits":
        content = bytearray(checkpoint.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 200] = bytes(byte ^ 0xFF for byte in content[middle : middle + 200])
        checkpoint.write_bytes(content)
    elif how == "zip":
        with zipfile.ZipFile(checkpoint, "w") as file:
            file.writestr("a.txt", "a")
    else:
        torch.save({"tensor": torch.zeros(3), "list": [1], "other": {"state_dict": {}}}[how], checkpoint)


@pytest.mark.parametrize("how", ["bits", "zip", "tensor", "list", "other"])
def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    path = save_training(tmp_path, epochs=1, save_every=2)
    with monkeypatch.context() as patch:
        stop_after(patch, 6)
        train(path, out=tmp_path / "run")
    checkpoints = tmp_path / "run" / "checkpoints"
    older, newest = kept(checkpoints, "step")
    for name in ("step-old.ckpt", "best-x.ckpt"):
        shutil.copyfile(newest, checkpoints / name)
    broken(newest, how)
    assert latest(tmp_path / "run") == older
    again = train(path, out=tmp_path / "run")
    whole = train(path, out=tmp_path / "whole")
    assert again.adapter is not None
    assert whole.adapter is not None
    ours, theirs = (load_file(folder / "adapter_model.safetensors") for folder in (again.adapter, whole.adapter))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert {"step-old.ckpt", "best-x.ckpt"} <= {file.name for file in checkpoints.iterdir()}, "not ours"


def test_a_checkpoint_of_other_shapes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path, epochs=1, save_every=2)
    with monkeypatch.context() as patch:
        stop_after(patch, 4)
        train(path, out=tmp_path / "run")
    newest = latest(tmp_path / "run")
    assert newest is not None
    state = torch.load(newest, weights_only=True)
    state["state_dict"] = {name: value[:1] for name, value in state["state_dict"].items()}
    torch.save(state, newest)
    with pytest.raises(WeightsError, match="of another adapter"):
        train(path, out=tmp_path / "run")


def test_the_curve_is_on_the_disk_with_each_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_training(tmp_path, epochs=1, save_every=2, logger="csv", trainer={"accelerator": "cpu", "log_every_n_steps": 1})
    seen: list[set[int]] = []

    def steps() -> set[int]:
        (file,) = (tmp_path / "run").rglob("metrics.csv")
        return {int(row["step"]) for row in csv.DictReader(file.read_text().splitlines()) if row.get("loss")}

    saved = Trainer.save_checkpoint

    def save(self: Trainer, target: Any, *given: Any, **named: Any) -> None:
        saved(self, target, *given, **named)
        if Path(target).name.startswith("step-"):
            seen.append(steps() ^ set(range(1, self.global_step + 1)))

    monkeypatch.setattr(Trainer, "save_checkpoint", save)
    train(path, out=tmp_path / "run")
    assert len(seen) > 2
    assert seen == [set()] * len(seen)


def test_an_answer_of_control_tokens_is_left_out_and_counted(tmp_path: Path) -> None:
    path = save_training(tmp_path, epochs=0.3)
    with (tmp_path / "pairs.jsonl").open("a") as file:
        file.write(json.dumps({"prompt": "x", "completion": "<|im_end|>"}) + "\n")
    done = train(path, out=tmp_path / "run")
    assert done.adapter is not None
    training = json.loads((done.adapter / "training.json").read_text())
    assert training["data"]["left_out"] == {"nothing is left of the answer without its control tokens": 1}


def test_validation_prompts_are_compared_as_they_are_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "validation.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "BALL  3 Red", "completion": "a"}\n')
    path = save_training(tmp_path, data={"train": ["pairs.jsonl"], "validation": ["validation.jsonl"]})
    save_pairs(tmp_path / "pairs.jsonl", 6)
    with pytest.raises(InputError, match=r"1 prompts are in data\.train, too, e\.g\. 'BALL  3 Red'"):
        train(path, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lora": {"layers": ["foo.q_proj"]}}, r"no linear layer named foo\.q_proj"),
        ({"trainer": {"accelerator": "cpu", "strategy": "ddp_spawn"}}, "use ddp_fork"),
        ({"trainer": {"accelerator": "cpu", "plugins": 5}}, "plugins: must be a list, not 5"),
        ({"trainer": {"accelerator": "cpu", "strategy": "fsdp2", "num_nodes": "x"}}, "num_nodes: must be a whole number"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_a_line(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    with pytest.raises((ConfigError, WeightsError), match=says):
        train(save_training(tmp_path, **changes), out=tmp_path / "run")


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    adapter = train(save_training(tmp_path, epochs=0.3), out=tmp_path / "run").adapter
    assert adapter is not None
    return adapter


@pytest.mark.parametrize("what", ["adapter", "base"])
def test_weights_that_were_cut_off_are_told(tmp_path: Path, exported: Path, what: str) -> None:
    file = exported / "adapter_model.safetensors" if what == "adapter" else tmp_path / "base" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(WeightsError, match="do not fit" if what == "adapter" else "cannot be loaded"):
        export(exported, tmp_path / "merged", merged=True, base=str(tmp_path / "base"))
    assert not (tmp_path / "merged").exists()


def test_an_adapter_with_weights_for_more_layers_is_another_model_s(tmp_path: Path, exported: Path) -> None:
    file = exported / "adapter_model.safetensors"
    weights = load_file(file)
    more = {name.replace("layers.0.", "layers.7."): value.clone() for name, value in weights.items() if "layers.0." in name}
    save_file(weights | more, file)
    with pytest.raises(WeightsError, match=r"it has weights for 14 more, e\.g\. .*layers\.7\."):
        export(exported, tmp_path / "merged", merged=True, base=str(tmp_path / "base"))


def test_a_disk_that_is_full_while_rust_writes(tmp_path: Path, exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    says = {
        PreTrainedModel: "I/O error: it is full (os error 28)",
        PreTrainedTokenizerBase: "No space left on device",
    }
    for kind, text in says.items():

        def full(*given: Any, text: str = text, **named: Any) -> None:
            raise Exception(text)  # as tokenizers does

        with monkeypatch.context() as patch:
            patch.setattr(kind, "save_pretrained", full)
            with pytest.raises(StorageError, match="merged: cannot be written: No space left on device"):
                export(exported, tmp_path / "merged", merged=True, base=str(tmp_path / "base"))
    assert not (tmp_path / "merged").exists()
