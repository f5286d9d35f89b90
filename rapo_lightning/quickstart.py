"""``rapo quickstart``: the whole suite at work on the embedded default, measured by the exact verifier of the shapes world.

Held-out user prompts go through the arms of `rapo_lightning.arms`, which see the learned judge alone; the verifier only reports.
What is printed speaks of the shapes world only.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rapo_lightning import records
from rapo_lightning.arms import Arms, GivenTexts, Interrupted
from rapo_lightning.comparison import compare
from rapo_lightning.errors import InputError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.planning import model_references
from rapo_lightning.results import finish
from rapo_lightning.run_folder import choose, opened, read_run, update_run
from rapo_lightning.run_log import run_log
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.session import OnCandidate, Outcome
from rapo_lightning.settings import build_optimize, load_optimize, resolved
from rapo_lightning.shapes.captions import caption, state, user_prompt
from rapo_lightning.shapes.render import arrange
from rapo_lightning.shapes.scene import Scene, sample
from rapo_lightning.shapes.verify import read
from rapo_lightning.types import Prompt
from rapo_lightning.video import read_frames
from rapo_lightning.weights import locate

__all__ = ["held_out_prompts", "quickstart", "weight_hashes", "write_table"]


def held_out_prompts(count: int, seed: int) -> list[tuple[Prompt, Scene, Scene]]:
    """``count`` user prompts of test scenes, with what each states and the whole scene."""
    rng = np.random.default_rng(seed + 10_000)
    found: list[tuple[Prompt, Scene, Scene]] = []
    taken: set[str] = set()
    while len(found) < count:
        scene = sample(rng, "test")
        stated = state(scene, rng)
        text = user_prompt(stated, rng)
        if text not in taken and arrange(scene, rng) is not None:  # the scene fits the frame
            taken.add(text)
            found.append((Prompt.of(text), stated, scene))
    return found


def quickstart(
    config_file: Path,
    *,
    out: Path,
    prompts: int = 12,
    seed: int = 0,
    overrides: Sequence[str] = (),
    command: Sequence[str] = (),
    echo: bool = True,
    listen: Callable[[str, int], OnCandidate] | None = None,
) -> tuple[dict[str, Any] | None, Outcome]:
    """Run the arms on held-out prompts and leave the last one's run, with the comparison, in ``out``; continues what is there.

    With an augmenter in the configuration the last arm is Stage 1 + 2, and Stage 1 and Stage 2 alone are arms of their own;
    without one the last is Stage 2.

    Args:
        config_file: a configuration of the shapes world.
        out: the run folder; the other arms have folders of their own in it.
        prompts: how many.
        seed: of the prompts, the noise and the bootstrap.
        overrides: ``a.b=c`` settings that go before the file's.
        command: the command line, for the record.
        echo: show warnings on stderr.
        listen: called with an arm's name and its greatest number of videos; gives what is told of its candidates.

    Returns:
        the comparison (also ``comparison.json`` in ``out``) and the last arm's outcome; None and the outcome of the arm that was
        interrupted.
    """
    config, positions = load_optimize(config_file, [*overrides, f"seed={seed}"])
    if config.trainer.get("devices", 1) not in (1, "1"):
        raise InputError("quickstart runs on one device: trainer.devices must be 1")
    choose(out, resolved(config))
    parts = build_optimize(config, positions)
    asked = held_out_prompts(prompts, seed)
    oracle = GivenTexts({prompt.id: caption(scene) for prompt, _, scene in asked})
    with (
        StopSignals() as signals,
        opened(out, resolved(config), [prompt for prompt, _, _ in asked], config_file=config_file, command=command) as folder,
        run_log(folder, 0, echo=echo),
    ):
        arms = Arms(folder, config, parts, [prompt for prompt, _, _ in asked], signals, listen)
        try:
            compared, last = arms.run(oracle, _check_videos)
        except Interrupted as interrupted:
            return None, interrupted.outcome
        comparison = compare(compared, [(prompt, stated) for prompt, stated, _ in asked], seed=seed)
        records.write_text_atomic(folder / "comparison.json", json.dumps(comparison, indent=2) + "\n")
        update_run(folder, weights=weight_hashes(config, positions.folder))
        finish(last, parts, seed=seed)
    return comparison, last


def write_table(path: Path, comparison: Mapping[str, Any], folder: Path) -> None:
    """The comparison with the command, versions and weights that made it, as one JSON file."""
    run = read_run(folder)
    kept = {name: run.get(name) for name in ("command", "seed", "weights", "environment")}
    path.parent.mkdir(parents=True, exist_ok=True)
    records.write_text_atomic(path, json.dumps({**comparison, **kept}, indent=2) + "\n")


def weight_hashes(config: OptimizeConfig, base_folder: Path) -> dict[str, str]:
    """SHA-256 (first 16 digits) of every safetensors file that a configuration's local models hold, by its path there."""
    hashes = {}
    for reference in model_references(config.model_dump()):
        root = Path(locate(reference, base_folder))
        for file in sorted(root.rglob("*.safetensors")) if root.is_dir() else ():
            digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
            hashes[f"{root.name}/{file.relative_to(root).as_posix()}"] = digest
    return hashes


def _check_videos(outcome: Outcome) -> None:
    """Raise `InputError` at the first sight of videos that the verifier does not know, not after all arms."""
    paths = [video.path for t in outcome.trajectories for candidate in t.candidates for video in candidate.videos]
    try:
        for path in paths[:1]:
            read(read_frames(path))
    except ValueError as error:
        raise InputError(f"quickstart measures videos of the shapes world: {error}") from error
