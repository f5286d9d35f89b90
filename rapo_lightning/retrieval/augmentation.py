"""What Stage 1 did for a prompt, every step of it, and the candidate that came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

from rapo_lightning.retrieval.phrases import key
from rapo_lightning.retrieval.select import Selected
from rapo_lightning.retrieval.steps import Merged, Restyled
from rapo_lightning.types import Candidate, Cost, Failure, Prompt, Retrieved, candidate_id

__all__ = ["Augmentation", "Branch"]

#: Where a text came from: the user's own words, those with modifiers, these in the captions' style, or the naive rewrite.
Branch = Literal["raw", "merged", "refactored", "naive"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """All that Stage 1 did for a prompt.

    ``selected`` is how the outcome was chosen among `options`; None: it was not asked for, and the first rewrite stands.
    """

    prompt: Prompt
    retrieved: tuple[Retrieved, ...]
    merged: Merged
    refactored: Restyled | None
    naive: Restyled | None
    raw_is_candidate: bool = True
    selected: Selected | None = None

    @property
    def options(self) -> dict[Branch, str]:
        """The texts to choose from, each once, in the order that ``selected.index`` counts in.

        ``merged`` is among them where refactoring was left out or undone.
        """
        options: dict[Branch, str] = {"raw": self.prompt.text} if self.raw_is_candidate else {}
        if self.refactored is not None and self.refactored.undone is None:
            options["refactored"] = self.refactored.text
        elif self.merged.modifiers:
            options["merged"] = self.merged.text
        if self.naive is not None and self.naive.undone is None and key(self.naive.text) not in map(key, options.values()):
            options["naive"] = self.naive.text
        return options

    @property
    def branch(self) -> Branch | None:
        """Where the outcome came from; None when no step gave a text that could be used."""
        branches = list(self.options)
        if self.selected is not None:
            return branches[self.selected.index]
        return next((branch for branch in branches if branch != "raw"), None)

    @property
    def text(self) -> str | None:
        """The outcome."""
        return None if self.branch is None else self.options[self.branch]

    @property
    def tokens(self) -> int:
        """Tokens of all answers of language models."""
        parts = (self.merged, self.refactored, self.naive, self.selected)
        return sum(part.tokens for part in parts if part is not None)

    @property
    def undone(self) -> tuple[str, ...]:
        """Each step that failed or was undone, with its reason."""
        steps = [f"merging {step.modifier.text!r}: {step.undone}" for step in self.merged.steps if step.undone]
        for name, one in (("refactoring", self.refactored), ("naive rewrite", self.naive)):
            if one is not None and one.undone:
                steps.append(f"{name}: {one.undone}")
        return tuple(steps)

    def candidate(self) -> Candidate | Failure:
        """The outcome as a candidate of round 0, with the modifiers that were merged on the way and the tokens of all steps.

        When the user's own words were chosen, the candidate has them and an ``error`` that says so: they are a candidate already,
        there is nothing else to render. A `Failure` says why there is no outcome.
        """
        branch, text = self.branch, self.text
        if branch is None or text is None:
            return Failure(error="; ".join(self.undone) or "no modifier was found, and no other step was asked for")
        return Candidate(
            id=candidate_id(0, text),
            prompt_id=self.prompt.id,
            round=0,
            text=text,
            origin="rapo",
            modifiers=self.merged.modifiers if branch in {"merged", "refactored"} else (),
            cost=Cost(tokens=self.tokens),
            error="the selection kept the user's own words" if branch == "raw" else None,
        )
