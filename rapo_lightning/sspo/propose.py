"""Writes the texts of a round: the user's own prompt and its augmentation in round 0, rewrites in the later ones.

Each text passes the guard before it costs a video. What is refused or failed becomes a candidate with an error, so that the
rewriter sees it and a resumed run does not ask again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from rapo_lightning.errors import PartError
from rapo_lightning.protocols import LimitsText
from rapo_lightning.sspo.ask import ask
from rapo_lightning.sspo.guard import refusal
from rapo_lightning.sspo.options import LoopOptions, Parts
from rapo_lightning.sspo.progress import needs, next_round, tried
from rapo_lightning.types import Candidate, Cost, Failure, Trajectory, candidate_id

__all__ = ["first_texts", "next_texts"]


def first_texts(trajectories: Sequence[Trajectory], parts: Parts) -> list[Candidate]:
    """Candidates of round 0 that are still missing: the user's own prompt always, and the augmenter's when there is one.

    An augmentation that fails or is refused comes back as a candidate with an error: only the user's prompt is rendered.
    """
    augmented = parts.augmenter is not None
    lacking = [needs(trajectory, augmented=augmented) for trajectory in trajectories]
    texts = [
        Candidate(id=candidate_id(0, t.prompt.text), prompt_id=t.prompt.id, round=0, text=t.prompt.text, origin="user")
        for t, (user, _) in zip(trajectories, lacking)
        if user
    ]
    if parts.augmenter is None:
        return texts
    waiting = [t for t, (_, augmentation) in zip(trajectories, lacking) if augmentation]
    for trajectory, answer in zip(waiting, ask(parts.augmenter.augment, [t.prompt for t in waiting])):
        prompt = trajectory.prompt
        user = Candidate(id=candidate_id(0, prompt.text), prompt_id=prompt.id, round=0, text=prompt.text, origin="user")
        if isinstance(answer, Failure):
            draft = replace(user, text="", origin=getattr(parts.augmenter, "origin", "rapo"), error=f"augmenter: {answer.error}")
        elif answer.origin == "user":
            raise PartError(f"{type(parts.augmenter).__name__}.augment gave a candidate the origin 'user'; it is rapo or refiner")
        else:
            draft = replace(answer, prompt_id=prompt.id, round=0)
        texts.append(_checked(replace(draft, parent=user.id), replace(trajectory, candidates=(user,)), parts, repeats=False))
    return texts


def next_texts(
    trajectories: Sequence[Trajectory],
    parts: Parts,
    options: LoopOptions,
    add: Callable[[Candidate], Trajectory],
) -> list[Candidate]:
    """The next text of each trajectory, from one call of the rewriter for all of them.

    Refused texts and failures are handed to ``add``, which returns the trajectory with them, and asked for again while their
    round is not spent; a trajectory whose round is spent has no text in the answer.
    """
    augmented = parts.augmenter is not None
    texts: list[Candidate] = []
    waiting = list(trajectories)
    while waiting:
        shown = [t if options.start == "best" else replace(t, best=None) for t in waiting]
        refused: list[Trajectory] = []
        for trajectory, reply in zip(waiting, ask(parts.rewriter.rewrite, shown)):
            number = next_round(trajectory, augmented=augmented)
            draft = Candidate(
                id="",
                prompt_id=trajectory.prompt.id,
                round=number,
                text="" if isinstance(reply, Failure) else reply.text,
                origin="rewrite",
                parent=_parent(trajectory, options),
                cost=Cost(tokens=0 if isinstance(reply, Failure) else reply.tokens),
                error=f"rewriter: {reply.error}" if isinstance(reply, Failure) else None,
            )
            candidate = _checked(draft, trajectory, parts, repeats=options.fresh_seeds)
            if candidate.error is None:
                texts.append(candidate)
                continue
            extended = add(candidate)
            if next_round(extended, augmented=augmented) == number:
                refused.append(extended)
        waiting = refused
    return texts


def _checked(draft: Candidate, trajectory: Trajectory, parts: Parts, *, repeats: bool) -> Candidate:
    """The draft with its text trimmed, with its id, and with the guard's reason as its error.

    The ids of texts that are not rendered end in ``-x`` and their number within the round, as their texts may repeat.
    """
    text = draft.text.strip().encode(errors="replace").decode()  # half a surrogate pair could not be recorded
    name = candidate_id(draft.round, text)
    error = draft.error
    if error is None:
        generator = parts.generator
        over_limit = (lambda text: generator.tokens_over_limit([text])[0]) if isinstance(generator, LimitsText) else None
        reason = refusal(text, trajectory, repeats=repeats, over_limit=over_limit)
        error = f"refused: {reason}" if reason else None
    if error is not None:
        earlier = sum(c.round == draft.round and c.error is not None and not tried(c) for c in trajectory.candidates)
        name = f"{name}-x{earlier + 1}"
    return replace(draft, id=name, text=text, error=error)


def _parent(trajectory: Trajectory, options: LoopOptions) -> str | None:
    newest = next((candidate for candidate in reversed(trajectory.candidates) if tried(candidate)), None)
    start = (trajectory.best or newest) if options.start == "best" else newest
    return start.id if start else None
