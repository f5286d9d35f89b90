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

import numpy as np

from benchmarks.text_arms import compare_texts, show, texts_of
from rapo_lightning.errors import ConfigError
from rapo_lightning.project import project_file
from rapo_lightning.quickstart import held_out_prompts
from rapo_lightning.retrieval.augment import RAPOAugmenter
from rapo_lightning.settings import build_optimize, load_optimize
from rapo_lightning.types import Prompt

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
    asked = held_out_prompts(options.prompts, options.seed)
    prompts = [prompt for prompt, _, _ in asked]
    texts = {name: _texts(overrides, steps, adapters, prompts) for name, (steps, adapters) in ARMS.items()}
    lots = np.random.default_rng(options.seed).random(len(prompts)) < 0.5
    texts[BY_LOT] = [texts["merge, refactor by L_r" if lot else "naive rewrite"][i] for i, lot in enumerate(lots)]
    compared = compare_texts(CONFIG, overrides, texts, asked, options.out, effects=EFFECTS, last=WHOLE, seed=options.seed)
    show("stage1_ablation", compared, options.table)


def _texts(overrides: list[str], steps: frozenset[str], adapters: frozenset[str], prompts: list[Prompt]) -> list[str]:
    """What an arm makes of each prompt; the user's own words where it makes nothing."""
    off = [f"augmenter.init_args.{name}=null" for name in ("refactorer", "selector_model") if name not in adapters]
    switches = [f"augmenter.init_args.{name}={json.dumps(name in steps)}" for name in STEPS]
    config, positions = load_optimize(project_file(CONFIG), [*overrides, *off, *switches])
    augmenter = build_optimize(config, positions).augmenter
    if not isinstance(augmenter, RAPOAugmenter):
        raise ConfigError(f"{CONFIG}: augmenter: must be a RAPOAugmenter")
    return texts_of(augmenter, prompts, config.batch_size, config.trainer)


if __name__ == "__main__":
    main()
