"""The arms that `rapo quickstart` compares: one way to spend videos on a prompt each, all with the same noise.

==============  ==========================================================================  ===============
arm             what is shown                                                               videos a prompt
==============  ==========================================================================  ===============
raw prompt      the user's own words                                                        1
best of N       the user's own words with N noises, the judge's favourite                   N
stage 1         the augmenter's rewrite, the user's own words where it gave none             1
stage 2         the loop from the user's own words                                          N at most
stage 1 + 2     the loop from both                                                          N at most
oracle caption  the scene's own caption, which no rewriter knows                            1
==============  ==========================================================================  ===============

A video that several arms need is rendered once.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, final

from rapo_lightning.comparison import Arm
from rapo_lightning.interruption import StopSignals
from rapo_lightning.protocols import Augmenter
from rapo_lightning.rewriters.repeat import RepeatPrompt
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.session import OnCandidate, Outcome, make_trainer, run_loop
from rapo_lightning.settings import OptimizeParts
from rapo_lightning.types import Candidate, Failure, Prompt, Trajectory, candidate_id

__all__ = ["Arms", "GivenTexts", "Interrupted", "first_rendered"]


@final
class GivenTexts:
    """An `Augmenter` that knows what becomes of each prompt, by its id; a prompt it does not know is a failure."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = texts

    def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
        return [self._one(prompt, self._texts.get(prompt.id)) for prompt in prompts]

    def _one(self, prompt: Prompt, text: str | None) -> Candidate | Failure:
        if text is None:
            return Failure(error="no text was given")
        return Candidate(id=candidate_id(0, text), prompt_id=prompt.id, round=0, text=text, origin="rapo")


class Interrupted(Exception):
    """An arm was asked to stop before its end."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__()
        self.outcome = outcome


@final
class Arms:
    """Runs the arms of one configuration in ``folder``; ``listen`` gives what is told of an arm's candidates."""

    def __init__(
        self,
        folder: Path,
        config: OptimizeConfig,
        parts: OptimizeParts,
        prompts: Sequence[Prompt],
        signals: StopSignals,
        listen: Callable[[str, int], OnCandidate] | None,
    ) -> None:
        self._folder = folder
        self._config = config
        self._parts = parts
        self._prompts = prompts
        self._signals = signals
        self._listen = listen

    def run(self, oracle: Augmenter, check: Callable[[Outcome], None]) -> tuple[list[Arm], Outcome]:
        """All arms in the table's order, and the outcome of the last loop, which stays in the run folder itself.

        Args:
            oracle: gives each prompt the caption of its scene.
            check: looks at the first videos; what it raises ends the run.

        Raises:
            Interrupted: a signal asked an arm to stop.
        """
        rounds = self._config.loop.rounds
        videos = 1 + rounds
        folder, arms = self._folder, self._folder / "arms"
        ends, of_ends = self.one("raw and oracle", arms / "ends", 0, 2, augmenter=oracle)
        check(ends)
        raw, oracles = (first_rendered(ends, origin) for origin in ("user", "rapo"))
        first = None if of_ends is None else of_ends / 2
        best_of, of_best = self.one(f"best of {videos}", arms / "best_of_n", rounds, rounds, raw, fresh=True)
        compared = [
            Arm(name="raw prompt", role="raw", chosen=raw, rendered=_rendered(raw), seconds=first),
            _loop(f"best of {videos}", best_of, first, of_best, role="control"),
        ]
        if self._parts.augmenter is None:
            last, of_last = self.one("stage 2", folder, rounds, rounds, raw)
            compared.append(_loop("stage 2", last, first, of_last))
        else:
            one, of_one = self.one("stage 1", arms / "stage1", 0, 1, raw, augmenter=self._parts.augmenter)
            written = tuple(_written(trajectory) for trajectory in one.trajectories)
            shown = tuple(w if w and w.videos else r for w, r in zip(written, raw, strict=True))
            compared.append(Arm(name="stage 1", role="stage", chosen=shown, rendered=_rendered(shown), seconds=of_one))
            two, of_two = self.one("stage 2", arms / "stage2", rounds, rounds, raw)
            compared.append(_loop("stage 2", two, first, of_two))
            both = (*raw, *written)
            last, of_last = self.one("stage 1 + 2", folder, rounds - 1, rounds - 1, both, augmenter=self._parts.augmenter)
            compared.append(_loop("stage 1 + 2", last, _sum(first, of_one), of_last))
        compared.append(Arm(name="oracle caption", role="oracle", chosen=oracles, rendered=_rendered(oracles), seconds=first))
        return compared, last

    def one(
        self,
        name: str,
        where: Path,
        rounds: int,
        new_videos: int,
        known: Sequence[Candidate | None] = (),
        *,
        augmenter: Augmenter | None = None,
        fresh: bool = False,
    ) -> tuple[Outcome, float | None]:
        """One run of the loop that starts from candidates of other arms; its wall seconds, None where it was continued.

        ``fresh``: no rewriting, but new noise every round.
        """
        config, parts = self._config, replace(self._parts, augmenter=augmenter)
        if fresh:
            config = config.model_copy(update={"loop": config.loop.model_copy(update={"fresh_seeds": True})})
            parts = replace(parts, rewriter=RepeatPrompt())
        resumed = any(where.glob("candidates-*.jsonl"))
        _share(known, where)
        began = time.perf_counter()
        trainer = make_trainer(config, where, len(self._prompts), self._signals)
        listeners = [self._listen(name, new_videos * len(self._prompts))] if self._listen else []
        outcome = run_loop(
            trainer, config, parts, self._prompts, where, signals=self._signals, rounds=rounds, listeners=listeners
        )
        if outcome.interrupted:
            raise Interrupted(outcome)
        return outcome, None if resumed else time.perf_counter() - began


