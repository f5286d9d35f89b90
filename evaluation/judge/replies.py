"""How a judge's answer becomes a number: yes or no, a digit on a scale, one of several letters. No answer has a default.

reply_form("likert(1,5)").read(Answer(text="4", logprobs={"1": -9.0, ...}))
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, final

from evaluation.errors import ClipError
from evaluation.judge.base import Answer

__all__ = ["Choice", "Likert", "ReplyForm", "Verdict", "YesNo", "reply_form"]

_FIRST_WORD = re.compile(r"\W*(\w+)")
_FORM = re.compile(r"\s*(yes_no|likert|choice)\s*(?:\((.*)\))?\s*", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an answer says.

    Attributes:
        score: under the judge's probabilities for the first token of its reply; None where none were asked for.
        hard: what it says: 1 or 0 for yes or no, the digit, the value of the likeliest option.
    """

    score: float | None
    hard: float


class ReplyForm(Protocol):
    """How a question is to be answered.

    Attributes:
        candidates: tokens whose probabilities are needed for a score.
        spoken: whether the hard value is read from the reply, and not from probabilities.
        range: of the score.
    """

    @property
    def candidates(self) -> tuple[str, ...]: ...
    @property
    def spoken(self) -> bool: ...
    @property
    def range(self) -> tuple[float, float]: ...
    def read(self, answer: Answer, *, soft: bool = True) -> Verdict:
        """The verdict; without ``soft`` its hard value only.

        Raises:
            ClipError: ``bad_reply``: the reply cannot be read, or probabilities are missing.
        """
        ...


@final
@dataclass(frozen=True, slots=True)
class YesNo:
    """Score: P(yes) / (P(yes) + P(no)) at the first token, over all ways to write either. Hard: the reply's first word."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """Both words as tokenizers and models write them."""
        return tuple(f"{blank}{form}" for word in ("yes", "no") for form in _cases(word) for blank in ("", " "))

    @property
    def spoken(self) -> bool:
        """The reply is read."""
        return True

    @property
    def range(self) -> tuple[float, float]:
        """No to yes."""
        return (0.0, 1.0)

    def read(self, answer: Answer, *, soft: bool = True) -> Verdict:
        """See `ReplyForm`."""
        word = _FIRST_WORD.match(answer.text)
        if word is None or word[1].lower() not in ("yes", "no"):
            raise ClipError("bad_reply", f"neither yes nor no: {_quoted(answer.text)}")
        weights = _weights(answer.logprobs, ("yes", "no")) if soft else None
        return Verdict(score=None if weights is None else weights[0], hard=float(word[1].lower() == "yes"))


@final
@dataclass(frozen=True, slots=True)
class Likert:
    """Score: the mean of the scale under the probabilities of its digits. Hard: the digit of the reply."""

    low: int
    high: int

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 9:
            raise ValueError(f"a scale has single digits, ascending: not {self.low} to {self.high}")

    @property
    def candidates(self) -> tuple[str, ...]:
        """The digits, with and without a blank."""
        return tuple(f"{blank}{digit}" for digit in range(self.low, self.high + 1) for blank in ("", " "))

    @property
    def spoken(self) -> bool:
        """The reply is read."""
        return True

    @property
    def range(self) -> tuple[float, float]:
        """The scale."""
        return (float(self.low), float(self.high))

    def read(self, answer: Answer, *, soft: bool = True) -> Verdict:
        """See `ReplyForm`."""
        digits = range(self.low, self.high + 1)
        found = re.match(rf"\W*(?:(?:score|rating|answer)\W+)?(\d)(?:\s*(?:/|out of)\s*{self.high}(?!\d))?", answer.text, re.I)
        rest = answer.text[found.end() :] if found else ""
        if found is None or int(found[1]) not in digits or re.match(r"[\d%]|[.,]\d|\s*[-–/]\s*\d|\s+(?:to|or|of|out)\b", rest):
            raise ClipError("bad_reply", f"no digit from {self.low} to {self.high}: {_quoted(answer.text)}")
        weights = _weights(answer.logprobs, [str(digit) for digit in digits]) if soft else None
        score = None if weights is None else math.fsum(digit * weight for digit, weight in zip(digits, weights))
        return Verdict(score=score, hard=float(found[1]))


@final
@dataclass(frozen=True, slots=True)
class Choice:
    """Options, mostly letters, and what each is worth (by default 0, 1, 2, ...).

    Score: the mean worth under the options' probabilities, renormalised. Hard: the worth of the likeliest.
    """

    options: tuple[str, ...]
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if len(self.options) < 2 or len(set(self.options)) != len(self.options) or not all(self.options):
            raise ValueError(f"a choice has two or more different options: not {list(self.options)}")
        if self.values and len(self.values) != len(self.options):
            raise ValueError(f"{len(self.values)} values for {len(self.options)} options")

    @property
    def candidates(self) -> tuple[str, ...]:
        """The options, with and without a blank."""
        return tuple(f"{blank}{option}" for option in self.options for blank in ("", " "))

    @property
    def spoken(self) -> bool:
        """Probabilities decide."""
        return False

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest worth."""
        return (float(min(self._worth)), float(max(self._worth)))

    @property
    def _worth(self) -> tuple[float, ...]:
        return self.values or tuple(float(index) for index in range(len(self.options)))

    def read(self, answer: Answer, *, soft: bool = True) -> Verdict:
        """See `ReplyForm`; of equally likely options the first counts."""
        weights = _weights(answer.logprobs, self.options)
        score = math.fsum(worth * weight for worth, weight in zip(self._worth, weights)) if soft else None
        return Verdict(score=score, hard=self._worth[weights.index(max(weights))])

    def likeliest(self, answer: Answer) -> str:
        """The likeliest option itself."""
        weights = _weights(answer.logprobs, self.options)
        return self.options[weights.index(max(weights))]


def reply_form(text: str) -> YesNo | Likert | Choice:
    """The form of ``yes_no``, ``likert(1,5)`` or ``choice(A,B,C)``, as configurations write it.

    Raises:
        ValueError: it is none of these.
    """
    match = _FORM.fullmatch(text)
    name, inside = (match[1], match[2]) if match else ("", None)
    parts = [part.strip() for part in (inside or "").split(",")]
    if name == "yes_no" and inside is None:
        return YesNo()
    if name == "likert" and len(parts) == 2 and all(part.isdecimal() for part in parts):
        return Likert(int(parts[0]), int(parts[1]))
    if name == "choice" and inside:
        return Choice(tuple(parts))
    raise ValueError(f"{text!r} is no reply form; write yes_no, likert(1,5) or choice(A,B,C)")


def _weights(logprobs: Mapping[str, float], options: Sequence[str]) -> list[float]:
    """Probabilities of the options among themselves; those of an option's spellings are added."""
    spelled = [[logprobs[form] for form in _spellings(option) if form in logprobs] for option in options]
    missing = [option for option, found in zip(options, spelled) if not found]
    if missing:
        raise ClipError("bad_reply", f"the judge gives no probability for {', '.join(missing)}")
    top = max(max(found) for found in spelled)
    if not math.isfinite(top):
        raise ClipError("bad_reply", "the judge gives no option any probability")
    masses = [math.fsum(math.exp(value - top) for value in found) for found in spelled]
    return [mass / math.fsum(masses) for mass in masses]


def _spellings(option: str) -> list[str]:
    words = _cases(option) if option in ("yes", "no") else (option,)
    return [f"{blank}{word}" for word in words for blank in ("", " ")]


def _cases(word: str) -> tuple[str, str, str]:
    return word, word.capitalize(), word.upper()


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:80]}...")
