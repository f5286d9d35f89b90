"""A training on a tiny random chat model: its folder, its lessons, its configuration."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.tiny_language import save_chat_model

COLOURS = ("red", "blue", "green")


def save_pairs(path: Path, count: int = 60, *, rejected: bool = False) -> Path:
    """Pairs whose answer follows from the prompt, so that there is something to learn."""
    rows = [
        {
            "prompt": f"ball {number} {COLOURS[number % 3]}",
            "completion": f"a {COLOURS[number % 3]} ball",
            **({"rejected": f"a {COLOURS[(number + 1) % 3]} hill"} if rejected else {}),
        }
        for number in range(count)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def save_training(folder: Path, family: str = "qwen2", **changes: Any) -> Path:
    """A base, pairs and a configuration in ``folder``; returns the configuration's path."""
    folder.mkdir(parents=True, exist_ok=True)
    save_chat_model(folder / "base", family, context=512, initializer_range=0.1)
    save_pairs(folder / "pairs.jsonl")
    values: dict[str, Any] = {
        "model": "base",
        "dtype": "float32",
        "form": {"task": "refactor", "style": "plain"},
        "data": {"train": ["pairs.jsonl"], "validation": 0.1},
        "lora": {"rank": 4, "alpha": 8, "dropout": 0.0},
        "optimizer": {"learning_rate": 0.02},
        "epochs": 3,
        "batch_size": 8,
        "micro_batch_size": 4,
        "validate_every": 10,
        "save_every": 5,
        "trainer": {"accelerator": "cpu"},
        "logger": None,
        **changes,
    }
    path = folder / "train.yaml"
    path.write_text(json.dumps(values), encoding="utf-8")  # JSON is YAML
    return path