def _share(candidates: Sequence[Candidate | None], where: Path) -> None:
    """Let a run start from candidates that another has rendered: same prompt, same text, same noise, same video."""
    from rapo_lightning.sspo.log import CandidateLog, read_all, video_path

    where.mkdir(parents=True, exist_ok=True)
    there = {(prompt, candidate.id) for prompt, known in read_all(where).items() for candidate in known}
    log = CandidateLog(where, 0)
    for candidate in candidates:
        if candidate is None or (candidate.prompt_id, candidate.id) in there:
            continue
        videos = []
        for video in candidate.videos:
            path = video_path(where, candidate.prompt_id, candidate.id, video.seed)
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(video.path, path)
            videos.append(replace(video, path=path))
        log.append(replace(candidate, videos=tuple(videos)))


def first_rendered(outcome: Outcome, origin: str) -> tuple[Candidate | None, ...]:
    """Each prompt's first candidate of an origin that was rendered."""
    return tuple(next((c for c in t.candidates if c.origin == origin and c.videos), None) for t in outcome.trajectories)


def _written(trajectory: Trajectory) -> Candidate | None:
    """What Stage 1 made of a prompt, its failure included."""
    return next((c for c in trajectory.candidates if c.round == 0 and c.origin != "user"), None)


def _rendered(candidates: Sequence[Candidate | None]) -> tuple[Candidate, ...]:
    return tuple(candidate for candidate in candidates if candidate is not None and candidate.videos)


def _loop(
    name: str, outcome: Outcome, before: float | None, own: float | None, *, role: Literal["control", "stage"] = "stage"
) -> Arm:
    return Arm(
        name=name,
        role=role,
        chosen=tuple(trajectory.best for trajectory in outcome.trajectories),
        rendered=tuple(c for t in outcome.trajectories for c in t.candidates if c.videos),
        seconds=_sum(before, own),
    )


def _sum(*seconds: float | None) -> float | None:
    known = [value for value in seconds if value is not None]
    return sum(known) if len(known) == len(seconds) else None
