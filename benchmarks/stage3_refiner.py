"""What a tuned refiner is worth alone in the shapes world: one prompt written in one go, one video, read by the exact verifier.

    python -m benchmarks.stage3_refiner --adapter tuned=ckpt/shapes/refiner --out runs/stage3 --table ckpt/shapes/stage3.json

Arms: the user's own words; the same refiner untuned; one arm for each ``--adapter NAME=FOLDER``; the oracle caption. Prints one
JSON line an arm, and the paired differences to the untuned refiner and between adapters in their order (a second round against
the first).
"""

from __future__ import annotations

import argparse
import hashlib
from itertools import pairwise
from pathlib import Path

from benchmarks.text_arms import compare_texts, show, texts_of
from rapo_lightning.language import HuggingFaceChat
from rapo_lightning.project import project_file
from rapo_lightning.quickstart import held_out_prompts
from rapo_lightning.retrieval.refiners import ChatRefiner
from rapo_lightning.settings import load_optimize
from rapo_lightning.types import ModelReference

CONFIG = "configs/optimize/shapes.yaml"
UNTUNED = "untuned refiner"


def main() -> None:
    """All texts first, then the videos of those that differ, into one run folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--adapter", action="append", default=[], metavar="NAME=FOLDER", required=True)
    parser.add_argument("--model", default=str(project_file("ckpt/shapes/language")))
    parser.add_argument("--max-words", type=int, default=40, help="as in training")
    parser.add_argument("--prompts", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=16, help="of the refiner")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--no-untuned", action="store_true", help="leave the untuned refiner out")
    parser.add_argument("--table", type=Path, help="write the comparison to this JSON file, too")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    overrides = [*options.set, f"seed={options.seed}"]
    config, _ = load_optimize(project_file(CONFIG), overrides)
    asked = held_out_prompts(options.prompts, options.seed)
    prompts = [prompt for prompt, _, _ in asked]
    adapters: dict[str, str | None] = {} if options.no_untuned else {UNTUNED: None}
    adapters |= dict(one.split("=", 1) for one in options.adapter)
    texts = {}
    for name, folder in adapters.items():
        adapter = None if folder is None else ModelReference(folder)
        model = HuggingFaceChat(ModelReference(options.model), adapter=adapter, batch_size=options.batch_size)
        refiner = ChatRefiner(model, max_words=options.max_words)
        texts[name] = texts_of(refiner, prompts, options.batch_size, config.trainer)
    tuned = [name for name in adapters if name != UNTUNED]
    effects = {} if options.no_untuned else {f"{name} against untuned": (name, UNTUNED) for name in tuned}
    effects |= {f"{later} against {earlier}": (later, earlier) for earlier, later in pairwise(tuned)}
    compared = compare_texts(CONFIG, overrides, texts, asked, options.out, effects=effects, last=tuned[-1], seed=options.seed)
    for folder in filter(None, adapters.values()):
        file = Path(folder) / "adapter_model.safetensors"
        compared["weights"][f"{file.parent.name}/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    show("stage3_refiner", compared, options.table)


if __name__ == "__main__":
    main()
