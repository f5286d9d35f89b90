"""What can be chosen of the metrics of one evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from evaluation.judge.base import Judge

__all__ = ["Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What metrics are built with.

    Attributes:
        reduction: how videos become one number: as VBench on one GPU ("single") or on several ("multi"); not our own number of
            processes.
        musiq_mode: how imaging_quality resizes.
        batch: frames that a backbone takes at once, if memory allows no more; None: each metric's own.
        fixed: mend VBench's quirks where a metric knows how; its id then ends in ``.fixed``.
        judge: whom judged metrics ask; they are refused without.
    """

    reduction: Literal["single", "multi"] = "single"
    musiq_mode: Literal["longer", "shorter", "shorter_centercrop", "None"] = "longer"
    batch: int | None = None
    fixed: bool = False
    judge: Judge | None = None
