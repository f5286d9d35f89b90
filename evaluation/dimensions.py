"""VBench 1.0's sixteen dimensions: range, weight, half of the total, and how videos become one number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DIMENSIONS", "NEEDS_MORE", "Dimension", "Reduction", "asks_little", "plain"]

#: micro: sum over frames / frames of the set; macro: mean of the videos' values; last: mean of the videos' last frames.
Reduction = Literal["micro", "macro", "last"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """One dimension.

    Attributes:
        minimum, maximum: what the total stretches to 0 and 1.
        weight: within its half of the total.
        half: "quality" or "semantic".
        single, multi: reduction of VBench on one GPU and on several.
        scale: the mean of videos is divided by it.
    """

    minimum: float
    maximum: float
    weight: float
    half: Literal["quality", "semantic"]
    single: Reduction
    multi: Reduction
    scale: float = 1.0


def _quality(
    minimum: float, maximum: float, single: Reduction, multi: Reduction, weight: float = 1, scale: float = 1
) -> Dimension:
    return Dimension(minimum=minimum, maximum=maximum, weight=weight, half="quality", single=single, multi=multi, scale=scale)


def _semantic(minimum: float, maximum: float, single: Reduction, multi: Reduction) -> Dimension:
    return Dimension(minimum=minimum, maximum=maximum, weight=1, half="semantic", single=single, multi=multi)


#: In the order in which VBench sums them. Source: VBench, scripts/constant.py; each dimension's file.
DIMENSIONS = {
    "subject_consistency": _quality(0.1462, 1, "micro", "macro"),
    "background_consistency": _quality(0.2615, 1, "micro", "micro"),
    "temporal_flickering": _quality(0.6293, 1, "macro", "macro"),
    "motion_smoothness": _quality(0.706, 0.9975, "macro", "macro"),
    "aesthetic_quality": _quality(0, 1, "macro", "macro"),
    "imaging_quality": _quality(0, 1, "macro", "macro", scale=100),
    "dynamic_degree": _quality(0, 1, "macro", "macro", weight=0.5),
    "object_class": _semantic(0, 1, "micro", "micro"),
    "multiple_objects": _semantic(0, 1, "micro", "micro"),
    "human_action": _semantic(0, 1, "macro", "macro"),
    "color": _semantic(0, 1, "macro", "macro"),
    "spatial_relationship": _semantic(0, 1, "micro", "macro"),
    "scene": _semantic(0, 0.8222, "micro", "micro"),
    "appearance_style": _semantic(0.0009, 0.2855, "micro", "last"),
    "temporal_style": _semantic(0, 0.364, "macro", "macro"),
    "overall_consistency": _semantic(0, 0.364, "macro", "macro"),
}


#: VBench's dimensions that need more than a prompt and cannot be asked of any video.
NEEDS_MORE = ("object_class", "multiple_objects", "scene", "appearance_style", "color", "spatial_relationship")


def plain(name: str) -> str:
    """A dimension's name by which it is compared: without a suffix, in lower case, with underscores."""
    return name.partition(".")[0].casefold().replace(" ", "_")


def asks_little(dimension: str) -> bool:
    """Whether it is one of VBench's that any video can be asked for."""
    return plain(dimension) in DIMENSIONS and plain(dimension) not in NEEDS_MORE
