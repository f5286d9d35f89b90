"""Renders candidates and has them judged: the part of a round that costs money. Nothing is rendered twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from rapo_lightning.errors import PartError, VideoError
from rapo_lightning.protocols import Generator, Judge
from rapo_lightning.sspo.ask import ask
from rapo_lightning.sspo.options import LoopOptions, Parts
from rapo_lightning.types import Candidate, Failure, Feedback, Prompt, Video, noise_seed
from rapo_lightning.video import probe

__all__ = ["evaluate"]


def evaluate(
    candidates: Sequence[Candidate],
    prompts: Sequence[Prompt],
    parts: Parts,
    options: LoopOptions,
    *,
    video_path: Callable[[str, str, int], str],
    clock: Callable[[], float],
) -> list[Candidate]:
    """The candidates with their videos, feedback, reward and cost.

    Args:
        candidates: texts to try.
        prompts: the user's own prompt of each, which judges compare with.
        parts: generator, judges and reward.
        options: seeds a candidate.
        video_path: where the video of (prompt id, candidate id, seed) belongs. A video that is there already is taken.
        clock: seconds; the batch's time is shared equally.

    A seed that could not be rendered is recorded as feedback of the judge ``generator`` with the error; a candidate that lost
    all its seeds carries the error as its own.
    """
    started = clock()
    seeds = [_seeds(candidate, options) for candidate in candidates]
    texts = [candidate.text for candidate, own in zip(candidates, seeds) for _ in own]
    paths = [video_path(c.prompt_id, c.id, seed) for c, own in zip(candidates, seeds) for seed in own]
    rendered = _render(parts.generator, texts, [seed for own in seeds for seed in own], paths)
    videos = [video for video in rendered if isinstance(video, Video)]
    against = [prompt for prompt, own in zip(prompts, seeds) for _ in own]
    shown = [prompt for prompt, video in zip(against, rendered) if isinstance(video, Video)]
    judged = dict(zip([video.path for video in videos], _judge(parts.judges, videos, shown)))
    answers = iter(rendered)
    done = [_assemble(c, {seed: next(answers) for seed in own}, judged, parts) for c, own in zip(candidates, seeds)]
    share = (clock() - started) / max(len(done), 1)
    return [replace(candidate, cost=replace(candidate.cost, seconds=share)) for candidate in done]


def _seeds(candidate: Candidate, options: LoopOptions) -> list[int]:
    first = candidate.round * options.seeds if options.fresh_seeds else 0
    return [noise_seed(options.run_seed, candidate.prompt_id, first + i) for i in range(options.seeds)]


def _render(generator: Generator, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
    """A video or a failure for each path; only what is not on disk is generated, in one call."""
    answers: list[Video | Failure | None] = [_on_disk(path, seed) for path, seed in zip(paths, seeds)]
    missing = [i for i, answer in enumerate(answers) if answer is None]
    new = ask(generator.generate, [texts[i] for i in missing], [seeds[i] for i in missing], [paths[i] for i in missing])
    for i, answer in zip(missing, new):
        answers[i] = replace(answer, path=paths[i], seed=seeds[i]) if isinstance(answer, Video) else answer
    return [answer for answer in answers if answer is not None]


def _on_disk(path: str, seed: int) -> Video | None:
    """The video at ``path``; None when there is none, or none that can be read (it is rendered anew)."""
    if not Path(path).is_file():
        return None
    try:
        frames, fps, height, width = probe(path)
    except VideoError:
        return None
    return Video(path=path, seed=seed, frames=frames, fps=fps, height=height, width=width)


def _judge(judges: Mapping[str, Judge], videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[dict[str, Feedback]]:
    """For each video ``{judge's name: its feedback}``."""
    table: list[dict[str, Feedback]] = [{} for _ in videos]
    for name, judge in judges.items():
        for video, row, answer in zip(videos, table, ask(judge.judge, videos, prompts)):
            feedback = Feedback(judge=name, error=answer.error) if isinstance(answer, Failure) else answer
            row[name] = replace(feedback, judge=name, seed=video.seed)
    return table


def _assemble(
    candidate: Candidate, answers: dict[int, Video | Failure], judged: dict[str, dict[str, Feedback]], parts: Parts
) -> Candidate:
    """The candidate with what came of its seeds; its reward is the mean over the videos that have one."""
    videos = tuple(answer for answer in answers.values() if isinstance(answer, Video))
    lost = {seed: answer.error for seed, answer in answers.items() if isinstance(answer, Failure)}
    feedback = [Feedback(judge="generator", error=error, seed=seed) for seed, error in lost.items()]
    rewards: list[float] = []
    for video in videos:
        feedback += judged[video.path].values()
        reward = parts.reward.combine(judged[video.path])
        if reward is not None and not math.isfinite(reward):
            raise PartError(f"{type(parts.reward).__name__}.combine returned {reward}; a reward is a finite number or None")
        if reward is not None:
            rewards.append(reward)
    return replace(
        candidate,
        videos=videos,
        feedback=tuple(feedback),
        reward=math.fsum(rewards) / len(rewards) if rewards else None,
        error=None if videos else "generator: " + "; ".join(dict.fromkeys(lost.values())),
    )
