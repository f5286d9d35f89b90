"""What metrics on one backbone share: which one, and how much of a video it takes at once."""

from __future__ import annotations

from typing import ClassVar, Generic, Literal, Self, TypeVar

from evaluation.metrics.base import VideoMetric
from evaluation.options import Options
from evaluation.towers import Towers

__all__ = ["OnTower"]

BackboneT = TypeVar("BackboneT")


class OnTower(VideoMetric, Generic[BackboneT]):
    """A `VideoMetric` on a backbone; abstract.

    Attributes:
        tower: the backbone's name in `Towers`.
        at_once: frames or pairs that it takes at once, if nobody says otherwise.
        batch: that it does take; an evaluation halves it when memory runs out.
    """

    tower: ClassVar[str]
    at_once: ClassVar[int] = 1

    def __init__(
        self, backbone: BackboneT, *, reduction: Literal["single", "multi"] = "single", batch: int | None = None
    ) -> None:
        super().__init__(reduction=reduction)
        self.backbone = backbone
        self.batch = batch or self.at_once

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """On the evaluation's backbone."""
        return cls(getattr(towers, cls.tower), reduction=options.reduction, batch=options.batch)
