"""Metrics that ask a judge: what they share, and one that asks a single question of a configuration.

Judged(Question(id="shows", question='Does the video show "{prompt}"?'), judge)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, final

from evaluation.errors import ClipError, WeightsError
from evaluation.judge.base import Answer, Ask, Judge, ask
from evaluation.judge.frames import FramePolicy, View
from evaluation.judge.question import Question, filled
from evaluation.judge.replies import Verdict, YesNo
from evaluation.metrics.base import Score, VideoMetric
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip
from evaluation.video.record import Record

__all__ = ["Judged", "JudgedMetric", "SingleQuestion", "judge_of"]


def judge_of(name: str, towers: Towers, options: Options) -> Judge:
    """The evaluation's judge, on its device.

    Raises:
        WeightsError: there is none.
    """
    if options.judge is None:
        raise WeightsError(f"{name}: asks a judge, and none is configured; name a LocalJudge or an OpenAIJudge")
    move = getattr(options.judge, "to", None)
    if move is not None:
        move(towers.device)
    return options.judge


class JudgedMetric(VideoMetric):
    """A metric that asks a judge; abstract. The value of a set is the mean of videos that are not left out.

    Attributes:
        default: the metric's own frame policy; None: the judge's.
        policy: the frame policy in use; one other than ``default`` stands in the metric's id, in brackets.
        wording: all texts that it asks, for the provenance: other words are another metric.
    """

    exact = False
    default: ClassVar[FramePolicy | None] = None
    wording: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self, judge: Judge, *, policy: FramePolicy | None = None, reduction: Literal["single", "multi"] = "single"
    ) -> None:
        super().__init__(reduction=reduction)
        self.judge = judge
        self.policy = policy or self.default or judge.policy
        if policy is not None and policy != self.default:
            self.id = f"{self.id}[{policy.id}]"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """With the evaluation's judge.

        Raises:
            WeightsError: none is configured.
        """
        return cls(judge_of(cls.id, towers, options), reduction=options.reduction).to(towers.device)

    def to(self, *arguments: Any, **named: Any) -> Self:
        """As `torch.nn.Module.to`; the judge comes along, unless it has a device of its own."""
        super().to(*arguments, **named)
        move = getattr(self.judge, "to", None)
        if move is not None:
            move(self.device)
        return self

    @property
    def provenance(self) -> Mapping[str, Any]:
        """What decides its values: the judge, the frames, the words."""
        own = getattr(self.judge, "provenance", None) or {"backbone": self.judge.id}
        words = hashlib.sha256("\0".join(self._words()).encode()).hexdigest()[:12]
        return {**own, "judge": self.judge.id, "frames": self.policy.id, "words": words}

    def _words(self) -> tuple[str, ...]:
        return self.wording

    def replies(self, clip: Clip, asks: Sequence[Ask]) -> list[Answer]:
        """Answers to all questions about a clip at once; the same list again is not asked again.

        Raises:
            ClipError: one has none.
        """
        # The judge is kept with its answers: were it gone, another could have its id.
        kept: tuple[Judge, list[Answer]] = clip.once((id(self.judge), *asks), lambda: (self.judge, ask(self.judge, asks)))
        return kept[1]

    def says_yes(self, clip: Clip, questions: Sequence[tuple[View | None, str]], *, system: str = "") -> list[bool]:
        """Whether the judge says yes to each question; only its reply counts.

        Raises:
            ClipError: ``bad_reply``: it says neither yes nor no.
        """
        asks = [Ask(video=view, text=text, system=system, max_new_tokens=8) for view, text in questions]
        return [YesNo().read(answer, soft=False).hard == 1.0 for answer in self.replies(clip, asks)]

    def tells(self, clip: Clip, view: View | None, text: str, *, system: str = "") -> str:
        """What the judge tells, freely.

        Raises:
            ClipError: ``bad_reply``: nothing.
        """
        reply = self.replies(clip, [Ask(video=view, text=text, system=system)])[0].text.strip()
        if not reply:
            raise ClipError("bad_reply", f"{clip.path}: {self.id}: the judge says nothing")
        return reply

    def verdict(self, clip: Clip, record: Record, question: Question, view: View | None = None) -> Verdict:
        """Ask one question about the clip.

        Raises:
            ClipError: ``bad_reply``, or ``no_prompt``.
        """
        form, soft = question.form, question.value == "score"
        item = Ask(
            video=view or (question.policy or self.policy).view(clip),
            text=filled(question.question, record),
            system=question.system,
            prefix=question.prefix,
            candidates=form.candidates if soft or not form.spoken else (),
            reply=form.spoken,
            max_new_tokens=question.max_new_tokens,
        )
        try:
            return form.read(self.replies(clip, [item])[0], soft=soft)
        except ClipError as error:
            raise ClipError(error.code, f"{clip.path}: {question.id}: {error}") from error


class SingleQuestion(JudgedMetric):
    """A metric that asks one question; abstract: a metric sets ``asked``."""

    asked: Question

    def _words(self) -> tuple[str, ...]:
        asked = self.asked
        return (asked.system, asked.question, asked.prefix, asked.reply, asked.value, str(asked.unit))

    def score(self, clip: Clip, record: Record) -> Score:
        """The verdict, with its score and its hard value."""
        found = self.verdict(clip, record, self.asked, self.policy.view(clip))
        value = found.hard if found.score is None else found.score
        low, high = self.asked.form.range
        if self.asked.unit:
            value = (value - low) / (high - low)
        return Score.of_video(value, {"score": found.score, "hard": found.hard})


@final
class Judged(SingleQuestion):
    """A question of one's own. Its range is the reply form's, or 0..1 with ``unit``."""

    def __init__(self, question: Question, judge: Judge, *, reduction: Literal["single", "multi"] = "single") -> None:
        super().__init__(judge, reduction=reduction)
        self.id = question.id
        self.asked = question
        self.policy = question.policy or judge.policy
        self.range = (0.0, 1.0) if question.unit else question.form.range
