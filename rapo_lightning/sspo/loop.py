"""The loop of Stage 2 (sample-specific prompt optimisation, RAPO++ section 4.1) for a batch of prompts, in plain Python.

Render the newest text, judge the video against the user's own prompt, let the rewriter see everything tried, and again.
What a trajectory needs next is read off its candidates alone: a run that was killed goes on from its record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rapo_lightning.errors import InputError
from rapo_lightning.sspo.evaluate import evaluate
from rapo_lightning.sspo.options import LoopOptions, Parts, StopReason
from rapo_lightning.sspo.progress import extend, needs, next_round, stop_reason, take_up
from rapo_lightning.sspo.propose import first_texts, next_texts
from rapo_lightning.types import Candidate, Prompt, Trajectory

__all__ = ["optimize"]


def optimize(
    prompts: Sequence[Prompt],
    parts: Parts,
    options: LoopOptions,
    *,
    video_path: Callable[[str, str, int], str],
    history: Mapping[str, Sequence[Candidate]] | None = None,
    retry_errors: bool = False,
    record: Callable[[Candidate, Trajectory], None] = lambda candidate, trajectory: None,
    stopped: Callable[[Trajectory, StopReason], None] = lambda trajectory, reason: None,
    may_render: Callable[[int], bool] = lambda videos: True,
    stop_requested: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Trajectory]:
    """Optimise each prompt; the best over its whole trajectory, the user's own text included, is ``trajectory.best``.

    Args:
        prompts: what users asked for; ids are unique.
        parts: generator, judges, reward, selection, rewriter and, for Stage 1, an augmenter.
        options: rounds, seeds and when to stop.
        video_path: where the video of (prompt id, candidate id, seed) belongs.
        history: recorded candidates by prompt id; they are not done again.
        retry_errors: do failed candidates again.
        record: called with each new candidate, once its videos exist, and its trajectory so far.
        stopped: called once a prompt with the reason why it gets no further round.
        may_render: whether so many videos more may be rendered; asked before each round.
        stop_requested: whether to end after the round under way.
        clock: seconds.

    Returns:
        One trajectory a prompt, in order.

    Raises:
        RapoError: what concerns the whole run: a part broke its contract, or weights are missing. A part that fails on an
            item, or raises anything else, is recorded in the candidates' errors instead.
    """
    if len({prompt.id for prompt in prompts}) < len(prompts):
        raise InputError("two prompts of a batch have the same id")
    augmented = parts.augmenter is not None

    # 1. Take up what is recorded; candidates to be done again wait in `redo`.
    trajectories: dict[str, Trajectory] = {}
    redo: dict[str, list[Candidate]] = {}
    for prompt in prompts:
        kept, redo[prompt.id] = take_up(prompt, (history or {}).get(prompt.id, ()), retry_errors=retry_errors)
        trajectories[prompt.id] = extend(Trajectory(prompt=prompt), kept, parts.selection)

    def add(candidate: Candidate) -> Trajectory:
        trajectory = extend(trajectories[candidate.prompt_id], [candidate], parts.selection)
        trajectories[candidate.prompt_id] = trajectory
        record(candidate, trajectory)
        return trajectory

    unfinished = [prompt.id for prompt in prompts]
    while unfinished:
        # 2. Close what has come to an end; the others share the videos that the budget allows.
        going: list[Trajectory] = []
        planned = 0
        interrupted = stop_requested()
        for trajectory in (trajectories[key] for key in unfinished):
            again = redo[trajectory.prompt.id]
            wanted = options.seeds * (len(again) or sum(needs(trajectory, augmented=augmented)) or 1)
            reason = None if again else stop_reason(trajectory, options, augmented=augmented)
            if reason is None and (interrupted or not may_render(planned + wanted)):
                reason = "interrupted" if interrupted else "budget"
            if reason is None:
                going.append(trajectory)
                planned += wanted
            else:
                stopped(trajectory, reason)
        unfinished = [trajectory.prompt.id for trajectory in going]

        # 3. Write the texts of this round, for all trajectories at once; what cannot be tried is recorded right away.
        texts = [candidate for key in unfinished for candidate in redo[key]]
        fresh = [trajectory for trajectory in going if not redo[trajectory.prompt.id]]
        begun = [bool(next_round(trajectory, augmented=augmented)) for trajectory in fresh]
        for candidate in first_texts([trajectory for trajectory, later in zip(fresh, begun) if not later], parts):
            if candidate.error is None:
                texts.append(candidate)
            else:
                add(candidate)
        texts += next_texts([trajectory for trajectory, later in zip(fresh, begun) if later], parts, options, add)
        redo = {key: [] for key in redo}

        # 4. Render and judge them against the user's own prompts, then record them.
        against = [trajectories[candidate.prompt_id].prompt for candidate in texts]
        for candidate in evaluate(texts, against, parts, options, video_path=video_path, clock=clock):
            add(candidate)
    return [trajectories[prompt.id] for prompt in prompts]
