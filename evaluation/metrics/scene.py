"""scene: in how many frames a caption names the scene that was asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Self, final

import torch

from evaluation.detection import Captioner
from evaluation.metrics.asked import asked_text
from evaluation.metrics.base import Score
from evaluation.metrics.detected import ProxyMetric, captions, with_settings
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["Scene", "SceneBlip", "SceneFlorence2", "scene"]


def scene(texts: Sequence[str], wanted: str, fixed: bool = False) -> list[bool]:
    """Whether each caption has every word of the scene.

    As VBench has it, a word counts inside another ("alley" in "valley"); ``fixed`` wants whole words.
    Source: VBench, scene.py:29-62.
    """
    words = wanted.split() if fixed else wanted.split(" ")
    holds = [set(re.findall(r"[\w'-]+", text)) if fixed else text for text in texts]
    return [all(word in text for word in words) for text in holds]


class Scene(ProxyMetric[Captioner]):
    """Frames whose caption names the scene over 16, on any captioner; the scene is ``auxiliary_info["scene"]["scene"]``."""

    id = "scene.custom"
    has_quirks = True

    def score(self, clip: Clip, record: Record) -> Score:
        """The share of frames, VBench's extra keys, and the captions."""
        wanted = asked_text(clip, record, "scene", "scene")
        texts = captions(clip, self.backbone, self.batch)
        seen = scene(texts, wanted, self.fixed)
        details = {"success_frame_count": sum(seen), "frame_count": len(seen), "captions": texts}
        return Score.of_frames(torch.tensor(seen), with_settings(details, self.backbone))


@final
class SceneFlorence2(Scene):
    """By Florence-2's captions."""

    id = "scene.florence2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Florence-2."""
        return cls.on(towers.florence2, options)


@final
class SceneBlip(Scene):
    """By BLIP's captions."""

    id = "scene.blip"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's BLIP."""
        return cls.on(towers.blip, options)
