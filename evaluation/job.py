"""What is to be evaluated, and how: everything that decides a result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from evaluation.options import Options
from evaluation.video.decoding import Limits
from evaluation.video.record import Record

if TYPE_CHECKING:
    from evaluation.metrics.base import VideoMetric

__all__ = ["Job", "Long", "Precision", "Protocol"]

Precision = Literal["fp32", "vbench"]
Protocol = Literal["vbench", "vbench_long"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Long:
    """VBench-Long's choices.

    Attributes:
        custom: the videos are of no prompts of VBench's: clips of two seconds.
        lengths: seconds of a clip by dimension; empty: VBench-Long's.
        w_inclip, w_clip2clip: of subject_consistency and background_consistency.
        tables: by dimension, the file that maps likeness from clip to clip; needed where it has a weight.
        static_filter: still clips do not count in temporal_flickering; needs RAFT.
    """

    custom: bool = False
    lengths: Mapping[str, float] = field(default_factory=dict)
    w_inclip: float = 1.0
    w_clip2clip: float = 0.0
    tables: Mapping[str, str] = field(default_factory=dict)
    static_filter: bool = False

    @property
    def settings(self) -> dict[str, Any]:
        """What decides a value."""
        return {name: getattr(self, name) for name in ("custom", "lengths", "w_inclip", "w_clip2clip", "tables", "static_filter")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One evaluation.

    Attributes:
        records: the manifest's lines.
        missing: lines for the videos that a benchmark wants and that are not there.
        notes: what is to be said with the results: what is odd about the input, or the protocol.
        metrics: names in the catalogue.
        own: metrics that are in no catalogue: a user's, or a judge's question from a configuration.
        options: of the metrics.
        weights: paths by the weights' names, before all other places.
        precision: "fp32", or "vbench": as VBench has it on CUDA, CLIP in float16 and other networks' convolutions in TF32.
        protocol: "vbench" for videos below five seconds, "vbench_long" for longer ones.
        long: how VBench-Long cuts and joins.
        limits: of decoding a file.
        device: "cpu", "cuda", "cuda:1"; "auto" takes a GPU if there is one.
        devices: processes, each on a GPU of its own where the device is "cuda".
    """

    records: tuple[Record, ...]
    missing: tuple[Record, ...] = ()
    notes: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    own: tuple[VideoMetric, ...] = ()
    options: Options = field(default_factory=Options)
    weights: Mapping[str, str] = field(default_factory=dict)
    precision: Precision = "fp32"
    protocol: Protocol = "vbench"
    long: Long = field(default_factory=Long)
    limits: Limits = field(default_factory=Limits)
    device: str = "auto"
    devices: int = 1
