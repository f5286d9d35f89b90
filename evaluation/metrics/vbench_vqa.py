"""color and scene of VBench with a judge in place of detector and captioner (``.vqa``): VBench's counting over 16 frames."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, final

from evaluation.errors import ClipError
from evaluation.judge.base import Ask
from evaluation.judge.frames import FramePolicy
from evaluation.judge.replies import YesNo
from evaluation.metrics.asked import asked_text
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.color import COLORS, colored_object
from evaluation.metrics.judged import JudgedMetric
from evaluation.video.clip import Clip
from evaluation.video.record import Record

__all__ = ["ColorVqa", "SceneVqa", "color_share", "named_colors"]

SEEN = "Is {object} seen in this picture? Answer yes or no."
WHICH = f"Which color is {{object}} in this picture? Answer with one word of {', '.join(COLORS)}."
PLACE = "Does this picture show this place: {scene}? Answer yes or no."


def named_colors(reply: str) -> set[str]:
    """The colours that a reply names, as whole words."""
    words = {word.strip(".,;:!?\"'()").lower() for word in reply.split()}
    return words & set(COLORS)


def color_share(frames: Sequence[set[str] | None], color: str) -> tuple[int, int]:
    """(frames with the object in its colour, frames with the object in any); None is a frame without the object."""
    named = [colors for colors in frames if colors]
    return sum(color in colors for colors in named), len(named)


class _Frames(JudgedMetric):
    """Asks about 16 frames one by one."""

    default = FramePolicy(n=16, at="middle")

    def stills(self, clip: Clip, text: str) -> list[Ask]:
        """The same question about each frame."""
        view = self.policy.view(clip)
        return [Ask(video=view.still(index), text=text, max_new_tokens=8) for index in range(len(view.frames_THWC))]


@final
class ColorVqa(_Frames):
    """Frames with the object in its colour over frames with the object in any colour; left out where there is none."""

    id = "color.vqa"
    wording = (SEEN, WHICH)

    def score(self, clip: Clip, record: Record) -> Score:
        """The share, and VBench's extra key."""
        color = asked_text(clip, record, "color", "color")
        name = colored_object(required_prompt(clip, record), color)
        if not name:
            raise ClipError("no_prompt", f"{clip.path}: the prompt names no object beside its color")
        asks = self.stills(clip, SEEN.replace("{object}", name))
        seen = [YesNo().read(answer, soft=False).hard == 1.0 for answer in self.replies(clip, asks)]
        asks = [Ask(video=item.video, text=WHICH.replace("{object}", name), max_new_tokens=8) for item in asks]
        wanted = [item for item, there in zip(asks, seen) if there]
        told = iter(self.replies(clip, wanted)) if wanted else iter(())
        frames = [named_colors(next(told).text) if there else None for there in seen]
        right, total = color_share(frames, color)
        details: dict[str, Any] = {"frames": [sorted(colors) if colors is not None else None for colors in frames]}
        if not total:
            return Score.left_out(details)
        share = right / total
        return Score(value=share, total=share, count=1, last=share, details={**details, "cur_success_frame_rate": share})


@final
class SceneVqa(_Frames):
    """The share of frames that show the scene; a set counts frames."""

    id = "scene.vqa"
    wording = (PLACE,)

    def score(self, clip: Clip, record: Record) -> Score:
        """The share, and VBench's extra keys."""
        scene = asked_text(clip, record, "scene", "scene")
        answers = self.replies(clip, self.stills(clip, PLACE.replace("{scene}", scene)))
        shown = [YesNo().read(answer, soft=False).hard for answer in answers]
        right, total = sum(shown), len(shown)
        details = {"success_frame_count": int(right), "frame_count": total}
        return Score(value=right / total, total=right, count=total, last=shown[-1], details=details)
