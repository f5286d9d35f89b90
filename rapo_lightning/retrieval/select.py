"""Chooses among a prompt's rewrites before anything is rendered, by asking a language model (RAPO++ section 3.3, Table 3).

Each pair is asked in both orders, as models favour a place. Only what wins in both orders has won; otherwise the earlier of the
two stands, so that the user's own words, which come first, are given up for good reason only. With a discriminator's adapter the
language model is the paper's L_d; without, it is a judge.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from rapo_lightning.errors import PartError
from rapo_lightning.protocols import LanguageModel
from rapo_lightning.retrieval.phrases import key
from rapo_lightning.templates import Template
from rapo_lightning.types import Failure, Prompt, Reply

__all__ = ["LLMSelector", "Selected", "Vote", "label"]

_ONLY = re.compile(r"\W*([AB])\W*", re.IGNORECASE)
_FIRST = re.compile(r"[\s*_`\"'(\[]*([AB])[*_`\"')\]]*[.:,;\n]")
_SUBJECT = re.compile(r"(?<!\w)([AB])[*_`\"')\]]*\s+(?:is|wins|keeps)\b")
_NAMED = re.compile(
    r"(?i:answer|prompt|option|choice|choose|pick|prefer|is)[\s:*_`\"'(]+([AB])(?!\w)(?![*_`\"')\]]*\s+[a-z])(?!\s*,? and\b)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vote:
    """How two candidates of a prompt compared: their places, what was answered in each order, which place stands, and why.

    ``tie``: neither was better in both orders, so that the earlier stands without having won.
    """

    first: int
    second: int
    answers: tuple[str, str]
    stands: int
    reason: str
    tie: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Selected:
    """Which candidate was chosen, by its place, the votes that led there, and the tokens they cost."""

    index: int
    votes: tuple[Vote, ...] = ()
    tokens: int = 0

    @property
    def reason(self) -> str:
        """The choice in one line: what it won, what was a tie, and where only its place decided."""
        if not self.votes:
            return "nothing to compare it with"
        own = [vote for vote in self.votes if self.index in (vote.first, vote.second)]
        told = f"won {sum(vote.stands == self.index and not vote.tie for vote in own)} of its {len(own)} comparisons"
        if ties := [vote for vote in own if vote.tie]:
            stands = any(vote.stands == self.index for vote in ties)
            told += f", {len(ties)} {'were ties' if len(ties) > 1 else 'was a tie'}"
            told += ", in which the earlier text stands" if stands else ""
        stood = Counter(vote.stands for vote in self.votes)
        if level := [str(place + 1) for place in sorted(stood) if place != self.index and stood[place] == stood[self.index]]:
            told += f"; {' and '.join(level)} did as well, and the earliest stands"
        said = "; ".join(f"{vote.first + 1} against {vote.second + 1}: {vote.reason}" for vote in self.votes)
        return f"{told} ({said})"


@final
class LLMSelector:
    """Compares a prompt's candidates pair by pair with a chat model.

    Args:
        language_model: a judge, or the discriminator L_d.
        template: a name or a file with the placeholders ``{request}``, ``{a}`` and ``{b}``; the answer is A or B.
        raw_is_candidate: a candidate that is the user's own text takes part; otherwise it is chosen only when there is no other.
        max_new_tokens: the most tokens of an answer.
        seed: handed to the chat model.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        template: str = "select",
        raw_is_candidate: bool = True,
        max_new_tokens: int = 16,
        seed: int = 0,
    ) -> None:
        if max_new_tokens < 1:
            raise ValueError(f"max_new_tokens is {max_new_tokens}; it must be at least 1")
        self._language_model = language_model
        self._template = Template.load(template).required({"request", "a", "b"})
        self._raw_is_candidate = raw_is_candidate
        self._max_new_tokens = max_new_tokens
        self._seed = seed

    def select(self, prompts: Sequence[Prompt], candidates: Sequence[Sequence[str]]) -> list[Selected]:
        """One choice a prompt, among one or more texts each; all pairs of all prompts are asked in one call.

        The candidate that stands after the most comparisons is chosen, the earliest of those that are level. Equal texts (but
        for blanks and case) are one candidate. An answer that names neither A nor B, or both, and one that failed, make a tie.
        """
        if len(prompts) != len(candidates) or not all(candidates):
            raise ValueError("each prompt needs its candidates, one or more")
        pairs = [
            (row, first, second)
            for row, (prompt, texts) in enumerate(zip(prompts, candidates))
            for first, second in itertools.combinations(self._entrants(prompt, texts), 2)
        ]
        conversations = []
        for row, first, second in pairs:
            a, b = candidates[row][first], candidates[row][second]
            for one, other in ((a, b), (b, a)):
                conversations.append(self._template.messages(request=prompts[row].text, a=one, b=other))
        answers = (
            self._language_model.chat(conversations, max_new_tokens=self._max_new_tokens, seed=self._seed)
            if conversations
            else []
        )
        if len(answers) != len(conversations):
            raise PartError(f"the language model gave {len(answers)} answers to {len(conversations)} conversations")
        votes: list[list[Vote]] = [[] for _ in prompts]
        tokens = [0] * len(prompts)
        for (row, first, second), forth, back in zip(pairs, answers[::2], answers[1::2], strict=True):
            votes[row].append(_vote(first, second, forth, back))
            tokens[row] += sum(answer.tokens for answer in (forth, back) if isinstance(answer, Reply))
        chosen = []
        for row, (prompt, texts) in enumerate(zip(prompts, candidates)):
            stood = Counter(vote.stands for vote in votes[row])
            index = max(self._entrants(prompt, texts), key=lambda place: (stood[place], -place))
            chosen.append(Selected(index=index, votes=tuple(votes[row]), tokens=tokens[row]))
        return chosen

    def _entrants(self, prompt: Prompt, texts: Sequence[str]) -> list[int]:
        """The places of the texts that take part: each text once, the user's own if it may."""
        places = {key(text): place for place, text in reversed(list(enumerate(texts)))}
        if not self._raw_is_candidate and len(places) > 1:
            places.pop(key(prompt.text), None)
        return sorted(places.values())


def label(answer: str) -> str | None:
    """``A`` or ``B`` as an answer names it: alone, first, or after "the answer is"; None when it names neither or both."""
    if only := _ONLY.fullmatch(answer):
        return only[1].upper()
    first = _FIRST.match(answer)
    named = {*_NAMED.findall(answer), *_SUBJECT.findall(answer), *([first[1]] if first else [])}
    return named.pop() if len(named) == 1 else None


def _vote(first: int, second: int, forth: Reply | Failure, back: Reply | Failure) -> Vote:
    """``forth`` was asked with the first as A, ``back`` with the second as A."""
    said = [answer.text if isinstance(answer, Reply) else answer.error for answer in (forth, back)]
    labels = [label(answer.text) if isinstance(answer, Reply) else None for answer in (forth, back)]
    won = {("A", "B"): first, ("B", "A"): second}.get((labels[0] or "", labels[1] or ""))
    if failed := [answer.error for answer in (forth, back) if isinstance(answer, Failure)]:
        reason = f"a tie, an answer failed: {failed[0]}"
    elif None in labels:
        reason = f"a tie, an answer names no single prompt: {said[labels.index(None)][:80]!r}"
    else:
        reason = "a tie, the orders disagree" if won is None else f"{won + 1} is better in both orders"
    stands = first if won is None else won
    return Vote(first=first, second=second, answers=(said[0], said[1]), stands=stands, reason=reason, tie=won is None)
