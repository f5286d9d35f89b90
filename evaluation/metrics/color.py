"""color: in how many of the frames where the object's color is named at all it is the one that was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self, final

from evaluation.detection import Region, RegionCaptioner
from evaluation.errors import ClipError
from evaluation.metrics.asked import asked_text
from evaluation.metrics.base import Score, required_prompt
from evaluation.metrics.detected import ProxyMetric, regions, with_settings
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["COLORS", "Color", "ColorFlorence2", "color_frames", "colored_object"]

COLORS = (
    "white", "red", "pink", "blue", "silver", "purple", "orange", "green", "gray", "yellow", "black", "grey",
)  # fmt: skip


def colored_object(prompt: str, color: str) -> str:
    """The prompt less every "a ", then every "an ", then the color, without spaces around it."""
    return prompt.replace("a ", "").replace("an ", "").replace(color, "").strip()


def color_frames(frames: Sequence[Sequence[Region]], wanted: str, color: str, fixed: bool = False) -> tuple[int, int]:
    """(frames that name a color of the object, frames that name the one that was asked for).

    As VBench has it, all captions of a frame are of the first class seen in it, and a color counts inside a word ("red" in
    "covered"); ``fixed`` looks at each caption's own class and at whole words. Source: VBench, color.py:25-58.
    """
    any_color, right_color = 0, 0
    for frame in frames:
        first = next((region.label for region in frame if region.label), "")
        texts = [region.caption for region in frame if (region.label if fixed else first) == wanted]
        known = (*COLORS, color) if fixed else COLORS
        any_color += any(_names(text, name, fixed) for text in texts for name in known)
        right_color += any(_names(text, color, fixed) for text in texts)
    return any_color, right_color


def _names(text: str, color: str, fixed: bool) -> bool:
    return re.search(rf"\b{re.escape(color)}\b", text) is not None if fixed else color in text


class Color(ProxyMetric[RegionCaptioner]):
    """Frames with the object in its color over frames with the object in any, on any captioner of regions.

    The color is ``auxiliary_info["color"]["color"]``, the object what else the prompt says. A video in which the object's color
    is never named has no value and is left out of the mean, as VBench has it.
    """

    id = "color.custom"
    has_quirks = True

    def score(self, clip: Clip, record: Record) -> Score:
        """The share of frames, and VBench's extra key; left out without a frame to count."""
        color = asked_text(clip, record, "color", "color")
        wanted = colored_object(required_prompt(clip, record), color)
        if not wanted:
            raise ClipError("no_prompt", f"{clip.path}: the prompt names no object beside its color")
        any_color, right_color = color_frames(regions(clip, self.backbone, self.batch), wanted, color, self.fixed)
        counts = {"object": wanted, "object_frames": any_color, "color_frames": right_color}
        if not any_color:
            return Score.left_out(with_settings(counts, self.backbone))
        share = right_color / any_color
        return Score.of_video(share, with_settings({"cur_success_frame_rate": share, **counts}, self.backbone))


@final
class ColorFlorence2(Color):
    """By Florence-2's captions of regions, each of the class of the object that it fits best."""

    id = "color.florence2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Florence-2."""
        return cls.on(towers.florence2, options)
