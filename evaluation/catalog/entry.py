"""What the catalogue says of a metric."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Entry", "Need"]

Need = Literal["prompt", "auxiliary_info", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One metric.

    Attributes:
        id: VBench's bare name for VBench's own backbone, weights and protocol; a suffix, or another name, for anything else.
        source: ``module:Class``, a `VideoMetric`.
        says: one line for people.
        weights: names in `WEIGHTS`; ``a|b`` is either.
        dimension: of a benchmark, whose videos alone it is asked of where lines list dimensions; None: what stands before the
            dot, if that is one of VBench's, else it is asked of every video.
        frames: which frames it looks at; part of the result.
        needs: beside the video.
        torchvision: whether the extra ``[vision]`` is needed.
    """

    id: str
    source: str
    says: str
    weights: tuple[str, ...] = ()
    dimension: str | None = None
    frames: str = "all"
    needs: tuple[Need, ...] = ()
    torchvision: bool = False
