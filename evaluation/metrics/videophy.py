"""VideoPhy (arXiv 2406.03520) and VideoPhy-2 (arXiv 2503.06800): does a video show its caption, and does it obey physics?

The suites' own judges are fine-tuned; these ask any judge, in our words, so the numbers are not theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

from evaluation.errors import ClipError
from evaluation.judge.question import Question
from evaluation.metrics.base import Score
from evaluation.metrics.judged import JudgedMetric, SingleQuestion
from evaluation.video.clip import Clip
from evaluation.video.record import Record

__all__ = [
    "VideoPhy2Joint",
    "VideoPhy2Physics",
    "VideoPhy2Rule",
    "VideoPhy2Semantics",
    "VideoPhyPhysics",
    "VideoPhySemantics",
    "joint",
    "rules_kept",
]

GOOD = 4
_SEMANTICS = Question(id="videophy.sa", question='Does what the video shows entail this caption: "{prompt}"? Answer yes or no.')
_PHYSICS = Question(id="videophy.pc", question="Does everything in this video follow the laws of physics? Answer yes or no.")
_SEMANTICS_2 = Question(
    id="videophy2.sa",
    question='How well does this video show what the caption says: "{prompt}"? '
    "Answer with one digit from 1 (nothing of it) to 5 (all of it).",
    reply="likert(1,5)",
)
_PHYSICS_2 = Question(
    id="videophy2.pc",
    question="How well does this video follow the laws of physics? "
    "Answer with one digit from 1 (it breaks them badly) to 5 (it follows all of them).",
    reply="likert(1,5)",
)
_RULE = (
    'A rule of physics: "{rule}" Does this video follow it? '
    "Answer with one digit: 0 if it does not, 1 if it does, 2 if that cannot be seen."
)


def joint(semantics: float, physics: float) -> float:
    """1 where both hard ratings, 1..5, are good (4 or more), else 0; its mean is VideoPhy-2's joint performance."""
    return float(semantics >= GOOD and physics >= GOOD)


def rules_kept(answers: Sequence[int]) -> float | None:
    """The share of rules that are kept (1) among those kept or broken (0); None where all are undecided (2)."""
    decided = [answer for answer in answers if answer != 2]
    return sum(decided) / len(decided) if decided else None


@final
class VideoPhySemantics(SingleQuestion):
    """P(yes): the video entails its caption."""

    id = "videophy.sa"
    asked = _SEMANTICS


@final
class VideoPhyPhysics(SingleQuestion):
    """P(yes): the video follows physical laws."""

    id = "videophy.pc"
    asked = _PHYSICS


@final
class VideoPhy2Semantics(SingleQuestion):
    """The expected rating, 1..5, of how well the caption is shown."""

    id = "videophy2.sa"
    range = (1.0, 5.0)
    asked = _SEMANTICS_2


@final
class VideoPhy2Physics(SingleQuestion):
    """The expected rating, 1..5, of how well physics is followed."""

    id = "videophy2.pc"
    range = (1.0, 5.0)
    asked = _PHYSICS_2


@final
class VideoPhy2Joint(JudgedMetric):
    """`joint` of the two hard ratings, which are asked once for all three metrics."""

    id = "videophy2.joint"
    wording = (_SEMANTICS_2.question, _PHYSICS_2.question)

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1."""
        view = self.policy.view(clip)
        semantics, physics = (self.verdict(clip, record, asked, view).hard for asked in (_SEMANTICS_2, _PHYSICS_2))
        return Score.of_video(joint(semantics, physics), {"sa": semantics, "pc": physics})


@final
class VideoPhy2Rule(JudgedMetric):
    """`rules_kept` of the rules in ``auxiliary_info["rules"]``, by the judge's hard answers; left out where none is decided."""

    id = "videophy2.rule"
    wording = (_RULE,)

    def score(self, clip: Clip, record: Record) -> Score:
        """The share, with the answer to each rule."""
        rules = record.auxiliary_info.get("rules")
        if not isinstance(rules, list | tuple) or not rules or not all(isinstance(rule, str) and rule for rule in rules):
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info names no rules")
        view, answers = self.policy.view(clip), []
        for rule in rules:
            text = _RULE.replace("{rule}", rule).replace("{", "{{").replace("}", "}}")
            asked = Question(id=self.id, question=text, reply="likert(0,2)", value="hard")
            answers.append(int(self.verdict(clip, record, asked, view).hard))
        share = rules_kept(answers)
        return Score.left_out({"answers": answers}) if share is None else Score.of_video(share, {"answers": answers})
