"""The four categories of T2V-CompBench that a judge decides (``.vlm``), in our words: the suite has no licence for its own.

The suite asks LLaVA-1.6-34B at temperature 0.2, first for a description, then for a rating; here the rating is asked at once,
greedily. What ``auxiliary_info`` must hold is what the suite's own files hold.
"""

from __future__ import annotations

from typing import Any, final

from evaluation.errors import ClipError
from evaluation.judge.base import Ask
from evaluation.judge.frames import FramePolicy
from evaluation.judge.replies import Choice, Likert
from evaluation.metrics import compbench_logic as logic
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.judged import JudgedMetric
from evaluation.video.clip import Clip
from evaluation.video.record import Record

__all__ = ["ActionBinding", "ConsistentAttribute", "DynamicAttributeBinding", "ObjectInteractions"]

CONSISTENT = """The picture shows frames of a video, in order. How is "{phrase}" shown?
A: rightly, in all frames
B: rightly, in some of the frames
C: wrongly
D: not at all
Answer with one letter."""
ACTION = """The picture shows frames of a video, in order. How well does the video show this: {prompt}
5: {a} and {b} are seen, and both {doing_a} and {doing_b} are shown
4: {a} and {b} are seen, and one of the two actions is shown
3: {a} and {b} are seen, and neither action is shown
2: only {a} or only {b} is seen, and its action is shown
1: only {a} or only {b} is seen, and its action is not shown
0: neither is seen
Answer with one digit."""
INTERACTION = """The picture shows frames of a video, in order. How well does the video show this: {prompt}
5: all that takes part is seen, and what happens between them is right
4: all that takes part is seen, and what happens between them is nearly right
3: all that takes part is seen, and what happens between them is wrong
2: something that takes part is missing
1: nothing of it is seen
Answer with one digit."""
STATE = """How well does this picture show "{state}"?
5: exactly
4: nearly; how it looks is a little different
3: the thing is there, but looks quite different
2: hardly
1: not at all
Answer with one digit."""
EITHER = 'Does this picture show "{before}" or "{after}"? Answer yes or no.'


class _Grid(JudgedMetric):
    """Six frames in one picture, two a row."""

    default = FramePolicy(n=6, at="linspace", layout="grid", columns=2)

    def rating(self, clip: Clip, text: str, low: int) -> float:
        """The judge's hard rating."""
        answer = self.replies(clip, [Ask(video=self.policy.view(clip), text=text, max_new_tokens=8)])[0]
        return Likert(low, 5).read(answer, soft=False).hard


@final
class ConsistentAttribute(_Grid):
    """`consistent` of a letter for each of the two phrases (``phrases``, parted by a semicolon)."""

    id = "compbench.consistent_attribute.vlm"
    wording = (CONSISTENT,)

    def score(self, clip: Clip, record: Record) -> Score:
        """By the likeliest letters."""
        phrases = [part.strip() for part in str(record.auxiliary_info.get("phrases") or "").split(";") if part.strip()]
        if len(phrases) != 2:
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info has not two phrases")
        form, view = Choice(("A", "B", "C", "D")), self.policy.view(clip)
        texts = [CONSISTENT.replace("{phrase}", phrase) for phrase in phrases]
        asks = [Ask(video=view, text=text, candidates=form.candidates, reply=False) for text in texts]
        letters = [form.likeliest(answer) for answer in self.replies(clip, asks)]
        return Score.of_video(logic.consistent(letters[0], letters[1]), {"letters": letters})


@final
class ActionBinding(_Grid):
    """`action` of a rating 0..5; ``phrase_0`` and ``phrase_1`` are each a thing and what it does."""

    id = "compbench.action_binding.vlm"
    wording = (ACTION,)

    def score(self, clip: Clip, record: Record) -> Score:
        """By the hard rating."""
        prompt = required_prompt(clip, record)
        pairs = [_pair(record.auxiliary_info.get(name)) for name in ("phrase_0", "phrase_1")]
        if None in pairs:
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info has no phrase_0 and phrase_1 of two texts each")
        (a, doing_a), (b, doing_b) = (pair for pair in pairs if pair)
        rating = self.rating(clip, ACTION.format(prompt=prompt, a=a, b=b, doing_a=doing_a, doing_b=doing_b), 0)
        return Score.of_video(logic.action(rating), {"rating": rating})


@final
class ObjectInteractions(_Grid):
    """`interaction` of a rating 1..5."""

    id = "compbench.object_interactions.vlm"
    wording = (INTERACTION,)

    def score(self, clip: Clip, record: Record) -> Score:
        """By the hard rating."""
        rating = self.rating(clip, INTERACTION.replace("{prompt}", required_prompt(clip, record)), 1)
        return Score.of_video(logic.interaction(rating), {"rating": rating})


@final
class DynamicAttributeBinding(JudgedMetric):
    """`dynamic` over 16 frames one by one; ``state 0`` and ``state 1`` are the first and the last."""

    id = "compbench.dynamic_attribute.vlm"
    default = FramePolicy(n=16, at="linspace")
    wording = (STATE, EITHER)

    def score(self, clip: Clip, record: Record) -> Score:
        """By hard ratings of the ends and yes or no for what lies between."""
        before, after = (record.auxiliary_info.get(name) for name in ("state 0", "state 1"))
        if not isinstance(before, str) or not isinstance(after, str) or not before.strip() or not after.strip():
            raise ClipError("no_prompt", f"{clip.path}: auxiliary_info has no state 0 and state 1")
        view = self.policy.view(clip)
        ends = [view.still(0), view.still(-1)]
        texts = [STATE.replace("{state}", state) for state in (before, after)]
        asks = [Ask(video=end, text=text, max_new_tokens=8) for end in ends for text in texts]
        a, b, c, d = (Likert(1, 5).read(answer, soft=False).hard for answer in self.replies(clip, asks))
        either = EITHER.format(before=before, after=after)
        between = self.says_yes(clip, [(view.still(index), either) for index in range(1, len(view.frames_THWC) - 1)])
        return Score.of_video(logic.dynamic((a, b), (c, d), between), {"ratings": [a, b, c, d], "between": between})


def _pair(found: Any) -> tuple[str, str] | None:
    """A thing and what it does, without the suite's question marks."""
    if not isinstance(found, list | tuple) or len(found) != 2 or not all(isinstance(text, str) and text for text in found):
        return None
    thing, doing = (text.split("?")[0].strip() for text in found)
    return thing, doing
