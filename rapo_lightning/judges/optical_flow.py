"""Motion judge: how smoothly things move, and what moves where, from dense optical flow. Needs no weights.

OpticalFlowJudge(method="dis")
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, final

import numpy as np

from rapo_lightning.errors import VideoError
from rapo_lightning.judges.flow_statistics import FlowStatistics, measure
from rapo_lightning.judges.motion_words import describe, summary
from rapo_lightning.types import Feedback, Prompt, Video
from rapo_lightning.video import read_frames, sample_frames

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DenseFlow", "OpticalFlowJudge", "measure_video"]

Method = Literal["dis", "farneback"]
#: Smaller pictures are enlarged to this side: the flow's windows are 8 pixels wide and miss small things. On a square of 24
#: pixels in 128 this takes the error of DIS from 27 % to 1 %.
MIN_SIDE = 256


@final
class OpticalFlowJudge:
    """A `Judge` of motion: its score is the temporal smoothness of object motion, in [0, 1].

    For each succession of frame pairs: 1 - sum |v' - v| / sum (|v'| + |v|), over the pixels that move against the camera, each
    followed along its motion from velocity v to v'; the score is the mean over successions in which something moves. Steady
    motion of any speed gives nearly 1, a freeze, a jump or a reversal from one frame to the next gives 0. A clip in which nothing
    moves is perfectly smooth and says so in its critique: use this beside a judge that sees whether the right thing happens.

    Args:
        method: ``dis`` (Dense Inverse Search, medium preset), or ``farneback`` with the published release's parameters, which is
            slower and less exact, to compare with its figures.
        frames: longer clips are sampled down to this many evenly spaced frames.
        max_side: frames with a longer side than this many pixels are scaled down.
        name: the judge's name in the feedback.

    The critique describes the motion in words; ``details`` holds the numbers of `motion_words.summary`. A clip of fewer than
    three frames is unscored.
    """

    def __init__(self, method: Method = "dis", frames: int = 49, max_side: int = 512, name: str = "motion") -> None:
        if frames < 3 or max_side < 16:
            raise ValueError("frames must be at least 3, max_side at least 16")
        self.name = name
        self._method: Method = method
        self._frames = frames
        self._max_side = max_side

    def judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[Feedback]:
        """Score ``videos[i]``; the prompts are not looked at."""
        return [self._one(video) for video, _ in zip(videos, prompts, strict=True)]

    def _one(self, video: Video) -> Feedback:
        try:
            statistics = measure_video(video, method=self._method, frames=self._frames, max_side=self._max_side)
        except VideoError as error:
            return Feedback(judge=self.name, error=str(error), seed=video.seed)
        if not len(statistics.smoothness_M):
            return Feedback(judge=self.name, error="unscored: two frames do not tell whether motion is smooth", seed=video.seed)
        return Feedback(
            judge=self.name,
            score=min(1.0, max(0.0, statistics.smoothness)),
            critique=describe(statistics),
            details=summary(statistics),
            seed=video.seed,
        )


@final
class DenseFlow:
    """Motion in pixels, (H, W, 2) with x right and y down, from one grey frame (H, W) uint8 to the next."""

    def __init__(self, method: Method) -> None:
        import cv2

        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM) if method == "dis" else None

    def __call__(self, before_HW: NDArray[np.uint8], after_HW: NDArray[np.uint8]) -> NDArray[np.float32]:
        import cv2

        empty_HW2 = np.zeros((*before_HW.shape, 2), np.float32)
        if self._dis is not None:
            flow_HW2 = self._dis.calc(before_HW, after_HW, empty_HW2)
        else:
            flow_HW2 = cv2.calcOpticalFlowFarneback(
                before_HW,
                after_HW,
                empty_HW2,
                pyr_scale=0.5,
                levels=3,
                winsize=15,
                iterations=3,
                poly_n=5,
                poly_sigma=1.2,
                flags=0,
            )
        return np.asarray(flow_HW2, np.float32)


def measure_video(video: Video, *, method: Method, frames: int, max_side: int) -> FlowStatistics:
    """The motion of a video file; `VideoError` when it cannot be read, has one frame, or a frame rate that is none."""
    import cv2

    frames_THWC = read_frames(video.path)
    if len(frames_THWC) < 2:
        raise VideoError(f"unscored: {video.path} has one frame, which holds no motion")
    if not (math.isfinite(video.fps) and video.fps > 0):
        raise VideoError(f"unscored: {video.path} has {video.fps} frames a second")
    seen_THWC = sample_frames(frames_THWC, frames)
    fps = video.fps * (len(seen_THWC) - 1) / (len(frames_THWC) - 1)
    grey = [cv2.cvtColor(frame_HWC, cv2.COLOR_RGB2GRAY) for frame_HWC in seen_THWC]
    side = max(grey[0].shape)
    scale = min(max_side, max(side, MIN_SIDE)) / side
    if scale != 1:
        filter_ = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        grey = [cv2.resize(frame_HW, None, fx=scale, fy=scale, interpolation=filter_) for frame_HW in grey]
    return measure(np.stack(grey), fps, DenseFlow(method))
