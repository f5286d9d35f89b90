"""What all metrics share: a row a video, sums in the manifest's order, the same result from any number of processes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from evaluation.errors import ClipError
from evaluation.options import Options
from evaluation.precision import full_float32
from evaluation.reduction import Part, reduce, rule
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

__all__ = ["Score", "VideoMetric", "required_prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a metric says of one video.

    Attributes:
        value: of the video; None where the metric has nothing to say of it (``left_out``): it enters no mean.
        total, count: sum over its frames (or pairs) and their number, for micro reduction; 0 where it is left out.
        last: of its last frame, where VBench on several GPUs takes that.
        details: more that goes to the result, JSON.
    """

    value: float | None
    total: float
    count: int
    last: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_frames(cls, values: Tensor, details: Mapping[str, Any] | None = None) -> Score:
        """Mean, sum and number of one value a frame, (T,), summed exactly."""
        numbers = values.double().tolist()
        total = math.fsum(numbers)
        return cls(value=total / len(numbers), total=total, count=len(numbers), last=numbers[-1], details=details or {})

    @classmethod
    def of_video(cls, value: float, details: Mapping[str, Any] | None = None) -> Score:
        """One value for the whole video."""
        return cls(value=value, total=value, count=1, last=value, details=details or {})

    @classmethod
    def left_out(cls, details: Mapping[str, Any]) -> Score:
        """No value, which is no error: the metric does not ask about this video."""
        return cls(value=None, total=0.0, count=0, details=details)


class VideoMetric(Metric):
    """A dimension as a `torchmetrics.Metric`; abstract: a dimension sets ``id`` and says how one video is scored.

    ``update(clip, record)`` scores a video, ``compute()`` gives the value of the set, None if no video has one. Over processes
    the rows are gathered and summed in the manifest's order in float64, so the result does not depend on their number.

    Attributes:
        id: VBench's name of the dimension, with a suffix for another backbone or protocol.
        range: lowest and highest value; higher_is_better; exact: whether the numbers are VBench's.
        tf32_convolutions: on NVIDIA GPUs, as VBench has them there.
        scores: of the videos that this process has seen, by their index in the manifest.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    id: str
    exact: bool = True
    tf32_convolutions: bool = False
    range: tuple[float, float] = (0.0, 1.0)
    rows: list[Tensor]

    def __init__(self, *, reduction: Literal["single", "multi"] = "single") -> None:
        super().__init__()
        self.reduction = reduction
        self.scores: dict[int, Score] = {}
        self.set_dtype(torch.float64)
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    @classmethod
    def build(cls, towers: Towers, options: Options) -> Self:
        """The metric on an evaluation's shared backbones; here, for one that needs none."""
        return cls(reduction=options.reduction).to(towers.device)

    @abstractmethod
    def score(self, clip: Clip, record: Record) -> Score:
        """The score of one video.

        Raises:
            ClipError: it has none.
        """

    def scored(self, clip: Clip, record: Record) -> Score:
        """`score` in full float32, or with VBench's convolutions, and without gradients, checked.

        Raises:
            ClipError: the video has no score, or one that is not finite.
        """
        with full_float32(tf32_convolutions=self.tf32_convolutions), torch.no_grad():
            score = self.score(clip, record)
        if not all(map(math.isfinite, (score.value or 0.0, score.total, score.last))):
            raise ClipError("non_finite", f"{clip.path}: {self.id} is {score.value}")
        return score

    def update(self, clip: Clip, record: Record) -> None:
        """Score one video and keep its row.

        Raises:
            ClipError: as `scored`; nothing is kept then.
        """
        score = self.scored(clip, record)
        self.scores[record.index] = score
        row = [record.index, score.value or 0.0, score.total, score.count, score.last]
        self.rows.append(torch.tensor(row, dtype=torch.float64, device=self.device))

    def compute(self) -> float | None:
        """The value of the set, reduced as VBench does; None without a row."""
        if not len(self.rows):
            return None
        rows: dict[float, tuple[float, ...]] = {}
        for row in dim_zero_cat(self.rows).view(-1, 5).tolist():
            if rows.setdefault(row[0], tuple(row)) != tuple(row):
                raise ValueError(f"{self.id}: two different rows for video {row[0]:.0f} of the manifest")
        parts = [Part(value=row[1], total=row[2], count=row[3], last=row[4]) for _, row in sorted(rows.items())]
        return reduce(parts, rule(self.id, self.reduction))

    def reset(self) -> None:
        """Forget all videos."""
        super().reset()
        self.scores = {}


def required_prompt(clip: Clip, record: Record) -> str:
    """The record's prompt.

    Raises:
        ClipError: it has none.
    """
    if not record.prompt.strip():
        raise ClipError("no_prompt", f"{clip.path}: the record has no prompt")
    return record.prompt
