"""``rapo quickstart``: the whole suite at work on the embedded default, measured by the exact verifier of the shapes world.

Held-out user prompts go through four arms with the same noise: the prompt as it is, best-of-N at the loop's number of videos, the
loop, and the oracle (the scene's own caption). The loop and the best-of-N see the learned judge alone; the verifier only reports.
What is printed speaks of the shapes world only.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import numpy as np

from rapo_lightning import records
from rapo_lightning.comparison import Arm, compare
from rapo_lightning.errors import InputError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.planning import model_references
from rapo_lightning.results import finish
from rapo_lightning.rewriters.repeat import RepeatPrompt
from rapo_lightning.run_folder import choose, opened, read_run, update_run
from rapo_lightning.run_log import run_log
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.session import OnCandidate, Outcome, make_trainer, run_loop
from rapo_lightning.settings import OptimizeParts, build_optimize, load_optimize, resolved
from rapo_lightning.shapes.captions import caption, state, user_prompt
from rapo_lightning.shapes.render import arrange
from rapo_lightning.shapes.scene import Scene, sample
from rapo_lightning.shapes.verify import read
from rapo_lightning.types import Candidate, Failure, Prompt, Trajectory, candidate_id
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


@final
class _OracleCaptions:
    """An `Augmenter` that knows each prompt's scene: the ceiling that a perfect rewriter would reach in one try."""

    def __init__(self, captions: Mapping[str, str]) -> None:
        self._captions = captions

    def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
        return [
            Candidate(id=candidate_id(0, text), prompt_id=prompt.id, round=0, text=text, origin="rapo")
            for prompt in prompts
            for text in (self._captions[prompt.id],)
        ]


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
    """Run the arms on held-out prompts and leave the loop's run, with the comparison, in ``out``; continues what is there.

    Args:
        config_file: a configuration of the shapes world.
        out: the run folder; the other arms have folders of their own in it.
        prompts: how many.
        seed: of the prompts, the noise and the bootstrap.
        overrides: ``a.b=c`` settings that go before the file's.
        command: the command line, for the record.
        echo: show warnings on stderr.
        listen: called with an arm's name and its number of videos; gives what is told of its candidates.

    Returns:
        the comparison (also ``comparison.json`` in ``out``) and the loop's outcome; None and the outcome of the arm that was
        interrupted.
    """
    config, positions = load_optimize(config_file, [*overrides, f"seed={seed}"])
    if config.trainer.get("devices", 1) not in (1, "1"):
        raise InputError("quickstart runs on one device: trainer.devices must be 1")
    choose(out, resolved(config))
    parts = build_optimize(config, positions)
    asked = held_out_prompts(prompts, seed)
    wanted = [prompt for prompt, _, _ in asked]
    rounds = config.loop.rounds
    videos = 1 + rounds
    oracle = _OracleCaptions({prompt.id: caption(scene) for prompt, _, scene in asked})
    fresh = config.model_copy(update={"loop": config.loop.model_copy(update={"fresh_seeds": True})})

    with (
        StopSignals() as signals,
        opened(out, resolved(config), wanted, config_file=config_file, command=command) as folder,
        run_log(folder, 0, echo=echo),
    ):

        def run(
            name: str, where: Path, config: OptimizeConfig, parts: OptimizeParts, rounds: int
        ) -> tuple[Outcome, float | None]:
            resumed = any(where.glob("candidates-*.jsonl"))
            where.mkdir(parents=True, exist_ok=True)
            _share_first(raw, where)
            began = time.perf_counter()
            trainer = make_trainer(config, where, len(wanted), signals)
            listeners = [listen(name, (rounds if raw else 2) * prompts)] if listen else []
            outcome = run_loop(trainer, config, parts, wanted, where, signals=signals, rounds=rounds, listeners=listeners)
            return outcome, None if resumed else time.perf_counter() - began

        arms = folder / "arms"
        raw: tuple[Candidate | None, ...] = ()
        ends, seconds = run("raw and oracle", arms / "ends", config, replace(parts, augmenter=oracle), 0)
        if ends.interrupted:
            return None, ends
        _check_videos(ends)
        raw, oracles = (tuple(_of_origin(t, origin) for t in ends.trajectories) for origin in ("user", "rapo"))
        one = None if seconds is None else seconds / 2
        best_of, of_best = run(f"best of {videos}", arms / "best_of_n", fresh, replace(parts, rewriter=RepeatPrompt()), rounds)
        if best_of.interrupted:
            return None, best_of
        loop, of_loop = run("loop", folder, config, parts, rounds)
        if loop.interrupted:
            return None, loop
        compared = [
            Arm(name="raw prompt", videos_per_prompt=1, chosen=raw, rendered=_known(raw), seconds=one),
            _arm(f"best of {videos}", videos, best_of, None if one is None or of_best is None else of_best + one),
            _arm("loop", videos, loop, None if one is None or of_loop is None else of_loop + one),
            Arm(name="oracle caption", videos_per_prompt=1, chosen=oracles, rendered=_known(oracles), seconds=one),
        ]
        comparison = compare(compared, [(prompt, stated) for prompt, stated, _ in asked], seed=seed)
        records.write_text_atomic(folder / "comparison.json", json.dumps(comparison, indent=2) + "\n")
        update_run(folder, weights=weight_hashes(config, positions.folder))
        finish(loop, parts, seed=seed)
    return comparison, loop


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


def _share_first(candidates: Sequence[Candidate | None], where: Path) -> None:
    """Let a run start from first candidates that another has rendered: same prompt, same noise, same video."""
    from rapo_lightning.sspo.log import CandidateLog, read_all, video_path

    where.mkdir(parents=True, exist_ok=True)
    known = read_all(where)
    log = CandidateLog(where, 0)
    for candidate in candidates:
        if candidate is None or candidate.prompt_id in known:
            continue
        videos = []
        for video in candidate.videos:
            path = video_path(where, candidate.prompt_id, candidate.id, video.seed)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(video.path, path)
            videos.append(replace(video, path=path))
        log.append(replace(candidate, videos=tuple(videos)))


def _check_videos(outcome: Outcome) -> None:
    """Raise `InputError` at the first sight of videos that the verifier does not know, not after all arms."""
    paths = [video.path for t in outcome.trajectories for candidate in t.candidates for video in candidate.videos]
    try:
        for path in paths[:1]:
            read(read_frames(path))
    except ValueError as error:
        raise InputError(f"quickstart measures videos of the shapes world: {error}") from error


def _of_origin(trajectory: Trajectory, origin: str) -> Candidate | None:
    return next((c for c in trajectory.candidates if c.origin == origin and c.videos), None)


def _known(candidates: Sequence[Candidate | None]) -> tuple[Candidate, ...]:
    return tuple(candidate for candidate in candidates if candidate is not None)


def _arm(name: str, videos: int, outcome: Outcome, seconds: float | None) -> Arm:
    return Arm(
        name=name,
        videos_per_prompt=videos,
        chosen=tuple(trajectory.best for trajectory in outcome.trajectories),
        rendered=tuple(c for t in outcome.trajectories for c in t.candidates if c.videos),
        seconds=seconds,
    )
