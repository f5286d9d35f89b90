"""Training data of L_d, the discriminator of Stage 1 (RAPO++ section 3.3): which of two texts of a prompt renders better."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from rapo_lightning.types import Candidate, Prompt, PromptPair

__all__ = ["preferences"]


def preferences(
    prompts: Sequence[Prompt], candidates: Sequence[Sequence[Candidate]], *, margin: float
) -> tuple[list[PromptPair], dict[str, int]]:
    """The better of each two rendered candidates of a prompt as completion, the other as rejected.

    Args:
        prompts: the users' own.
        candidates: of each prompt, all with the same noise.
        margin: rewards that differ by this or less are a tie; ties are no lesson.

    Returns:
        the pairs, and how often there was none, by the reason: of prompts with fewer than two texts, else of two texts.
    """
    pairs = []
    without: Counter[str] = Counter()
    for prompt, own in zip(prompts, candidates, strict=True):
        without["fewer than two texts"] += len(own) < 2
        for one, other in combinations(own, 2):
            if one.reward is None or other.reward is None:
                without["not scored"] += 1
            elif abs(one.reward - other.reward) <= margin:
                without["a tie"] += 1
            else:
                better, worse = (one, other) if one.reward > other.reward else (other, one)
                gain = abs(one.reward - other.reward)
                pairs.append(PromptPair(prompt=prompt.text, completion=better.text, rejected=worse.text, gain=gain))
    return pairs, {why: count for why, count in without.items() if count}
