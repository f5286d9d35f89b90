"""Arms that differ in the text they show the video model: what the ablations share.

One video a prompt with the same noise, read by the exact verifier of the shapes world. A text that several arms have is rendered
once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.arms import Arms, GivenTexts, first_rendered
from rapo_lightning.comparison import Arm, compare
from rapo_lightning.interruption import StopSignals
from rapo_lightning.project import project_file
from rapo_lightning.protocols import Augmenter, Placeable
from rapo_lightning.quickstart import weight_hashes
from rapo_lightning.run_folder import choose, opened
from rapo_lightning.run_log import run_log
from rapo_lightning.settings import build_optimize, load_optimize, resolved
from rapo_lightning.shapes.captions import caption
from rapo_lightning.shapes.scene import Scene
from rapo_lightning.types import Candidate, Prompt

__all__ = ["Asked", "compare_texts", "show", "texts_of"]

#: A prompt, what it states, and the whole scene.
Asked = tuple[Prompt, Scene, Scene]


def texts_of(augmenter: Augmenter, prompts: Sequence[Prompt], batch_size: int, trainer: Mapping[str, Any]) -> list[str]:
    """What an augmenter makes of each prompt; the user's own words where it makes nothing."""
    if isinstance(augmenter, Placeable):
        augmenter.to(_device(trainer))
    found = [
        one for start in range(0, len(prompts), batch_size) for one in augmenter.augment(prompts[start : start + batch_size])
    ]
    return [one.text if isinstance(one, Candidate) else prompt.text for one, prompt in zip(found, prompts, strict=True)]


def compare_texts(
    config_file: str,
    overrides: Sequence[str],
    texts: Mapping[str, Sequence[str]],
    asked: Sequence[Asked],
    out: Path,
    *,
    effects: Mapping[str, tuple[str, str]],
    last: str,
    seed: int,
) -> dict[str, Any]:
    """The comparison of all arms, with the raw prompt and the oracle caption, as `comparison.compare` gives it.

    Args:
        config_file: a configuration of the shapes world; its augmenter is not asked.
        overrides: laid over it.
        texts: by arm, a text for each of ``asked``.
        out: a run folder; a run that is there is continued.
        effects: differences between two arms.
        last: the arm whose worst cases are told.
        seed: of the bootstrap.
    """
    config, positions = load_optimize(project_file(config_file), overrides)
    choose(out, resolved(config))
    prompts = [prompt for prompt, _, _ in asked]
    oracles = [caption(scene) for _, _, scene in asked]
    with (
        StopSignals() as signals,
        opened(out, resolved(config), prompts, config_file=project_file(config_file)) as folder,
        run_log(folder, 0, echo=True),
    ):
        arms = Arms(folder, config, build_optimize(config, positions), prompts, signals, None)
        wanted = [[*dict.fromkeys(row)] for row in zip(oracles, *texts.values(), strict=True)]
        shown: list[dict[str, Candidate]] = [{} for _ in prompts]
        raw: tuple[Candidate | None, ...] = ()
        for number in range(max(map(len, wanted))):
            given = {
                prompt.id: row[number]
                for prompt, row in zip(prompts, wanted, strict=True)
                if number < len(row) and row[number] != prompt.text
            }
            where = folder / "arms" / f"texts-{number}"
            outcome, _ = arms.one(f"texts {number}", where, 0, 1, raw, augmenter=GivenTexts(given))
            raw = raw or first_rendered(outcome, "user")
            for found, *candidates in zip(shown, raw, first_rendered(outcome, "rapo"), strict=True):
                found.update({candidate.text: candidate for candidate in candidates if candidate is not None})
        compared = [_arm("raw prompt", "raw", [prompt.text for prompt in prompts], shown)]
        compared += [_arm(name, "stage", chosen, shown) for name, chosen in texts.items()]
        compared.append(_arm("oracle caption", "oracle", oracles, shown))
        compared.sort(key=lambda arm: arm.name == last)
        comparison = compare(compared, [(prompt, stated) for prompt, stated, _ in asked], seed=seed, effects=effects)
        comparison["weights"] = weight_hashes(config, positions.folder)
        records.write_text_atomic(folder / "comparison.json", json.dumps(comparison, indent=2) + "\n")
    return comparison


def show(name: str, comparison: Mapping[str, Any], table: Path | None) -> None:
    """Print one JSON line an arm, then the shares of the gap and the effects; write the table."""
    for arm in comparison["arms"]:
        figures = {key: arm[key] for key in ("right", "low", "high", "judge")}
        print(json.dumps({"name": name, "arm": arm["name"], **figures}))
    for key in ("gap_closed", "effects"):
        print(json.dumps({"name": name, key: comparison[key]}))
    if table:
        records.write_text_atomic(table, json.dumps(comparison, indent=2) + "\n")


def _device(trainer: Mapping[str, Any]) -> str:
    import torch

    return "cuda" if trainer.get("accelerator", "auto") in ("auto", "gpu", "cuda") and torch.cuda.is_available() else "cpu"


def _arm(name: str, role: Any, texts: Sequence[str], shown: Sequence[Mapping[str, Candidate]]) -> Arm:
    chosen = tuple(row.get(text) for row, text in zip(shown, texts, strict=True))
    return Arm(name=name, role=role, chosen=chosen, rendered=tuple(c for c in chosen if c is not None), seconds=None)
