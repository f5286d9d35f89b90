"""Twelve dimensions of VBench-2.0 with any judge (``.vlm``): the suite's questions and rules, our words around them.

VBench-2.0 asks LLaVA-Video-7B-Qwen2, and Qwen2.5-7B-Instruct about texts; here one judge does both, so the numbers are not the
suite's. Upstream finds "yes" anywhere in a reply; here the first word must be yes or no. The times of frames are not told.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, final

from evaluation.errors import ClipError
from evaluation.judge.frames import FramePolicy
from evaluation.metrics import vbench2_logic as logic
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.judged import JudgedMetric
from evaluation.metrics.vbench2_words import ALONE, ASK, CLOTHES, DETAIL, MEANS, MORE, PARTS, PEOPLE, SCENERY, SEEN, TEXTS
from evaluation.video.clip import Clip
from evaluation.video.record import Record

__all__ = [
    "ComplexLandscape",
    "ComplexPlot",
    "Composition",
    "DynamicAttribute",
    "DynamicSpatialRelationship",
    "HumanClothes",
    "HumanInteraction",
    "Material",
    "Mechanics",
    "MotionOrderUnderstanding",
    "MotionRationality",
    "Thermotics",
]


class _Vbench2(JudgedMetric):
    """A dimension; ``dimension`` is its name in the suite's files, where ``auxiliary_info`` has its questions."""

    default = FramePolicy(n=64, at="linspace")
    dimension: ClassVar[str]

    def given(self, clip: Clip, record: Record) -> Any:
        """What the suite gives for this video."""
        found = record.auxiliary_info.get(self.dimension, record.auxiliary_info.get(self.dimension.lower()))
        if not found:
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info has nothing for {self.dimension}")
        return found

    def texts(self, clip: Clip, record: Record, least: int = 1) -> list[str]:
        """The suite's list of texts."""
        found = self.given(clip, record)
        if not isinstance(found, list | tuple) or not all(isinstance(text, str) and text.strip() for text in found):
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info's {self.dimension} is no list of texts")
        if len(found) < least:
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info's {self.dimension} has {len(found)} texts, not {least}")
        return [text.strip() for text in found]

    def says(self, clip: Clip, questions: list[str]) -> list[bool]:
        """Yes or no to each question about the whole video."""
        view = self.policy.view(clip)
        return self.says_yes(clip, [(view, question) for question in questions])

    def means(self, clip: Clip, pairs: list[tuple[str, str]]) -> list[bool]:
        """Whether each (wanted, described) fit, by the texts alone."""
        asked = [MEANS.format(wanted=wanted, described=described) for wanted, described in pairs]
        return self.says_yes(clip, [(None, text) for text in asked], system=TEXTS)

    def listed(self, clip: Clip, text: str, count: int) -> str:
        """What the judge tells as a list of so many sentences."""
        numbers = "\n".join(f"{number + 1}." for number in range(count))
        return self.tells(clip, self.policy.view(clip), text.format(count=count, numbers=numbers))


def _score(value: float | None, answers: list[bool], **more: Any) -> Score:
    details = {"answers": answers, **more}
    return Score.left_out(details) if value is None else Score.of_video(value, details)


class _AllYes(_Vbench2):
    """1 where the judge says yes to all of the suite's questions."""

    wording = (ASK,)

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1."""
        answers = self.says(clip, [ASK.replace("{question}", text) for text in self.texts(clip, record)])
        return _score(logic.all_yes(answers), answers)


class _Gated(_Vbench2):
    """`gated` of the suite's questions: with two, a video that does not show the first is left out."""

    wording = (ASK,)

    def score(self, clip: Clip, record: Record) -> Score:
        """0, 1 or left out."""
        answers = self.says(clip, [ASK.replace("{question}", text) for text in self.texts(clip, record)[:2]])
        return _score(logic.gated(answers), answers)


@final
class DynamicAttribute(_AllYes):
    """The attribute changes as the prompt says."""

    id, dimension = "dynamic_attribute.vlm", "Dynamic_Attribute"


@final
class MotionRationality(_AllYes):
    """Actions have their consequences."""

    id, dimension = "motion_rationality.vlm", "Motion_Rationality"


@final
class Mechanics(_Gated):
    """Things obey mechanics."""

    id, dimension = "mechanics.vlm", "Mechanics"


@final
class Material(_Gated):
    """Materials behave as they do."""

    id, dimension = "material.vlm", "Material"


@final
class Thermotics(_Gated):
    """Heat does what it does."""

    id, dimension = "thermotics.vlm", "Thermotics"


