"""Decides whether a rewrite may be tried at all, by rules that need no model: it costs nothing, a video costs minutes.

Refused is a text that is empty, repeats an earlier one, loses what the user fixed (locked words, quoted text, numbers in
digits), changes the writing system, or is longer than the text encoder reads.
"""

from __future__ import annotations

from collections.abc import Callable

from rapo_lightning.keeping import lost_fixtures
from rapo_lightning.types import Trajectory

__all__ = ["refusal"]


def refusal(
    text: str,
    trajectory: Trajectory,
    *,
    repeats: bool = False,
    over_limit: Callable[[str], int] | None = None,
) -> str | None:
    """Why ``text`` may not be tried as the next candidate of ``trajectory``, in one line; None when it may.

    Args:
        text: the rewritten prompt.
        trajectory: the user's prompt and everything tried or refused so far.
        repeats: earlier texts may come again (each round has fresh seeds).
        over_limit: by how many tokens a text exceeds what the generator's text encoder reads.
    """
    user = trajectory.prompt
    if not text.strip():
        return "the text is empty"
    if not repeats:
        for candidate in trajectory.candidates:
            if _folded(candidate.text) == _folded(text):
                return f"the same text as {candidate.id}"
    if lost := lost_fixtures(user.text, text, locked=user.context.get("locked", ())):
        return lost[0]
    excess = over_limit(text) if over_limit else 0
    return f"{excess} tokens longer than the text encoder reads" if excess > 0 else None


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
