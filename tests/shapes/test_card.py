"""The card of the tiny stack says what lies beside it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from rapo_lightning.shapes.card import card
from tests.stack import STACK


def test_the_card_in_the_repository_is_up_to_date() -> None:
    assert (STACK / "README.md").read_text(encoding="utf-8") == card(STACK), "python -m rapo_lightning.shapes.card ckpt/shapes"


def test_the_stack_is_small_and_safetensors_only() -> None:
    files = [file for file in STACK.rglob("*") if file.is_file()]
    assert sum(file.stat().st_size for file in files) <= 45e6
    assert not [file for file in files if file.suffix in {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".checkpoint"}]


def test_a_card_tells_every_training_gate_and_file(tmp_path: Path) -> None:
    (tmp_path / "video").mkdir()
    (tmp_path / "video" / "a.safetensors").write_bytes(b"weights")
    first = {"steps": 3.0, "seconds": 60, "parameters": 7, "device": "CPU", "torch": "2", "settings": {"seed": 5}}
    (tmp_path / "video" / "training.json").write_text(json.dumps(first | {"steps": 4.0, "before": first}))
    lines = [
        {"gate": "reconstruction", "videos": 9, "right": 0.5, "by_attribute": {"size": 0.75, "shape": 1.0}},
        {"gate": "user prompt", "objects": 2, "videos": 9, "right": 0.25, "steps": 6},
        {"gate": "judge", "videos": 8, "kappa": 0.625, "false_accepts": 0.0625},
    ]
    (tmp_path / "gates.jsonl").write_text("\n".join(map(json.dumps, lines)))
    text = card(tmp_path)
    assert text.index("| video | 3 | 1.0 | 5 |") < text.index("| video | 4 | 1.0 | 5 |")
    assert "on 9 or 8 scenes" in text
    for part in (
        "50.0%; 75.0%",
        "user prompt, two objects, 6 steps: everything asked for is right | 25.0%",
        "kappa 0.62",
        "not there yet",
        "None yet.",
    ):
        assert part in text, part
    assert "| `video/a.safetensors` | 7 | " in text


def _table(name: str, command: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A table of the stack and its arms by name; it must be of the weights that lie here."""
    table = json.loads((STACK / f"{name}.json").read_text(encoding="utf-8"))
    hashes = {file: hashlib.sha256((STACK / file).read_bytes()).hexdigest()[:16] for file in table["weights"]}
    assert table["weights"] == hashes, command
    arms = {arm["name"]: arm for arm in table["arms"]}
    assert all(arm["prompts"] >= 500 for arm in arms.values())
    return table, arms


def test_the_large_table_is_of_these_weights_and_carries_the_claims() -> None:
    table, arms = _table("table", "rapo quickstart --prompts 500 --table ckpt/shapes/table.json")
    assert {name.partition("/")[0] for name in table["weights"]} == {"video", "judge", "language", "encoder", "restyle", "select"}
    assert table["gap_closed"]["stage 2"] >= 0.6
    assert table["gap_closed"]["stage 1"] >= 0.4
    for name in ("stage 2", "stage 1 + 2"):
        gain, low, _ = table["minus_best_of_n"][name]
        assert gain >= 0.05
        assert low > 0
    assert arms["oracle caption"]["right"] - arms["raw prompt"]["right"] >= 0.25


def test_the_ablation_is_of_these_weights_and_shows_what_both_adapters_are_worth() -> None:
    table, _ = _table("ablation", "python -m benchmarks.stage1_ablation --prompts 500 --table ckpt/shapes/ablation.json")
    assert {name.partition("/")[0] for name in table["weights"]} >= {"language", "encoder", "restyle", "select"}
    for part in ("Stage 1", "L_r, whole", "L_r, alone", "L_d against the language model", "L_d against lots"):
        assert table["effects"][part][1] > 0, part
    assert "refactor by L_r, no retrieval" in table["gap_closed"]  # the control


def test_the_refiner_s_table_is_of_these_weights_and_carries_the_claim() -> None:
    table, _ = _table("stage3", "python -m benchmarks.stage3_refiner --prompts 500 --table ckpt/shapes/stage3.json")
    assert {name.partition("/")[0] for name in table["weights"]} >= {"language", "refiner"}
    assert table["gap_closed"]["tuned"] >= 0.6
    assert table["effects"]["tuned against untuned"][1] > 0


@pytest.mark.parametrize("name", ["video", "judge", "language", "encoder"])
def test_every_part_has_its_training_record(name: str) -> None:
    record = json.loads((STACK / name / "training.json").read_text(encoding="utf-8"))
    assert record["parameters"] > 0
    assert record["settings"]["seed"] >= 0
