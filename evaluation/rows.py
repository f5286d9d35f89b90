"""One row per video and metric: what an evaluation finds, line by line on disk, and what every summary is made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one metric said of one video.

    Attributes:
        position: of the video in the manifest.
        video_path: as the manifest has it; video_sha256: of the file, empty if it cannot be read.
        prompt_id, prompt, variant, seed, index: of the manifest's line (``index``: which of a prompt's videos).
        metric, protocol: what was measured, and under which protocol ("vbench", "vbench_long").
        value: None with an error, and where the metric has nothing to say of the video.
        status: "ok", "left_out" or "error"; error_code (of `CODES`) and error_message with an error.
        total, count, last: sum over frames, their number, the last frame's value (`Part`).
        range_min, range_max, higher_is_better: of the metric.
        n_frames, fps, height, width: of the video; None if it cannot be read.
        frame_policy: which frames were looked at.
        backbone, weights_revision, weights_sha256, dtype: what scored; several are joined with "+".
        details: more that the metric says, JSON.
        code_version: of this package. seconds: that this metric took.
    """

    position: int
    video_path: str
    video_sha256: str
    prompt_id: str
    prompt: str
    variant: str
    seed: int | None
    index: int
    metric: str
    protocol: str
    value: float | None
    status: Literal["ok", "left_out", "error"]
    error_code: str | None = None
    error_message: str | None = None
    total: float = 0.0
    count: float = 0
    last: float = 0.0
    range_min: float | None = None
    range_max: float | None = None
    higher_is_better: bool = True
    n_frames: int | None = None
    fps: float | None = None
    height: int | None = None
    width: int | None = None
    frame_policy: str = "all"
    backbone: str = ""
    weights_revision: str = ""
    weights_sha256: str = ""
    dtype: str = "float32"
    details: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = ""
    seconds: float = 0.0
