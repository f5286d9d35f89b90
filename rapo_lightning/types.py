"""The nouns of the suite: frozen, slotted, keyword-only dataclasses, written to disk one JSON object a line.

A *judge* gives *feedback* (a score and a critique); scores reduce to a *reward*; one turn of the loop is a *round*.
A failure is data: a `Failure`, or a score of None with its error. It is never 0, never NaN, never text in place of a prompt.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NewType

__all__ = [
    "Candidate",
    "CaptionPhrases",
    "Cost",
    "Failure",
    "Feedback",
    "Kind",
    "Message",
    "ModelReference",
    "Modifier",
    "Origin",
    "Prompt",
    "PromptPair",
    "Reply",
    "Retrieved",
    "Trajectory",
    "Video",
    "candidate_id",
    "noise_seed",
    "prompt_id",
]

#: A model's weights: a local folder, a name found under ``ckpt/``, or a hub id, each with an optional ``@revision``.
#: Constructor arguments of parts that carry this annotation are resolved and checked before anything is loaded.
ModelReference = NewType("ModelReference", str)

#: One turn of a conversation: ``{"role": "system" | "user" | "assistant", "content": text}``.
Message = Mapping[str, str]

#: What a phrase of a caption is about.
Kind = Literal["scene", "subject", "action", "atmosphere"]

#: Where a candidate's text came from.
Origin = Literal["user", "rapo", "refiner", "rewrite"]


def prompt_id(text: str) -> str:
    """The id of a prompt that was given none: the first 12 hex digits of its UTF-8 text's SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def candidate_id(round: int, text: str) -> str:
    """A candidate's id within its prompt, e.g. ``r2-1f0c33ab``.

    The text is part of it, so a video on disk can never be taken for that of another text.
    """
    return f"r{round}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def noise_seed(run_seed: int, prompt: str, replicate: int) -> int:
    """The seed of one video's noise, in [0, 2**32): the same for every candidate of a prompt, whatever the rank or batch.

    First 4 bytes of the SHA-256 of the JSON array ``[run_seed, prompt id, "noise", replicate]``.
    """
    key = f'[{run_seed},"{prompt}","noise",{replicate}]'
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """What a user asked for.

    ``context`` carries what judges and rewriters may use besides the text: ``physical_rule`` (str) and ``locked``
    (list of words that every rewrite must keep) are known to the suite; other keys pass through.
    """

    id: str
    text: str
    context: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ValueError("a prompt's text is empty")
        plain = all(c.isalnum() or c in "._-" for c in self.id)
        if not plain or self.id in {"", ".", ".."} or len(self.id) > 100:
            raise ValueError(f"prompt id {self.id!r}: use 1 to 100 letters, digits, '.', '_' or '-'")

    @classmethod
    def of(cls, text: str, id: str | None = None, **context: Any) -> Prompt:
        """A prompt from its text; the id is taken from the text when none is given."""
        return cls(id=id or prompt_id(text), text=text, context=context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Modifier:
    """A phrase of the training captions that can be merged into a prompt."""

    text: str
    kind: Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionPhrases:
    """What a training caption holds: its places and the phrases said about each of them; any list may be empty."""

    caption: str
    scenes: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    actions: tuple[str, ...] = ()
    atmosphere: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """A phrase found for a prompt: the ``scene`` it is linked to, and its cosine ``similarity`` to the prompt, in [-1, 1]."""

    modifier: Modifier
    scene: str
    similarity: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Video:
    """A video file: its ``path``, the ``seed`` of its noise, ``frames``, ``fps`` (1/s), ``height`` and ``width`` in pixels."""

    path: str
    seed: int
    frames: int
    fps: float
    height: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What a part returns in an item's place when that item failed; the others of the batch are unaffected."""

    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A language model's answer: its text and how many tokens were generated for it."""

    text: str
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Feedback:
    """One judge's word on one video: a ``score`` in [0, 1] (higher is better) or an ``error``, never both.

    ``critique`` is text for the rewriter, ``details`` plain JSON values for the record; ``seed`` names the video.
    """

    judge: str
    score: float | None = None
    critique: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if (self.score is None) == (self.error is None):
            raise ValueError(f"feedback of {self.judge!r} needs exactly one of score and error")
        if self.score is not None and not (math.isfinite(self.score) and 0.0 <= self.score <= 1.0):
            raise ValueError(f"feedback of {self.judge!r}: score {self.score} lies outside [0, 1]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a candidate cost: wall ``seconds`` of generating and judging (its share of the batch) and rewriter ``tokens``."""

    seconds: float = 0.0
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One text tried for a prompt, with its videos (one a seed) and their feedback (one a judge and video).

    ``reward`` is the mean over its videos, None when nothing could be scored; ``error`` says why a candidate has no
    videos (generation failed, or the rewrite was refused). ``parent`` is the id of the candidate it was written from.
    """

    id: str
    prompt_id: str
    round: int
    text: str
    origin: Origin
    parent: str | None = None
    modifiers: tuple[Modifier, ...] = ()
    videos: tuple[Video, ...] = ()
    feedback: tuple[Feedback, ...] = ()
    reward: float | None = None
    cost: Cost = field(default_factory=Cost)
    error: str | None = None

    def mean_scores(self) -> dict[str, float]:
        """Each judge's mean score over this candidate's videos; judges that scored none are absent."""
        scores: dict[str, list[float]] = {}
        for feedback in self.feedback:
            if feedback.score is not None:
                scores.setdefault(feedback.judge, []).append(feedback.score)
        return {judge: sum(values) / len(values) for judge, values in scores.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptPair:
    """A lesson for a rewriter, with TRL's names: what it is given, what it should answer and, as a preference, what not.

    ``gain``: by how much the completion's reward exceeds the prompt's, or the rejected text's; None where none was measured.
    """

    prompt: str
    completion: str
    rejected: str | None = None
    gain: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """One prompt and its candidates in the order they were tried; ``best`` is what the selection chose (None: none scored)."""

    prompt: Prompt
    candidates: tuple[Candidate, ...] = ()
    best: Candidate | None = None

    @property
    def last(self) -> Candidate | None:
        """The newest candidate, whether or not it could be scored."""
        return self.candidates[-1] if self.candidates else None
