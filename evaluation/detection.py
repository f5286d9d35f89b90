"""What a detector and a captioner are: any object with these members will do, GRiT and Tag2Text by a few lines of a user's own.

metric = ObjectClass(MyDetector(), name="object_class.grit")
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from torch import Tensor

__all__ = ["Box", "Captioner", "Detection", "Detector", "Region", "RegionCaptioner", "iou"]

#: Left, top, right, bottom in pixels of the frame; y grows downwards.
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One object in a frame: its class in lower case, and where it is."""

    label: str
    box: Box


@dataclass(frozen=True, slots=True, kw_only=True)
class Region:
    """One part of a frame in words: the class of what is there in lower case ("" if unknown), where it is, and the words."""

    label: str
    box: Box
    caption: str


@runtime_checkable
class Detector(Protocol):
    """Finds objects.

    Attributes:
        prompted: whether it looks for the labels it is given. False: it names what it sees and does not use ``labels``, so that
            one run serves every metric.
        settings: what its answers depend on, thresholds above all; JSON, part of every result.
    """

    @property
    def prompted(self) -> bool: ...

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def detect(self, frames_TCHW: Tensor, labels: Sequence[str]) -> list[list[Detection]]:
        """The objects in each frame, T lists; an empty list where nothing is seen. Equal frames give equal answers.

        Args:
            frames_TCHW: RGB, float32 0 to 255, on the CPU, at VBench's size for detectors.
            labels: what is asked for, without repetition.

        Raises:
            ClipError: ``non_finite`` or ``bad_reply``.
        """
        ...


@runtime_checkable
class RegionCaptioner(Protocol):
    """Describes parts of a frame, the surest first; ``settings`` as of a `Detector`."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def describe(self, frames_TCHW: Tensor) -> list[list[Region]]:
        """The parts of each frame, T lists. Frames and errors as of `Detector.detect`."""
        ...


@runtime_checkable
class Captioner(Protocol):
    """Says what a frame shows; ``settings`` as of a `Detector`."""

    @property
    def settings(self) -> Mapping[str, Any]: ...

    def caption(self, frames_TCHW: Tensor) -> list[str]:
        """A caption for each uint8 frame (T, 3, H, W) on the CPU, in lower case, T texts."""
        ...


def iou(a: Box, b: Box) -> float:
    """Intersection over union, 0 to 1; 0 for two boxes without area."""
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    union = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)) - common
    return common / union if union else 0.0
