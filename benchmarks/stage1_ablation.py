"""What each step of Stage 1 is worth in the shapes world: one video a prompt, the same noise, read by the exact verifier.

    python -m benchmarks.stage1_ablation --prompts 500 --out runs/ablation --table ckpt/shapes/ablation.json
    python -m benchmarks.stage1_ablation --prompts 12 --out runs/ablation12          # minutes on two CPU cores

Arms: the user's own words; the naive rewrite; merging alone; refactoring by the language model's own lights and by L_r, each with
retrieval (and merging) and without, as the control; the selection by the language model, by L_d and by lot; the oracle caption.
L_r and L_d are the adapters that the configuration names. A text that several arms have is rendered once. Prints one JSON line an
arm and the paired differences; a run that is there is continued.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rapo_lightning import records
from rapo_lightning.arms import Arms, GivenTexts, first_rendered
from rapo_lightning.comparison import Arm, compare
from rapo_lightning.errors import ConfigError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.project import project_file
from rapo_lightning.quickstart import held_out_prompts, weight_hashes
from rapo_lightning.retrieval.augment import RAPOAugmenter
from rapo_lightning.run_folder import choose, opened
from rapo_lightning.run_log import run_log
from rapo_lightning.settings import build_optimize, load_optimize, resolved
from rapo_lightning.shapes.captions import caption
from rapo_lightning.types import Candidate, Prompt

CONFIG = "configs/optimize/shapes_rapo.yaml"
STEPS = ("retrieve", "merge", "refactor", "naive", "select")
#: Each arm: its steps, and which of the adapters take part.
ARMS: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    name: (frozenset(steps.split()), frozenset(adapters.split()))
    for name, steps, adapters in (
        ("naive rewrite", "naive", ""),
        ("merge", "retrieve merge", ""),
        ("refactor by L, no retrieval", "refactor", ""),
        ("merge, refactor by L", "retrieve merge refactor", ""),
        ("refactor by L_r, no retrieval", "refactor", "refactorer"),
        ("merge, refactor by L_r", "retrieve merge refactor", "refactorer"),
        ("selected by L, refactored by L", "retrieve merge refactor naive select", ""),
        ("selected by L, refactored by L_r", "retrieve merge refactor naive select", "refactorer"),
        ("selected by L_d, refactored by L", "retrieve merge refactor naive select", "selector_model"),
        ("selected by L_d, refactored by L_r", "retrieve merge refactor naive select", "refactorer selector_model"),
    )
}
BY_LOT = "by lot, refactored by L_r"
WHOLE = "selected by L_d, refactored by L_r"
#: What each part is worth: an arm with it, and the same without.
EFFECTS = {
    "Stage 1": (WHOLE, "raw prompt"),
    "L_r, whole": (WHOLE, "selected by L_d, refactored by L"),
    "L_r, alone": ("merge, refactor by L_r", "merge, refactor by L"),
    "L_d against the language model": (WHOLE, "selected by L, refactored by L_r"),
    "L_d against lots": (WHOLE, BY_LOT),
    "L_d against no selection": (WHOLE, "merge, refactor by L_r"),
    "retrieval and merging": ("merge, refactor by L_r", "refactor by L_r, no retrieval"),
}


def main() -> None:
    """All texts first, then the videos of those that differ, into one run folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="write the comparison to this JSON file, too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    overrides = [*options.set, f"seed={options.seed}"]
    config, positions = load_optimize(project_file(CONFIG), overrides)
    choose(options.out, resolved(config))
    asked = held_out_prompts(options.prompts, options.seed)
    prompts = [prompt for prompt, _, _ in asked]
    texts = {name: _texts(overrides, steps, adapters, prompts) for name, (steps, adapters) in ARMS.items()}
    lots = np.random.default_rng(options.seed).random(len(prompts)) < 0.5
    texts[BY_LOT] = [texts["merge, refactor by L_r" if lot else "naive rewrite"][i] for i, lot in enumerate(lots)]
    oracles = [caption(scene) for _, _, scene in asked]
    with (
        StopSignals() as signals,
        opened(options.out, resolved(config), prompts, config_file=project_file(CONFIG)) as folder,
        run_log(folder, 0, echo=True),
    ):
        arms = Arms(folder, config, build_optimize(config, positions), prompts, signals, None)
        wanted = [[*dict.fromkeys(row)] for row in zip(oracles, *texts.values(), strict=True)]
        shown: list[dict[str, Candidate]] = [{} for _ in prompts]
        raw: tuple[Candidate | None, ...] = ()
        for number in range(max(map(len, wanted))):
            given = {
                p.id: row[number] for p, row in zip(prompts, wanted, strict=True) if number < len(row) and row[number] != p.text
            }
            where = folder / "arms" / f"texts-{number}"
            outcome, _ = arms.one(f"texts {number}", where, 0, 1, raw, augmenter=GivenTexts(given))
            raw = raw or first_rendered(outcome, "user")
            for row, *candidates in zip(shown, raw, first_rendered(outcome, "rapo"), strict=True):
                row.update({candidate.text: candidate for candidate in candidates if candidate is not None})
        compared = [_arm("raw prompt", "raw", [prompt.text for prompt in prompts], shown)]
        compared += [_arm(name, "stage", chosen, shown) for name, chosen in texts.items()]
        compared.append(_arm("oracle caption", "oracle", oracles, shown))
        compared.sort(key=lambda arm: arm.name == WHOLE)  # whose worst cases are told
        comparison = compare(compared, [(p, stated) for p, stated, _ in asked], seed=options.seed, effects=EFFECTS)
        comparison["weights"] = weight_hashes(config, positions.folder)
        records.write_text_atomic(folder / "comparison.json", json.dumps(comparison, indent=2) + "\n")
    for arm in comparison["arms"]:
        figures = {key: arm[key] for key in ("right", "low", "high", "judge")}
        print(json.dumps({"name": "stage1_ablation", "arm": arm["name"], **figures}))
    for key in ("gap_closed", "effects"):
        print(json.dumps({"name": "stage1_ablation", key: comparison[key]}))
    if options.table:
        records.write_text_atomic(options.table, json.dumps(comparison, indent=2) + "\n")


def _texts(overrides: list[str], steps: frozenset[str], adapters: frozenset[str], prompts: list[Prompt]) -> list[str]:
    """What an arm makes of each prompt; the user's own words where it makes nothing."""
    off = [f"augmenter.init_args.{name}=null" for name in ("refactorer", "selector_model") if name not in adapters]
    switches = [f"augmenter.init_args.{name}={json.dumps(name in steps)}" for name in STEPS]
    config, positions = load_optimize(project_file(CONFIG), [*overrides, *off, *switches])
    augmenter = build_optimize(config, positions).augmenter
    if not isinstance(augmenter, RAPOAugmenter):
        raise ConfigError(f"{CONFIG}: augmenter: must be a RAPOAugmenter")
    augmenter.to(_device(config.trainer))
    size = config.batch_size
    found = [one for start in range(0, len(prompts), size) for one in augmenter.augment(prompts[start : start + size])]
    return [one.text if isinstance(one, Candidate) else prompt.text for one, prompt in zip(found, prompts, strict=True)]


def _device(trainer: Mapping[str, Any]) -> str:
    import torch

    return "cuda" if trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu"


def _arm(name: str, role: Any, texts: list[str], shown: list[dict[str, Candidate]]) -> Arm:
    chosen = tuple(row.get(text) for row, text in zip(shown, texts, strict=True))
    return Arm(name=name, role=role, chosen=chosen, rendered=tuple(c for c in chosen if c is not None), seconds=None)


if __name__ == "__main__":
    main()
