"""What each step of Stage 1 is worth in the shapes world: one video a prompt, the same noise, read by the exact verifier.

    python -m benchmarks.stage1_ablation --prompts 500 --out runs/ablation --table ckpt/shapes/ablation.json
    python -m benchmarks.stage1_ablation --prompts 12 --out runs/ablation12          # minutes on two CPU cores

Arms: the user's own words; the naive rewrite alone; merging alone; refactoring alone, with retrieval off (the control); merging
and refactoring; all with selection; the oracle caption. With ``--refactorer`` and ``--selector`` (adapters of the language model:
L_r and L_d) the last ones once more with these. Prints one JSON line an arm; a run that is there is continued.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.arms import Arms, GivenTexts, first_rendered
from rapo_lightning.comparison import Arm, compare
from rapo_lightning.interruption import StopSignals
from rapo_lightning.project import project_file
from rapo_lightning.quickstart import held_out_prompts, weight_hashes
from rapo_lightning.run_folder import choose, opened
from rapo_lightning.run_log import run_log
from rapo_lightning.settings import build_optimize, load_optimize, resolved
from rapo_lightning.shapes.captions import caption

CONFIG = "configs/optimize/shapes_rapo.yaml"
OFF = dict.fromkeys(("retrieve", "merge", "refactor", "naive", "select"), False)
STEPS: Mapping[str, Mapping[str, bool]] = {
    "naive rewrite": OFF | {"naive": True},
    "merge": OFF | {"retrieve": True, "merge": True},
    "refactor, no retrieval": OFF | {"refactor": True},
    "merge, refactor": OFF | {"retrieve": True, "merge": True, "refactor": True},
    "merge, refactor, naive, select": {"retrieve": True, "merge": True, "refactor": True, "naive": True, "select": True},
}


def main() -> None:
    """All arms into one run folder, one after the other."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--table", type=Path, help="write the comparison to this JSON file, too")
    parser.add_argument("--refactorer", help="L_r: an adapter of the language model")
    parser.add_argument("--selector", help="L_d: an adapter of the language model")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    overrides = [*options.set, f"seed={options.seed}"]
    config, positions = load_optimize(project_file(CONFIG), overrides)
    choose(options.out, resolved(config))
    asked = held_out_prompts(options.prompts, options.seed)
    prompts = [prompt for prompt, _, _ in asked]
    oracle = GivenTexts({prompt.id: caption(scene) for prompt, _, scene in asked})
    with (
        StopSignals() as signals,
        opened(options.out, resolved(config), prompts, config_file=project_file(CONFIG)) as folder,
        run_log(folder, 0, echo=True),
    ):
        arms = Arms(folder, config, build_optimize(config, positions), prompts, signals, None)
        ends, seconds = arms.one("raw and oracle", folder / "arms" / "ends", 0, 2, augmenter=oracle)
        raw, best = (first_rendered(ends, origin) for origin in ("user", "rapo"))
        compared = [
            _arm("raw prompt", "raw", raw, seconds),
            _arm("oracle caption", "oracle", best, seconds),
        ]
        for name, changes in _variants(options).items():
            changed = [f"augmenter.init_args.{key}={json.dumps(value)}" for key, value in changes.items()]
            varied, where = load_optimize(project_file(CONFIG), [*overrides, *changed])
            augmenter = build_optimize(varied, where).augmenter
            digest = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:8]
            outcome, seconds = arms.one(
                name, folder / "arms" / f"{name.replace(', ', '-').replace(' ', '_')}-{digest}", 0, 1, raw, augmenter=augmenter
            )
            written = first_rendered(outcome, "rapo")
            compared.append(_arm(name, "stage", tuple(w or r for w, r in zip(written, raw, strict=True)), seconds))
        comparison = compare(compared, [(prompt, stated) for prompt, stated, _ in asked], seed=options.seed)
        comparison["weights"] = weight_hashes(config, positions.folder)
        records.write_text_atomic(folder / "comparison.json", json.dumps(comparison, indent=2) + "\n")
    for arm in comparison["arms"]:
        print(
            json.dumps(
                {"name": "stage1_ablation", **{key: arm[key] for key in ("right", "low", "high", "judge")}, "arm": arm["name"]}
            )
        )
    print(json.dumps({"name": "stage1_ablation", "gap_closed": comparison["gap_closed"]}))
    if options.table:
        records.write_text_atomic(options.table, json.dumps(comparison, indent=2) + "\n")


def _variants(options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The arms' changes to the augmenter's arguments."""
    variants: dict[str, dict[str, Any]] = {name: dict(steps) for name, steps in STEPS.items()}
    model = {"class_path": "rapo_lightning.language.HuggingFaceChat", "init_args": {"model": "ckpt/shapes/language"}}

    def adapted(adapter: str) -> dict[str, Any]:
        return model | {"init_args": {**model["init_args"], "adapter": adapter}}  # type: ignore[dict-item]

    if options.refactorer:
        variants["refactor by L_r, no retrieval"] = {**STEPS["refactor, no retrieval"], "refactorer": adapted(options.refactorer)}
        variants["merge, refactor by L_r"] = {**STEPS["merge, refactor"], "refactorer": adapted(options.refactorer)}
    if options.refactorer and options.selector:
        both = {"refactorer": adapted(options.refactorer), "selector_model": adapted(options.selector)}
        variants["merge, refactor by L_r, naive, select by L_d"] = {**STEPS["merge, refactor, naive, select"], **both}
    return variants


def _arm(name: str, role: Any, chosen: Any, seconds: float | None) -> Arm:
    rendered = tuple(candidate for candidate in chosen if candidate is not None)
    return Arm(name=name, role=role, chosen=chosen, rendered=rendered, seconds=seconds)


if __name__ == "__main__":
    main()
