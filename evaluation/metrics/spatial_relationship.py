"""spatial_relationship: whether one object is where it should be beside another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Self, final

import torch

from evaluation.detection import Box, Detection, Detector, iou
from evaluation.errors import ClipError
from evaluation.metrics.asked import asked_mapping
from evaluation.metrics.base import Score
from evaluation.metrics.detected import ProxyMetric, detections, with_settings
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = [
    "SpatialRelationship",
    "SpatialRelationshipFlorence2",
    "SpatialRelationshipGroundingDino",
    "SpatialRelationshipOwlv2",
    "directions",
    "position_score",
    "spatial_relationship",
]

#: Where object_a is as object_b sees it: (across, down), y growing downwards.
_DIRECTIONS = {
    "on the right of": (1, 0),
    "on the left of": (-1, 0),
    "on the bottom of": (0, 1),
    "on the top of": (0, -1),
}
#: Boxes that overlap by more count less.
OVERLAP = 0.1


def directions(relationship: str) -> list[tuple[int, int]]:
    """The directions that a relationship may mean: those whose name holds it ("left of" will do). Empty: none."""
    return [direction for name, direction in _DIRECTIONS.items() if relationship in name]


def position_score(relationship: str, a: Box, b: Box, fixed: bool = False) -> float:
    """1 where the boxes lie as they should, ``.1 / IoU`` if they overlap by more than a tenth, else 0.

    As VBench has it, left is as good as right and top as good as bottom; ``fixed`` wants ``a`` on its own side of ``b``.
    Source: VBench, spatial_relationship.py:25-84.
    """
    across, down = ((a[low] + a[low + 2]) / 2 - (b[low] + b[low + 2]) / 2 for low in (0, 1))
    possible = directions(relationship)
    if not possible:
        return 0.0
    along, beside = (across, down) if possible[0][0] else (down, across)
    if abs(along) <= abs(beside) or (fixed and along * sum(possible[0]) < 0):
        return 0.0
    overlap = iou(a, b)
    return 1.0 if overlap < OVERLAP else OVERLAP / overlap


def spatial_relationship(
    frames: Sequence[Sequence[Detection]], first: str, second: str, relationship: str, fixed: bool = False
) -> list[float]:
    """The best `position_score` of each frame's pairs, 0 without a pair.

    As VBench has it, any two boxes of the two classes are a pair, even two of one class; ``fixed`` wants one of each, in order.
    Source: VBench, spatial_relationship.py:100-136.
    """
    return [
        max((position_score(relationship, a, b, fixed) for a, b in _pairs(frame, first, second, fixed)), default=0.0)
        for frame in frames
    ]


def _pairs(frame: Sequence[Detection], first: str, second: str, fixed: bool) -> Iterator[tuple[Box, Box]]:
    found = [item for item in frame if item.label in (first, second)]
    if not fixed:
        return ((a.box, b.box) for a, b in combinations(found, 2))
    return ((a.box, b.box) for a, b in permutations(found, 2) if (a.label, b.label) == (first, second))


class SpatialRelationship(ProxyMetric[Detector]):
    """`spatial_relationship` over 16 frames, on any detector.

    ``auxiliary_info["spatial_relationship"]`` names object_a, object_b and relationship, as in "on the left of".
    """

    id = "spatial_relationship.custom"
    has_quirks = True

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over frames, and VBench's extra key."""
        keys = ("object_a", "object_b", "relationship")
        first, second, relationship = asked_mapping(clip, record, "spatial_relationship", keys).values()
        possible = directions(relationship)
        if not possible or (self.fixed and len(possible) > 1):
            raise ClipError("no_prompt", f"{clip.path}: {relationship!r} is none of {', '.join(_DIRECTIONS)}")
        found = detections(clip, self.backbone, (first, second), self.batch)
        values = spatial_relationship(found, first, second, relationship, self.fixed)
        return Score.of_frames(torch.tensor(values, dtype=torch.float64), with_settings({"frame_results": values}, self.backbone))


@final
class SpatialRelationshipFlorence2(SpatialRelationship):
    """By Florence-2, which names what it sees, as GRiT does."""

    id = "spatial_relationship.florence2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Florence-2."""
        return cls.on(towers.florence2, options)


@final
class SpatialRelationshipGroundingDino(SpatialRelationship):
    """By Grounding DINO, which is told what to look for and finds it too often."""

    id = "spatial_relationship.grounding_dino"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's Grounding DINO."""
        return cls.on(towers.grounding_dino, options)


@final
class SpatialRelationshipOwlv2(SpatialRelationship):
    """By OWLv2, which is told what to look for and finds it too often."""

    id = "spatial_relationship.owlv2"

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's OWLv2."""
        return cls.on(towers.owlv2, options)
