"""Training data of L_d, the discriminator of Stage 1 (RAPO++ section 3.3): which of two rewrites of a prompt renders better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rapo_lightning.types import Candidate, Prompt, PromptPair

__all__ = ["preferences"]


def preferences(
    prompts: Sequence[Prompt], first: Sequence[Candidate | None], second: Sequence[Candidate | None], *, margin: float
) -> tuple[list[PromptPair], dict[str, int]]:
    """For each prompt the better of two rendered candidates as completion, the other as rejected.

    Args:
        prompts: the users' own.
        first: one candidate a prompt; None where there is none.
        second: the others, with the same noise.
        margin: rewards that differ by this or less are a tie; ties are no lesson.

    Returns:
        the pairs, and how many prompts gave none, by the reason.
    """
    pairs = []
    without: Counter[str] = Counter()
    for prompt, one, other in zip(prompts, first, second, strict=True):
        if one is None or other is None:
            without["one rewrite only"] += 1
        elif one.reward is None or other.reward is None:
            without["not scored"] += 1
        elif abs(one.reward - other.reward) <= margin:
            without["a tie"] += 1
        else:
            better, worse = (one, other) if one.reward > other.reward else (other, one)
            gain = abs(one.reward - other.reward)
            pairs.append(PromptPair(prompt=prompt.text, completion=better.text, rejected=worse.text, gain=gain))
    return pairs, dict(without)
