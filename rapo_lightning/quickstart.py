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
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from evaluation.statistics import cohen_kappa, paired_bootstrap
from rapo_lightning import records
from rapo_lightning.rewriters.repeat import RepeatPrompt
from rapo_lightning.run_folder import locked, prepare, read_run, update_run
from rapo_lightning.settings import OptimizeParts, build_optimize, load_optimize, resolved
from rapo_lightning.shapes.captions import caption, state, user_prompt
from rapo_lightning.shapes.render import arrange
from rapo_lightning.shapes.scene import Scene, sample
from rapo_lightning.shapes.verify import all_right, check, read
from rapo_lightning.types import Candidate, Failure, Prompt, Trajectory, candidate_id
from rapo_lightning.video import read_frames
from rapo_lightning.weights import locate
from rapo_lightning.workflows import OnCandidate, Outcome, finish, model_references, run_loop

if TYPE_CHECKING:
    from rapo_lightning.sections import OptimizeConfig

__all__ = ["NOTE", "Arm", "held_out_prompts", "quickstart", "weight_hashes", "write_table"]

NOTE = "Shapes world (moving shapes, 64 x 64 pixels, 17 frames): real pipeline code, tiny weights. Says nothing of large models."
#: The judge says that a video is right above this score: nearer to the highest of its five levels than to the next.
_JUDGED_RIGHT = 0.875


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm's chosen candidates, one a prompt (None: none could be scored), with every candidate it rendered."""

    name: str
    videos_per_prompt: int
    chosen: tuple[Candidate | None, ...]
    rendered: tuple[Candidate, ...]
    seconds: float


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
    listen: Callable[[str, int], OnCandidate] | None = None,
) -> tuple[dict[str, Any], Outcome]:
    """Run the arms on held-out prompts and leave the loop's run, with the comparison, in ``out``.

    Returns:
        the comparison (also ``comparison.json`` in ``out``) and the loop's outcome.
    """
    config, positions = load_optimize(config_file, [*overrides, f"seed={seed}"])
    parts = build_optimize(config, positions)
    asked = held_out_prompts(prompts, seed)
    wanted = [prompt for prompt, _, _ in asked]
    folder = prepare(out, resolved(config), wanted, config_file=config_file, command=command)
    videos = 1 + config.loop.rounds
    oracle = _OracleCaptions({prompt.id: caption(scene) for prompt, _, scene in asked})

    def run(name: str, where: Path, count: int, parts: OptimizeParts, rounds: int, config: OptimizeConfig) -> tuple[Outcome, float]:
        began = time.perf_counter()
        listeners = [listen(name, count * prompts)] if listen else []
        outcome = run_loop(config, parts, wanted, where, rounds=rounds, listeners=listeners)
        return outcome, time.perf_counter() - began

    with locked(folder):
        arms = folder / "arms"
        ends, end_seconds = run("raw and oracle", arms / "ends", 2, replace(parts, augmenter=oracle), 0, config)
        raw = tuple(_of_origin(t, "user") for t in ends.trajectories)
        control = config.model_copy(update={"loop": config.loop.model_copy(update={"fresh_seeds": True})})
        for where in (arms / "best_of_n", folder):
            _share_first(raw, where)
        best_of, best_seconds = run(
            f"best of {videos}", arms / "best_of_n", videos, replace(parts, rewriter=RepeatPrompt()), videos - 1, control
        )
        loop, loop_seconds = run("loop", folder, videos, parts, videos - 1, config)
        oracles = tuple(_of_origin(t, "rapo") for t in ends.trajectories)
        share = end_seconds / 2
        compared = [
            _arm("raw prompt", 1, raw, _all(raw), share),
            _arm(f"best of {videos}", videos, _best(best_of), _rendered(best_of), best_seconds + share),
            _arm("loop", videos, _best(loop), _rendered(loop), loop_seconds + share),
            _arm("oracle caption", 1, oracles, _all(oracles), share),
        ]
        comparison = _comparison(compared, asked, seed)
        records.write_text_atomic(folder / "comparison.json", json.dumps(comparison, indent=2) + "\n")
        update_run(folder, seed=seed, weights=weight_hashes(config, positions.folder))
        finish(loop, config)
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


def _of_origin(trajectory: Trajectory, origin: str) -> Candidate | None:
    return next((c for c in trajectory.candidates if c.origin == origin and c.videos), None)


def _best(outcome: Outcome) -> tuple[Candidate | None, ...]:
    return tuple(trajectory.best for trajectory in outcome.trajectories)


