"""phygenbench.vlm: does a video show a law of physics? PhyGenBench's three stages with one judge, in our words.

arXiv 2410.05363. Each stage gives 0..3, the video round(mean). Stage 1: how likely key frames show what the law implies;
2: whether the frames' order is right; 3: which of four descriptions, from fantastic to realistic, fits best. CLIP ViT-B/32 finds
the key frames. The suite asks CLIP-FlanT5-XXL, GPT-4o, LLaVA-Interleave and InternVideo2, and adds retrieval scores into
stage 1, so its numbers are others.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, final

import torch
from torch.nn import functional as F

from evaluation.backbones.clip import OpenAIClip
from evaluation.errors import ClipError
from evaluation.judge.base import Ask, Judge
from evaluation.judge.frames import FramePolicy, View
from evaluation.judge.replies import Choice, YesNo
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.judged import JudgedMetric, judge_of
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video import resize
from evaluation.video.clip import Clip
from evaluation.video.record import Record

__all__ = ["PhyGenBench", "binned", "in_order", "overall"]

SHOWS = 'Does this picture show "{text}"? Answer yes or no.'
ORDER = "These pictures are frames of a video, in order. Do they show this, in this order: {text} Answer yes or no."
WHICH = """A video was asked for: {prompt}
It should show this law of physics: {law}
Which description fits the video best?
A: {0}
B: {1}
C: {2}
D: {3}
Answer with one letter; D only if nothing is wrong."""
#: A key frame is told from its neighbours this far to either side, in sampled frames.
NEAR_ONE, NEAR_ORDER = 2, 1


def binned(share: float) -> int:
    """0..3 at .25, .5 and .75."""
    return sum(share >= edge for edge in (0.25, 0.5, 0.75))


def in_order(answers: Sequence[Sequence[tuple[float, bool]]]) -> int:
    """How many of the three questions of order are answered yes, 0..3.

    Each has (how likely the frame is the key frame, yes or no) of one or more candidates; it counts as yes where the best sum of
    both, yes being 1, reaches 1.5.
    """
    return sum(max(found + said for found, said in candidates) >= 1.5 for candidates in answers)


def overall(stages: Sequence[int]) -> int:
    """The mean of the stages, rounded half to even."""
    return round(sum(stages) / len(stages))


@final
class PhyGenBench(JudgedMetric):
    """0..3; ``auxiliary_info`` holds ``single``, ``multi``, ``video`` and ``physical_laws`` as `PromptSuite` reads them."""

    id = "phygenbench.vlm"
    range = (0.0, 3.0)
    default = FramePolicy(n=32, at="linspace")
    wording = (SHOWS, ORDER, WHICH)

    def __init__(
        self,
        judge: Judge,
        backbone: OpenAIClip,
        *,
        policy: FramePolicy | None = None,
        reduction: Literal["single", "multi"] = "single",
    ) -> None:
        super().__init__(judge, policy=policy, reduction=reduction)
        self.backbone = backbone

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """With the evaluation's judge and CLIP."""
        judge = judge_of(cls.id, towers, options)
        return cls(judge, towers.clip_b32, reduction=options.reduction).to(towers.device)

    def score(self, clip: Clip, record: Record) -> Score:
        """The rounded mean, with the stages."""
        given = record.auxiliary_info
        stages = [self._single(clip, given), self._order(clip, given), self._video(clip, record)]
        return Score.of_video(float(overall(stages)), {"single": stages[0], "order": stages[1], "video": stages[2]})

    def _single(self, clip: Clip, given: Mapping[str, Any]) -> int:
        questions = given.get("single")
        if not isinstance(questions, list | tuple) or not questions:
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info has no single")
        shares = [self._statement(clip, _fields(clip, item, "Statement", "Retrieval Prompt")) for item in questions]
        return binned(math.fsum(shares) / len(shares))

    def _statement(self, clip: Clip, question: Mapping[str, str]) -> float:
        view, key = self.policy.view(clip), question["Retrieval Prompt"]
        if key == "Last Frame":
            return self._likely(clip, [view.still(-1)], question["Statement"])[0]
        best = self._nearest(clip, view, key)
        near = [view.still(index) for index in _around(best, NEAR_ONE, len(view.frames_THWC))]
        found = self._likely(clip, near, key)
        shown = self._likely(clip, near, question["Statement"])
        if opposite := question.get("Antonym"):
            against = self._likely(clip, near, opposite)
            shown = [yes / (yes + no) if yes + no else 0.5 for yes, no in zip(shown, against)]
        return max(zip(found, shown), key=sum)[1]

    def _order(self, clip: Clip, given: Mapping[str, Any]) -> int:
        asked = given.get("multi")
        if isinstance(asked, Mapping) and given.get("explicit_caption"):  # the suite keeps the whole course of things apart
            asked = {"Description3": given["explicit_caption"], **asked}
        question = _fields(clip, asked, "Description1", "Description2", "Description3", "Retrieval Prompt")
        view, key = self.policy.view(clip), question["Retrieval Prompt"]
        last = len(view.frames_THWC) - 1
        middle = (last + 1) // 2 if key == "Middle Frame" else self._nearest(clip, view, key)
        near = [middle] if key == "Middle Frame" else _around(middle, NEAR_ORDER, last + 1)
        found = dict(zip(near, [1.0] if len(near) == 1 else self._likely(clip, [view.still(i) for i in near], key)))
        before, after = [i for i in near if i <= middle], [i for i in near if i >= middle]
        shown = [
            *((view.stills(0, i), question["Description1"]) for i in before),
            *((view.stills(i, last), question["Description2"]) for i in after),
            (view.stills(0, middle, last), question["Description3"]),
        ]
        said = self.says_yes(clip, [(part, ORDER.replace("{text}", text)) for part, text in shown])
        first = [(found[i], yes) for i, yes in zip(before, said)]
        second = [(found[i], yes) for i, yes in zip(after, said[len(before) :])]
        return in_order([first, second, [(1.0, said[-1])]])

    def _video(self, clip: Clip, record: Record) -> int:
        names = [f"Description{number}" for number in range(1, 5)]
        found = _fields(clip, record.auxiliary_info.get("video"), *names)
        law = str(record.auxiliary_info.get("physical_laws") or "not named")
        form = Choice(("A", "B", "C", "D"))
        text = WHICH.format(*(found[name] for name in names), prompt=required_prompt(clip, record), law=law)
        item = Ask(video=self.policy.view(clip), text=text, candidates=form.candidates, reply=False)
        return int(form.read(self.replies(clip, [item])[0], soft=False).hard)

    def _likely(self, clip: Clip, views: Sequence[View], text: str) -> list[float]:
        """P(yes) for each picture."""
        form, said = YesNo(), SHOWS.replace("{text}", text)
        asks = [Ask(video=view, text=said, candidates=form.candidates, max_new_tokens=8) for view in views]
        return [form.read(answer).score or 0.0 for answer in self.replies(clip, asks)]

    def _nearest(self, clip: Clip, view: View, text: str) -> int:
        """The frame that CLIP finds most like a text."""
        backbone = self.backbone
        frames = torch.from_numpy(view.frames_THWC).permute(0, 3, 1, 2).to(backbone.device)
        images = clip.once((backbone, view, "clip_f"), lambda: F.normalize(backbone.images(resize.clip_f(frames)), dim=-1))
        try:
            words = F.normalize(backbone.texts(text), dim=-1)
        except ValueError as error:
            raise ClipError("no_prompt", f"{clip.path}: {text[:40]!r} cannot be read: {error}") from error
        return int((images @ words.T)[:, 0].argmax())


def _around(index: int, reach: int, total: int) -> list[int]:
    return list(range(max(0, index - reach), min(total, index + reach + 1)))


def _fields(clip: Clip, found: Any, *names: str) -> Mapping[str, str]:
    """The suite's fields, once all that are needed are there."""
    missing = [name for name in names if not isinstance(found, Mapping) or not str(found.get(name) or "").strip()]
    if missing:
        raise ClipError("no_prompt", f"{clip.path}: auxiliary_info lacks {', '.join(missing)}")
    return {str(name): str(value).strip() for name, value in found.items()}
