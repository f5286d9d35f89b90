"""The arms of `quickstart` compared by the exact verifier of the shapes world, as the plain JSON of ``comparison.json``."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from evaluation.statistics import cohen_kappa, paired_bootstrap, wilson_interval
from rapo_lightning.errors import VideoError
from rapo_lightning.shapes.scene import Scene
from rapo_lightning.shapes.verify import all_right, check, read
from rapo_lightning.types import Candidate, Prompt
from rapo_lightning.video import read_frames

__all__ = ["NOTE", "Arm", "compare"]

NOTE = "Shapes world (moving shapes, 64 x 64 pixels, 17 frames): real pipeline code, tiny weights. Says nothing of large models."
#: The judge says that a video is right above this score: nearer to the highest of its five levels than to the next.
_JUDGED_RIGHT = 0.875

#: What the verifier finds in a candidate's video: each stated attribute is right, wrong, or could not be told.
Verified = Callable[[Candidate], Mapping[str, bool | None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """One arm's chosen candidates, one a prompt (None: none could be scored), with every candidate it rendered.

    ``role``: the baseline, the control that spends as many videos without rewriting, what is measured, or the ceiling.
    ``seconds`` of wall time; None when it went on from an earlier session.
    """

    name: str
    role: Literal["raw", "control", "stage", "oracle"]
    chosen: tuple[Candidate | None, ...]
    rendered: tuple[Candidate, ...]
    seconds: float | None


def compare(
    arms: Sequence[Arm],
    asked: Sequence[tuple[Prompt, Scene]],
    *,
    seed: int,
    effects: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, Any]:
    """Verified shares with paired intervals, what the judge says, how well it agrees, and the worst cases.

    Args:
        arms: each has one candidate for each of ``asked``; the worst cases are those of the last ``stage``. Without a control
            nothing is compared with it.
        asked: the prompts, each with what it states.
        seed: of the bootstrap.
        effects: differences between two arms, by a name of their own.
    """
    verified = _verifier({prompt.id: stated for prompt, stated in asked})
    rights = {arm.name: [float(_is_right(candidate, verified)) for candidate in arm.chosen] for arm in arms}
    of_role = {arm.role: arm for arm in arms}
    raw, oracle = (rights[of_role[role].name] for role in ("raw", "oracle"))
    control = rights[of_role["control"].name] if "control" in of_role else None
    gap = mean(_differences(oracle, raw))
    stages = {arm.name: rights[arm.name] for arm in arms if arm.role == "stage"}
    minus = {name: paired_bootstrap(_differences(right, control), seed) for name, right in stages.items()} if control else {}
    found = {
        name: paired_bootstrap(_differences(rights[one], rights[other]), seed) for name, (one, other) in (effects or {}).items()
    }
    return {
        "title": f"{len(asked)} held-out user prompts, seed {seed}",
        "note": NOTE,
        "arms": [_row(arm, rights[arm.name], raw, verified, seed) for arm in arms],
        "gap_closed": {
            name: round(mean(_differences(right, raw)) / gap, 4) if gap > 0 else None for name, right in stages.items()
        },
        "minus_best_of_n": {name: [_rounded(value) for value in values] for name, values in minus.items()},
        **({"effects": {name: [_rounded(value) for value in values] for name, values in found.items()}} if found else {}),
        "worst": _worst(of_role["raw"], of_role["stage"], [prompt for prompt, _ in asked], verified),
    }


def _verifier(stated: Mapping[str, Scene]) -> Verified:
    found: dict[str, Mapping[str, bool | None]] = {}

    def verified(candidate: Candidate) -> Mapping[str, bool | None]:
        path = candidate.videos[0].path
        if path not in found:
            try:
                found[path] = check(read(read_frames(path)), stated[candidate.prompt_id])
            except VideoError:
                found[path] = {"video": False}
        return found[path]

    return verified


def _is_right(candidate: Candidate | None, verified: Verified) -> bool:
    return candidate is not None and all_right(verified(candidate)) is True


def _row(arm: Arm, right: Sequence[float], raw: Sequence[float], verified: Verified, seed: int) -> dict[str, Any]:
    interval = wilson_interval(int(sum(right)), len(right))
    share: dict[str, float | None] = dict(zip(("right", "low", "high"), interval, strict=True))
    names = ("difference", "difference_low", "difference_high")
    share |= zip(names, paired_bootstrap(_differences(right, raw), seed), strict=True)
    rewards = [c.reward for c in arm.chosen if c is not None and c.reward is not None]
    scored = [(c.reward > _JUDGED_RIGHT, _is_right(c, verified)) for c in arm.rendered if c.reward is not None]
    return {
        "name": arm.name,
        "prompts": len(arm.chosen),
        "videos_per_prompt": round(len(arm.rendered) / len(arm.chosen), 2),
        **{name: _rounded(value) for name, value in share.items()},
        "judge": _rounded(mean(rewards)) if rewards else None,
        "kappa": _rounded(cohen_kappa([judge for judge, _ in scored], [right for _, right in scored])) if scored else None,
        "by_attribute": _by_attribute(arm, verified),
        "seconds": None if arm.seconds is None else round(arm.seconds, 3),
    }


def _by_attribute(arm: Arm, verified: Verified) -> dict[str, float]:
    found: dict[str, list[bool]] = defaultdict(list)
    for candidate in arm.chosen:
        for name, value in verified(candidate).items() if candidate else ():
            found[name.split(".")[-1]].append(value is True)
    return {name: round(mean(values), 4) for name, values in sorted(found.items())}


def _worst(raw: Arm, stage: Arm, prompts: Sequence[Prompt], verified: Verified) -> list[dict[str, str]]:
    """Prompts on which a stage did worse than the raw prompt, then those with most left wrong; five at most."""
    cases = []
    for prompt, before, best in zip(prompts, raw.chosen, stage.chosen, strict=True):
        if best is None:
            cases.append((99, prompt.text, "no video could be scored"))
            continue
        wrong = [name for name, value in verified(best).items() if value is not True]
        lost = bool(wrong) and _is_right(before, verified)
        if wrong:
            why = "the raw prompt's video was right; " * lost + "not found: " + ", ".join(wrong)
            cases.append((len(wrong) + 50 * lost, prompt.text, why))
    cases.sort(key=lambda case: -case[0])
    return [{"prompt": text, "why": why} for _, text, why in cases[:5]]


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    return [one - other for one, other in zip(a, b, strict=True)]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
