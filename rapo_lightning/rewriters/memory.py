"""Turns a trajectory into the conversation that asks for its next text: everything tried, what it scored and why.

The whole memory is passed (RAPO++ section 4.1), each try with its critiques:

    1. "a red ball rolls" score 0.40
    Critique: the ball is blue; nothing moves
    2. "a red ball rolls down a hill" score 0.70, best so far
    Critique: the hill is missing
    3. "a red ball" failed: the locked word 'rolls' is missing

Pure functions of the standard library; no weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rapo_lightning.language.answers import count_words
from rapo_lightning.types import Candidate, Prompt, Trajectory

if TYPE_CHECKING:
    from rapo_lightning.templates import Template

__all__ = ["conversation", "describe_tries", "describe_try"]

#: An error message is cut here: its first words name the cause, the rest may be a trace.
_ERROR_WORDS = 30


def conversation(
    trajectory: Trajectory, template: Template, *, max_words: int, memory_words: int | None = None
) -> list[dict[str, str]]:
    """The messages that ask for a trajectory's next text.

    Args:
        trajectory: the user's prompt and everything tried for it.
        template: a template with some of the placeholders ``request``, ``notes``, ``tries`` and ``words``.
        max_words: how long the new text may be, as told to the model.
        memory_words: how many words the tries may take, see `describe_tries`; None: no limit.
    """
    values = {
        "request": _one_line(trajectory.prompt.text),
        "notes": _notes(trajectory.prompt),
        "tries": describe_tries(trajectory, memory_words=memory_words),
        "words": str(max_words),
    }
    return template.messages(**{name: values[name] for name in template.placeholders})


def describe_tries(trajectory: Trajectory, *, memory_words: int | None = None) -> str:
    """All tries of a trajectory, oldest first; ``none`` when there are none.

    Above ``memory_words`` words the oldest are shortened, one after the other, to their number and score (section 6 row 14
    of the design: the memory is whole, its oldest part summarised at the limit). The best and the newest stay in full, even
    when they alone exceed the limit.
    """
    if not trajectory.candidates:
        return "none"
    best = trajectory.best.id if trajectory.best else None
    full = [
        describe_try(number, candidate, best=candidate.id == best)
        for number, candidate in enumerate(trajectory.candidates, start=1)
    ]
    if memory_words is not None:
        words = sum(count_words(text) for text in full)
        for index, candidate in enumerate(trajectory.candidates[:-1]):
            if words <= memory_words:
                break
            if candidate.id != best:
                short = f"{index + 1}. {_outcome(candidate)}"
                words += count_words(short) - count_words(full[index])
                full[index] = short
    return "\n".join(full)


def describe_try(number: int, candidate: Candidate, *, best: bool = False) -> str:
    """One try: its text, its score (two decimals) or why it failed, and on a second line what the judges criticised."""
    mark = ", best so far" if best else ""
    line = f'{number}. "{_one_line(candidate.text)}" {_outcome(candidate)}{mark}'
    # Videos of several seeds often draw the same critique: each is told once.
    critiques = dict.fromkeys(_one_line(feedback.critique) for feedback in candidate.feedback)
    told = "; ".join(critique for critique in critiques if critique)
    return f"{line}\nCritique: {told}" if told else line


def _outcome(candidate: Candidate) -> str:
    if candidate.reward is not None:
        return f"score {candidate.reward:.2f}"
    errors = dict.fromkeys(feedback.error for feedback in candidate.feedback if feedback.error)
    reason = candidate.error or "; ".join(errors)
    return f"failed: {' '.join(reason.split()[:_ERROR_WORDS])}" if reason else "not scored"


def _notes(prompt: Prompt) -> str:
    """Lines added below the request, each only when the prompt's context holds it; starts with a line break."""
    notes = ""
    if rule := _one_line(str(prompt.context.get("physical_rule") or "")):
        notes += f"\nPhysical rule: {rule}"
    if locked := prompt.context.get("locked"):
        notes += f"\nWords to keep: {', '.join(locked)}"
    return notes


def _one_line(text: str) -> str:
    return " ".join(text.split())
