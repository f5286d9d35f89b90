"""object_class: in how many frames the object that was asked for is seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch

from evaluation.detection import Detection, Detector
from evaluation.metrics.asked import asked_text
from evaluation.metrics.base import Score
from evaluation.metrics.detected import ProxyMetric, detections, with_settings
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["ObjectClass", "ObjectClassFlorence2", "ObjectClassGroundingDino", "ObjectClassOwlv2", "object_class"]


def object_class(frames: Sequence[Sequence[Detection]], wanted: str) -> list[bool]:
    """Whether each frame has an object of this very class. Source: VBench, object_class.py:25-69."""
    return [any(found.label == wanted for found in frame) for frame in frames]


class ObjectClass(ProxyMetric[Detector]):
    """Frames with the object over 16, on any detector; the object is ``auxiliary_info["object_class"]["object"]``."""

    id = "object_class.custom"

    def score(self, clip: Clip, record: Record) -> Score:
        """The share of frames, and VBench's extra keys."""
        wanted = asked_text(clip, record, "object_class", "object")
        seen = object_class(detections(clip, self.backbone, (wanted,), self.batch), wanted)
        details = {"success_frame_count": sum(seen), "frame_count": len(seen)}
        return Score.of_frames(torch.tensor(seen), with_settings(details, self.backbone))


@final
class ObjectClassFlorence2(ObjectClass):
    """By Florence-2, which names what it sees, as GRiT does."""

    id = "object_class.florence2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Florence-2."""
        return cls.on(towers.florence2, options)


@final
class ObjectClassGroundingDino(ObjectClass):
    """By Grounding DINO, which is told what to look for and finds it too often."""

    id = "object_class.grounding_dino"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Grounding DINO."""
        return cls.on(towers.grounding_dino, options)


@final
class ObjectClassOwlv2(ObjectClass):
    """By OWLv2, which is told what to look for and finds it too often."""

    id = "object_class.owlv2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's OWLv2."""
        return cls.on(towers.owlv2, options)
