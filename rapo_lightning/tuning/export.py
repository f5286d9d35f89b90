"""The trained adapter as a folder that PEFT, vLLM and this suite read, with a card that says what it was made from."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Trainer

from rapo_lightning import records
from rapo_lightning.language import adapter as lora
from rapo_lightning.language.loading import load_format
from rapo_lightning.sections_train import TrainConfig
from rapo_lightning.tuning.checkpoints import kept
from rapo_lightning.tuning.module import RewriterModule

__all__ = ["export_adapter"]


def export_adapter(
    trainer: Trainer, module: RewriterModule, config: TrainConfig, counts: Mapping[str, Any], folder: Path, step: int
) -> dict[str, Any]:
    """Write ``folder/adapter``: of the step with the least validation loss, or the last where nothing was validated.

    ``config`` is the configuration as written: the card and PEFT's files name the base as it does.
    ``step`` is the last one taken.

    Returns what was measured. The folder appears whole or not at all, in place of one that was there.
    """
    checkpoint = _checkpoint(module, folder)
    last = trainer.callback_metrics.get("validation_loss")
    score = next((state["best_model_score"] for state in checkpoint["callbacks"].values() if state.get("monitor")), None)
    summary: dict[str, Any] = {
        "steps": step,
        "planned_steps": module.steps,
        "stopped": "steps" if step == module.steps else "patience",
        "exported_step": checkpoint["global_step"],
        "loss": module.losses.get(step),
        "validation_loss": None if score is None else round(float(score), 6),
        "last_validation_loss": None if last is None else round(float(last), 6),
    }
    if trainer.is_global_zero:
        target, aside = folder / "adapter", folder / "adapter.part"
        shutil.rmtree(aside, ignore_errors=True)
        tokenizer = load_format(module.base, module.adapter).tokenizer
        weights = {name.removeprefix("answers.model."): value for name, value in checkpoint["state_dict"].items()}
        lora.save(module.model, aside, base=config.model, tokenizer=tokenizer, weights=weights)
        settings = config.hyperparameters()
        if module.adapter is not None:
            settings.pop("lora")  # the adapter that it went on from has its own
        training = {"settings": settings, "data": dict(counts), **summary}
        records.write_text_atomic(aside / "training.json", json.dumps(training, indent=2, ensure_ascii=False) + "\n")
        records.write_text_atomic(aside / "README.md", _card(config, module.model.peft_config["default"], training))
        shutil.rmtree(target, ignore_errors=True)
        aside.replace(target)
    return summary


def _checkpoint(module: RewriterModule, folder: Path) -> dict[str, Any]:
    """The state of the step that is exported, read from its checkpoint, where it is whole under any strategy."""
    # As files, not as the callback has it: a training that was stopped after its last step remembers an earlier one.
    checkpoints = folder / "checkpoints"
    best = kept(checkpoints, "best") or [checkpoints / f"step-{module.steps}.ckpt"]
    found: dict[str, Any] = torch.load(best[-1], map_location="cpu", weights_only=True)
    return found


def _card(config: TrainConfig, lora_config: Any, training: Mapping[str, Any]) -> str:
    data, lines = training["data"], []
    lines += [
        "---",
        f"base_model: {lora.split(config.model)[0]}",
        "library_name: peft",
        "tags: [lora, text-to-video, prompt]",
        "---",
    ]
    lines += ["", f"# LoRA adapter: {config.form.task}", ""]
    lines += [f"Trained with RAPO Lightning for {training['steps']} steps of {config.batch_size} lessons; of step"]
    lines[-1] += f" {training['exported_step']}. Its licence follows that of the base model, {lora.base_name(config.model)}."
    lines += ["", "| | |", "|---|---|"]
    rows = {
        "pairs": f"{data['pairs']:,} to learn, {data['validation_pairs']:,} to validate",
        "lessons": f"{data['lessons']:,} ({data['tokens']:,} tokens)",
        "left out": ", ".join(f"{reason}: {count:,}" for reason, count in data["left_out"].items()) or "none",
        "validation loss": _number(training["validation_loss"]),
        "rank, alpha, dropout": f"{lora_config.r}, {lora_config.lora_alpha}, {lora_config.lora_dropout}",
        "learning rate": f"{config.optimizer.learning_rate:g}",
        "seed": str(config.seed),
    }
    lines += [f"| {name} | {value} |" for name, value in rows.items()]
    return "\n".join(lines) + "\n"


def _number(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.4f} nats a token"
