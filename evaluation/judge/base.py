"""The seam: what a metric may ask of a judge, and how several questions about a video are asked at once.

class Mine:
    id = "mine"
    policy = FramePolicy(n=8)
    def generate(self, video, text): ...
    def token_logprobs(self, video, text, candidates): ...
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from evaluation.judge.frames import FramePolicy, View

__all__ = ["Answer", "Ask", "BatchJudge", "Judge", "ask"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question to a judge.

    Attributes:
        video: what it is shown; None: nothing, the question is about texts.
        text: what it is asked.
        system: who it is told to be; empty: as its own chat template has it.
        prefix: how its reply begins; the reply is what follows.
        candidates: first tokens of a reply whose log probabilities are wanted.
        reply: whether the reply is wanted, too.
        max_new_tokens: the longest reply.
    """

    video: View | None
    text: str
    system: str = ""
    prefix: str = ""
    candidates: tuple[str, ...] = ()
    reply: bool = True
    max_new_tokens: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A judge's answer: its reply (empty if none was asked for) and the log probabilities of candidates that it knows."""

    text: str = ""
    logprobs: dict[str, float] = field(default_factory=dict)


@runtime_checkable
class Judge(Protocol):
    """A model that looks at frames and answers. Always greedy: the same question has the same answer.

    Attributes:
        id: model, its revision or hash, how it is given pixels, and its frame policy.
        policy: what it is shown where a metric does not say otherwise.

    ``system``, ``prefix`` and ``max_new_tokens`` are passed where a question sets them; see `Ask`. Errors of one question are
    a `ClipError`, those of all an `EvaluationError`.
    """

    @property
    def id(self) -> str:
        """Model, revision or hash, way of the pixels, frame policy."""
        ...

    @property
    def policy(self) -> FramePolicy:
        """Its own frame policy."""
        ...

    def generate(self, video: View | None, text: str, **more: Any) -> str:
        """The reply."""
        ...

    def token_logprobs(self, video: View | None, text: str, candidates: Sequence[str], **more: Any) -> dict[str, float]:
        """Natural log probability, among all tokens, of each candidate as the reply's first token.

        A candidate that the model cannot tell from another by its first token is left out.
        """
        ...


@runtime_checkable
class BatchJudge(Judge, Protocol):
    """A judge that answers several questions at once, and gives reply and probabilities from one pass."""

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """An answer for each question, in their order; the same as one at a time."""
        ...


def ask(judge: Judge, asks: Sequence[Ask]) -> list[Answer]:
    """Answers in the order of the questions, all at once where the judge can.

    Raises:
        ClipError: a question has no answer.
    """
    if isinstance(judge, BatchJudge):
        return judge.answer(asks)
    return [_one(judge, item) for item in asks]


def _one(judge: Judge, item: Ask) -> Answer:
    more: dict[str, Any] = {name: value for name in ("system", "prefix") if (value := getattr(item, name))}
    logprobs = judge.token_logprobs(item.video, item.text, item.candidates, **more) if item.candidates else {}
    if item.max_new_tokens != 512:
        more["max_new_tokens"] = item.max_new_tokens
    return Answer(text=judge.generate(item.video, item.text, **more) if item.reply else "", logprobs=logprobs)
