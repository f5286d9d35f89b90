"""Any metric under VBench-Long: the mean over a video's clips, and for two dimensions the likeness from clip to clip.

metric = LongMetric(SubjectConsistency.build(towers, options), fusion=Fusion(table=read_table("subject_mapping_table.yaml")))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from evaluation.metrics.base import Score, VideoMetric
from evaluation.protocol import CLIP_SECONDS, clip_seconds, first_frames, fused, slices
from evaluation.video.clip import Clip, Record

__all__ = ["FUSED", "Fusion", "LongMetric"]

#: Dimensions that VBench-Long also looks at from clip to clip.
FUSED = ("subject_consistency", "background_consistency")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fusion:
    """How likeness within clips and from clip to clip become one number.

    Attributes:
        w_inclip, w_clip2clip: their weights, 1 in all; VBench-Long's are 1 and 0, and .5 and .5 with its ``--dev_flag``.
        table: brings likeness from clip to clip to the scale of likeness within clips (`evaluation.protocol.read_table`).
    """

    w_inclip: float = 1.0
    w_clip2clip: float = 0.0
    table: Mapping[float, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not math.isclose(self.w_inclip + self.w_clip2clip, 1):
            raise ValueError(f"weights {self.w_inclip} within clips and {self.w_clip2clip} from clip to clip: not 1 in all")
        if self.w_clip2clip and not self.table:
            raise ValueError("a likeness from clip to clip with a weight needs the mapping table")


@final
class LongMetric(VideoMetric):
    """A metric over the clips of a video: its value is their mean, and the set's value the mean over videos.

    Clips on which the metric has nothing to say are left out, and so is a video of such clips; an error on one clip is the
    video's. ``details["clips"]`` has each clip's value. Numbers are VBench-Long's but for the loss of the codec, since clips are
    not encoded again.

    Args:
        metric: scores one clip; the id gets the suffix ``.long``.
        custom: the videos are of no prompts of VBench's: clips of two seconds.
        lengths: seconds of a clip by dimension.
        keep: which clips count; for temporal_flickering with the static filter, ``is_static`` on the evaluation's RAFT.
        fusion: for subject_consistency and background_consistency.
    """

    exact = False

    def __init__(
        self,
        metric: VideoMetric,
        *,
        custom: bool = False,
        lengths: Mapping[str, float] = CLIP_SECONDS,
        keep: Callable[[Clip], bool] | None = None,
        fusion: Fusion | None = None,
    ) -> None:
        if fusion is not None and metric.id.partition(".")[0] not in FUSED:
            raise ValueError(f"{metric.id} is not looked at from clip to clip; only {' and '.join(FUSED)} are")
        super().__init__(reduction=metric.reduction)
        self.metric = metric
        self.id = f"{metric.id}.long"
        self.range = metric.range
        self.custom = custom
        self.lengths = lengths
        self.keep = keep
        self.fusion = fusion or Fusion()
        self.to(metric.device)

    @property
    def higher_is_better(self) -> bool:  # type: ignore[override]
        """As of the metric within."""
        return self.metric.higher_is_better

    @property
    def provenance(self) -> Mapping[str, Any]:
        """As of the metric within."""
        return dict(getattr(self.metric, "provenance", None) or {})

    @property
    def batch(self) -> int:
        """As of the metric within, so that it can be halved where memory runs out."""
        return int(getattr(self.metric, "batch", 1))

    @batch.setter
    def batch(self, frames: int) -> None:
        self.metric.batch = frames

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over clips, fused with the likeness from clip to clip where that has a weight."""
        seconds = clip_seconds(record.dimensions, custom=self.custom, lengths=self.lengths)
        parts = slices(clip, seconds)
        kept = [part for part in parts if self.keep is None or self.keep(part)]
        values = [self.metric.score(part, record).value for part in kept]
        details: dict[str, Any] = {"clips": values, "seconds": seconds, "kept": len(kept), "cut": len(parts)}
        counted = [value for value in values if value is not None]
        if not counted:
            return Score.left_out(details)
        value = math.fsum(counted) / len(counted)
        if self.fusion.w_clip2clip:
            ends = first_frames(parts)
            between = None if ends is None else self.metric.score(ends, record).value
            details |= {"inclip": value, "clip2clip": between}
            weights = {"w_inclip": self.fusion.w_inclip, "w_clip2clip": self.fusion.w_clip2clip}
            value = fused(value, between, self.fusion.table, **weights)
        return Score.of_video(value, details)
