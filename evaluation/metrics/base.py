"""What all metrics share: a row a video, sums in the manifest's order, the same result from any number of processes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities.data import dim_zero_cat

from evaluation.dimensions import DIMENSIONS
from evaluation.errors import ClipError
from evaluation.precision import full_float32
from evaluation.video.clip import Clip, Record

__all__ = ["Score", "VideoMetric", "in_chunks", "required_prompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """What a metric says of one video.

    Attributes:
        value: of the video.
        total, count: sum over its frames (or pairs) and their number, for micro reduction.
        last: of its last frame, where VBench on several GPUs takes that.
        details: more that goes to the result, JSON.
    """

    value: float
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


class VideoMetric(Metric):
    """A dimension as a `torchmetrics.Metric`; abstract: a dimension sets ``id`` and says how one video is scored.

    ``update(clip, record)`` scores a video, ``compute()`` gives the value of the set, None if no video has one. Over processes
    the rows are gathered and summed in the manifest's order in float64, so the result does not depend on their number.

    Attributes:
        id: VBench's name of the dimension, with a suffix for another backbone or protocol.
        range: lowest and highest value; higher_is_better; exact: whether the numbers are VBench's.
        scores: of the videos that this process has seen, by their index in the manifest.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True

    id: str
    exact: bool = True
    range: tuple[float, float] = (0.0, 1.0)
    rows: list[Tensor]

    def __init__(self, *, reduction: Literal["single", "multi"] = "single") -> None:
        super().__init__()
        self.reduction = reduction
        self.scores: dict[int, Score] = {}
        self.set_dtype(torch.float64)
        self.add_state("rows", default=[], dist_reduce_fx="cat")

    @abstractmethod
    def score(self, clip: Clip, record: Record) -> Score:
        """The score of one video.

        Raises:
            ClipError: it has none.
        """

    def update(self, clip: Clip, record: Record) -> None:
        """Score one video and keep its row.

        Raises:
            ClipError: the video has no score, or one that is not finite; nothing is kept then.
        """
        with full_float32(), torch.no_grad():
            score = self.score(clip, record)
        if not (math.isfinite(score.value) and math.isfinite(score.total)):
            raise ClipError("non_finite", f"{clip.path}: {self.id} is {score.value}")
        self.scores[record.index] = score
        row = [record.index, score.value, score.total, score.count, score.last]
        self.rows.append(torch.tensor(row, dtype=torch.float64, device=self.device))

    def compute(self) -> float | None:
        """The value of the set, reduced as VBench does; None without a row."""
        if not len(self.rows):
            return None
        rows: dict[float, tuple[float, ...]] = {}
        for row in dim_zero_cat(self.rows).view(-1, 5).tolist():
            if rows.setdefault(row[0], tuple(row)) != tuple(row):
                raise ValueError(f"{self.id}: two different rows for video {row[0]:.0f} of the manifest")
        ordered = [rows[index] for index in sorted(rows)]
        dimension = DIMENSIONS[self.id.partition(".")[0]]
        how = dimension.single if self.reduction == "single" else dimension.multi
        if how == "micro":
            return math.fsum(row[2] for row in ordered) / math.fsum(row[3] for row in ordered)
        return math.fsum(row[1 if how == "macro" else 4] for row in ordered) / len(ordered) / dimension.scale

    def reset(self) -> None:
        """Forget all videos."""
        super().reset()
        self.scores = {}


def in_chunks(frames_TCHW: Tensor, size: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """``function`` of ``size`` frames at a time, joined: (T, ...). Batches never hold frames of two videos."""
    return torch.cat([function(chunk) for chunk in torch.split(frames_TCHW, size)])


def required_prompt(clip: Clip, record: Record) -> str:
    """The record's prompt.

    Raises:
        ClipError: it has none.
    """
    if not record.prompt.strip():
        raise ClipError("no_prompt", f"{clip.path}: the record has no prompt")
    return record.prompt