@final
class HumanClothes(_Vbench2):
    """Clothes stay the same; left out where more than one person, or none, is seen."""

    id, dimension = "human_clothes.vlm", "Human_Clothes"
    wording = CLOTHES

    def score(self, clip: Clip, record: Record) -> Score:
        """0, 1 or left out."""
        answers = self.says(clip, list(CLOTHES))
        return _score(logic.gated(answers), answers)


@final
class Composition(_Vbench2):
    """Parts of creatures, or creatures and their actions, are put together as the prompt says."""

    id, dimension = "composition.vlm", "Composition"
    wording = (SEEN, ALONE)

    def score(self, clip: Clip, record: Record) -> Score:
        """By `composition`."""
        given = self.given(clip, record)
        described, judge = (given.get("question"), given.get("judge")) if isinstance(given, Mapping) else (None, None)
        if not isinstance(described, list | tuple) or not described or not isinstance(judge, list | tuple) or len(judge) != 2:
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info's Composition has no question and judge")
        questions = [SEEN.replace("{question}", str(text)) for text in described]
        answers = self.says(clip, [ALONE, *questions] if judge[0] else questions)
        alone, seen = (answers[0], answers[1:]) if judge[0] else (None, answers)
        return _score(logic.composition(seen, alone=alone, together=bool(judge[1])), seen, alone=alone)


@final
class DynamicSpatialRelationship(_Vbench2):
    """A thing moves from one place to another: the first question about the first half, the second about the last frame."""

    id, dimension = "dynamic_spatial_relationship.vlm", "Dynamic_Spatial_Relationship"
    wording = (ASK,)

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1."""
        before, after = (ASK.replace("{question}", text) for text in self.texts(clip, record, least=2)[:2])
        view = self.policy.view(clip)
        half = max(1, len(view.frames_THWC) // 2)
        answers = self.says_yes(clip, [(view.part(0, half), before), (view.still(-1), after)])
        return _score(logic.all_yes(answers), answers)


class _Told(_Vbench2):
    """The share of the suite's parts that are told in order before the first that is not; ``telling`` asks the judge to tell."""

    telling: ClassVar[str]

    def score(self, clip: Clip, record: Record) -> Score:
        """By `leading_share`. A list of as many sentences as there are parts is compared one by one, else all with each."""
        wanted = self.texts(clip, record)
        told = self.listed(clip, self.telling, len(wanted))
        parts = logic.numbered(told)
        described = parts if len(parts) == len(wanted) else [told] * len(wanted)
        answers = self.means(clip, list(zip(wanted, described)))
        return _score(logic.leading_share(answers, len(wanted)), answers, told=told)


@final
class ComplexPlot(_Told):
    """A long story is told."""

    id, dimension, telling = "complex_plot.vlm", "Complex_Plot", PARTS
    wording = (PARTS, MEANS, TEXTS)


@final
class ComplexLandscape(_Told):
    """Many landscapes follow one another."""

    id, dimension, telling = "complex_landscape.vlm", "Complex_Landscape", SCENERY
    wording = (SCENERY, MEANS, TEXTS)


@final
class HumanInteraction(_Vbench2):
    """Two people do what the prompt says: the description of it fits the prompt, and more than one person is described."""

    id, dimension = "human_interaction.vlm", "Human_Interaction"
    wording = (PEOPLE, DETAIL, MEANS, MORE, TEXTS)

    def score(self, clip: Clip, record: Record) -> Score:
        """0 or 1."""
        prompt, view = required_prompt(clip, record), self.policy.view(clip)
        people, detail = self.tells(clip, view, PEOPLE), self.tells(clip, view, DETAIL)
        more = self.says_yes(clip, [(None, MORE.replace("{described}", detail))], system=TEXTS)
        answers = [*self.means(clip, [(prompt, people)]), *more]
        return _score(logic.all_yes(answers), answers, told=[people, detail])


@final
class MotionOrderUnderstanding(_Vbench2):
    """Two actions follow in order; left out where the judge does not tell of two."""

    id, dimension = "motion_order_understanding.vlm", "Motion_Order_Understanding"
    wording = (PARTS, MEANS, TEXTS)

    def score(self, clip: Clip, record: Record) -> Score:
        """0, 1 or left out."""
        wanted = self.texts(clip, record, least=2)[:2]
        told = self.listed(clip, PARTS, 2)
        parts = logic.numbered(told)
        if len(parts) < 2:
            return Score.left_out({"told": told})
        answers = self.means(clip, list(zip(wanted, parts)))
        return _score(logic.all_yes(answers), answers, told=told)
