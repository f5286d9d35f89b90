"""multiple_objects: in how many frames both objects that were asked for are seen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, final

import torch

from evaluation.detection import Detection, Detector
from evaluation.errors import ClipError
from evaluation.metrics.asked import asked_text
from evaluation.metrics.base import Score
from evaluation.metrics.detected import ProxyMetric, detections, with_settings
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = [
    "MultipleObjects",
    "MultipleObjectsFlorence2",
    "MultipleObjectsGroundingDino",
    "MultipleObjectsOwlv2",
    "multiple_objects",
    "two_objects",
]


def two_objects(wanted: str) -> tuple[str, str] | None:
    """What stands before and behind the " and "; None unless there is exactly one."""
    parts = [part.strip() for part in wanted.split(" and ")]
    return (parts[0], parts[1]) if len(parts) == 2 and all(parts) else None


def multiple_objects(frames: Sequence[Sequence[Detection]], first: str, second: str) -> list[bool]:
    """Whether each frame has objects of both classes. Source: VBench, multiple_objects.py:25-73."""
    return [{first, second} <= {found.label for found in frame} for frame in frames]


class MultipleObjects(ProxyMetric[Detector]):
    """Frames with both objects over 16, on any detector; ``auxiliary_info["multiple_objects"]["object"]`` is "a and b"."""

    id = "multiple_objects.custom"

    def score(self, clip: Clip, record: Record) -> Score:
        """The share of frames, and VBench's extra keys."""
        text = asked_text(clip, record, "multiple_objects", "object")
        wanted = two_objects(text)
        if wanted is None:
            raise ClipError("no_prompt", f"{clip.path}: {text!r} does not name two objects with ' and ' between them")
        seen = multiple_objects(detections(clip, self.backbone, wanted, self.batch), *wanted)
        details = {"success_frame_count": sum(seen), "frame_count": len(seen)}
        return Score.of_frames(torch.tensor(seen), with_settings(details, self.backbone))


@final
class MultipleObjectsFlorence2(MultipleObjects):
    """By Florence-2, which names what it sees, as GRiT does."""

    id = "multiple_objects.florence2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Florence-2."""
        return cls.on(towers.florence2, options)


@final
class MultipleObjectsGroundingDino(MultipleObjects):
    """By Grounding DINO, which is told what to look for and finds it too often."""

    id = "multiple_objects.grounding_dino"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Grounding DINO."""
        return cls.on(towers.grounding_dino, options)


@final
class MultipleObjectsOwlv2(MultipleObjects):
    """By OWLv2, which is told what to look for and finds it too often."""

    id = "multiple_objects.owlv2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's OWLv2."""
        return cls.on(towers.owlv2, options)