def _rendered(outcome: Outcome) -> tuple[Candidate, ...]:
    return tuple(c for t in outcome.trajectories for c in t.candidates if c.videos)


def _all(candidates: Sequence[Candidate | None]) -> tuple[Candidate, ...]:
    return tuple(c for c in candidates if c is not None)


def _arm(
    name: str, videos: int, chosen: tuple[Candidate | None, ...], rendered: tuple[Candidate, ...], seconds: float
) -> Arm:
    return Arm(name=name, videos_per_prompt=videos, chosen=chosen, rendered=rendered, seconds=seconds)


def _comparison(arms: Sequence[Arm], asked: Sequence[tuple[Prompt, Scene, Scene]], seed: int) -> dict[str, Any]:
    """The table, as plain JSON: verified shares with paired intervals, what the judge says, their agreement, worst cases."""
    stated = {prompt.id: scene for prompt, scene, _ in asked}
    checks: dict[str, dict[str, bool | None]] = {}

    def verified(candidate: Candidate) -> dict[str, bool | None]:
        path = candidate.videos[0].path
        if path not in checks:
            checks[path] = check(read(read_frames(path)), stated[candidate.prompt_id])
        return checks[path]

    def right(candidate: Candidate | None) -> float:
        return float(candidate is not None and all_right(verified(candidate)) is True)

    shares = [np.asarray([right(candidate) for candidate in arm.chosen]) for arm in arms]
    rows = []
    for arm, share in zip(arms, shares, strict=True):
        mean, low, high = paired_bootstrap(share, seed=seed)
        difference, difference_low, difference_high = paired_bootstrap(share - shares[0], seed=seed)
        rewards = [c.reward for c in arm.chosen if c is not None and c.reward is not None]
        judged = [(c.reward > _JUDGED_RIGHT, bool(right(c))) for c in arm.rendered if c.reward is not None]
        rows.append(
            {
                "name": arm.name,
                "prompts": len(arm.chosen),
                "videos_per_prompt": arm.videos_per_prompt,
                "right": round(mean, 4),
                "low": round(low, 4),
                "high": round(high, 4),
                "difference": round(difference, 4),
                "difference_low": round(difference_low, 4),
                "difference_high": round(difference_high, 4),
                "judge": round(float(np.mean(rewards)), 4) if rewards else None,
                "kappa": _rounded(cohen_kappa([a for a, _ in judged], [b for _, b in judged])),
                "by_attribute": _by_attribute(arm, verified),
                "seconds": round(arm.seconds, 1),
            }
        )
    best_of, loop = shares[1], shares[2]
    gap = float(shares[3].mean() - shares[0].mean())
    against, against_low, against_high = paired_bootstrap(loop - best_of, seed=seed)
    return {
        "title": f"{len(asked)} held-out user prompts, seed {seed}",
        "note": NOTE,
        "arms": rows,
        "gap_closed": round(float(loop.mean() - shares[0].mean()) / gap, 4) if gap > 0 else None,
        "loop_minus_best_of_n": [round(value, 4) for value in (against, against_low, against_high)],
        "worst": _worst(arms, asked, verified),
    }


def _by_attribute(arm: Arm, verified: Callable[[Candidate], Mapping[str, bool | None]]) -> dict[str, float]:
    found: dict[str, list[bool]] = defaultdict(list)
    for candidate in arm.chosen:
        for name, value in verified(candidate).items() if candidate else ():
            found[name.split(".")[-1]].append(value is True)
    return {name: round(float(np.mean(values)), 4) for name, values in sorted(found.items())}


def _worst(
    arms: Sequence[Arm],
    asked: Sequence[tuple[Prompt, Scene, Scene]],
    verified: Callable[[Candidate], Mapping[str, bool | None]],
) -> list[dict[str, str]]:
    """Prompts on which the loop did worse than the raw prompt, then those with most left wrong; five at most."""
    cases = []
    for (prompt, _, _), raw, best in zip(asked, arms[0].chosen, arms[2].chosen, strict=True):
        if best is None:
            cases.append((99, prompt.text, "no video could be scored"))
            continue
        wrong = [name for name, value in verified(best).items() if value is not True]
        lost = bool(wrong) and raw is not None and all_right(verified(raw)) is True
        if wrong:
            why = ("the raw prompt's video was right; " if lost else "") + "not found: " + ", ".join(wrong)
            cases.append((len(wrong) + 50 * lost, prompt.text, why))
    cases.sort(key=lambda case: -case[0])
    return [{"prompt": text, "why": why} for _, text, why in cases[:5]]


def _rounded(value: float | None) -> float | None:
    return None if value is None or not np.isfinite(value) else round(float(value), 4)
