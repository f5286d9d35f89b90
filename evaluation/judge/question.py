"""A question to a judge, as a configuration writes it: a text with places for the prompt and for auxiliary information.

Question(id="shows", question='Does the video show "{prompt}"? Answer yes or no.', reply="yes_no")
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from evaluation.errors import ClipError
from evaluation.judge.frames import FramePolicy
from evaluation.judge.replies import Choice, Likert, YesNo, reply_form

if TYPE_CHECKING:
    from evaluation.video.record import Record

__all__ = ["Question", "filled"]

_BRACES = re.compile(r"\{\{|\}\}|\{([A-Za-z_][\w.-]*)\}|[{}]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What a judged metric asks.

    Attributes:
        id: the metric's name.
        question: the text; ``{prompt}`` is the original prompt, any other ``{name}`` of ``auxiliary_info``, where dots lead
            inwards (``{scene.scene.scene}``); ``{{`` and ``}}`` are braces. What is put in is never looked at again.
        reply: ``yes_no``, ``likert(1,5)`` or ``choice(A,B,C)``; see `evaluation.judge.replies`.
        frames: a `FramePolicy` or its fields; None: the judge's own.
        system: who the judge is told to be.
        prefix: how its reply begins, e.g. ``{"score": ``, so that the next token is the answer.
        value: "score", under the judge's probabilities, or "hard", as it says.
        unit: move the reply form's range to 0..1.
        max_new_tokens: the longest reply; it is read at its beginning only.
    """

    id: str
    question: str
    reply: str = "yes_no"
    frames: FramePolicy | Mapping[str, Any] | None = None
    system: str = ""
    prefix: str = ""
    value: Literal["score", "hard"] = "score"
    unit: bool = False
    max_new_tokens: int = 8

    def __post_init__(self) -> None:
        if isinstance(self.frames, Mapping):
            object.__setattr__(self, "frames", FramePolicy(**self.frames))
        if self.value not in ("score", "hard"):
            raise ValueError(f"value is score or hard, not {self.value!r}")
        if not self.id.strip() or not self.question.strip():
            raise ValueError("a question has an id and a text")
        if stray := [match[0] for match in _BRACES.finditer(self.question) if match[0] in "{}"]:
            raise ValueError(f"{self.id}: {stray[0]!r} opens or closes no {{name}}; write {stray[0] * 2!r} for a brace")
        reply_form(self.reply)

    @property
    def form(self) -> YesNo | Likert | Choice:
        """The reply form."""
        return reply_form(self.reply)

    @property
    def policy(self) -> FramePolicy | None:
        """Its frame policy; None: the judge's own."""
        assert self.frames is None or isinstance(self.frames, FramePolicy)
        return self.frames


def filled(text: str, record: Record) -> str:
    """The text with the record's prompt and auxiliary information in their places.

    Raises:
        ClipError: ``no_prompt``: the record lacks one of them.
    """
    return _BRACES.sub(lambda match: _value(match[1], record) if match[1] else match[0][0], text)


def _value(name: str, record: Record) -> str:
    if name == "prompt":
        if not record.prompt.strip():
            raise ClipError("no_prompt", f"{record.video}: the record has no prompt")
        return record.prompt
    found: Any = record.auxiliary_info
    for part in name.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not isinstance(found, str | int | float) or isinstance(found, bool) or not str(found).strip():
        raise ClipError("no_prompt", f"{record.video}: auxiliary_info has no {name}")
    return str(found)
