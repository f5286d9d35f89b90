"""What a judge is shown of a video: which frames, how large, one after another or pasted into one picture.

FramePolicy(n=16, at="ends", max_side=448).view(clip)
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from evaluation.video.sampling import middle

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from evaluation.video.clip import Clip

__all__ = ["FramePolicy", "View", "grid", "resized", "scaled_down"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """Frames as a judge sees them; equal only to itself.

    Attributes:
        frames_THWC: uint8 RGB, (T, H, W, 3).
        seconds: when each of them is seen in the video, (T,).
        fps: how many of them there are a second.
        picture: a still, to be shown as a picture and not as a video; T is 1.
    """

    frames_THWC: NDArray[np.uint8]
    seconds: tuple[float, ...]
    fps: float
    picture: bool = False

    def part(self, start: int, stop: int) -> View:
        """The frames from ``start`` to ``stop``, not included, as a video."""
        return View(frames_THWC=self.frames_THWC[start:stop], seconds=self.seconds[start:stop], fps=self.fps)

    def still(self, index: int) -> View:
        """One frame as a picture."""
        frame = self.frames_THWC[index][None]
        return View(frames_THWC=frame, seconds=(self.seconds[index],), fps=self.fps, picture=True)

    def stills(self, *indices: int) -> View:
        """Some of the frames as a short video, in the order named."""
        chosen = list(indices)
        return View(frames_THWC=self.frames_THWC[chosen], seconds=tuple(self.seconds[i] for i in chosen), fps=self.fps)


@dataclass(frozen=True, slots=True, kw_only=True)
class FramePolicy:
    """Which frames a judge sees; part of a judged metric's provenance.

    Attributes:
        n: how many.
        at: "ends": evenly spaced with the first and the last, rounded, never more than there are (one: the middle frame);
            "linspace": evenly spaced with both ends, cut to integers, always n, so a short video repeats frames (VBench-2.0);
            "middle": the middle of each of n equal parts (VBench).
        layout: "sequence": one after another; "grid": pasted into one picture, row by row, black where frames run out.
        columns: of the grid; 0: as many as make it about square.
        max_side: frames with a longer side, in pixels, are scaled down to it by Pillow's bicubic filter, before a grid is made.
    """

    n: int = 16
    at: Literal["ends", "linspace", "middle"] = "ends"
    layout: Literal["sequence", "grid"] = "sequence"
    columns: int = 0
    max_side: int | None = None

    def __post_init__(self) -> None:
        if self.n < 1 or self.columns < 0 or (self.max_side is not None and self.max_side < 1):
            raise ValueError("n and max_side must be at least 1, columns at least 0")
        if self.at not in ("ends", "linspace", "middle") or self.layout not in ("sequence", "grid"):
            raise ValueError(f"no such frame policy: at {self.at!r}, layout {self.layout!r}")

    @property
    def id(self) -> str:
        """The policy in words, e.g. ``ends(16),grid3,max448``."""
        grid = f",grid{self.columns or ''}" if self.layout == "grid" else ""
        return f"{self.at}({self.n}){grid}{f',max{self.max_side}' if self.max_side else ''}"

    def indices(self, total: int) -> list[int]:
        """The frames of a video of ``total`` frames."""
        if self.at == "middle":
            return middle(self.n, total)
        if self.at == "linspace":
            return [int(index) for index in np.linspace(0, total - 1, self.n)]
        if self.n == 1:
            return [total // 2]
        return [int(index) for index in np.linspace(0, total - 1, min(self.n, total)).round()]

    def view(self, clip: Clip) -> View:
        """What a judge sees of a clip; made once a clip."""
        found: View = clip.once((self, "view"), lambda: self._view(clip))
        return found

    def _view(self, clip: Clip) -> View:
        chosen = self.indices(len(clip.frames_THWC))
        span = chosen[-1] - chosen[0]
        fps = clip.fps * (len(chosen) - 1) / span if span else clip.fps
        frames = scaled_down(clip.frames_THWC[chosen], self.max_side)
        seconds = tuple(index / clip.fps for index in chosen)
        if self.layout == "grid":
            return View(frames_THWC=grid(frames, self.columns)[None], seconds=seconds[:1], fps=fps, picture=True)
        return View(frames_THWC=frames, seconds=seconds, fps=fps)


def grid(frames_THWC: NDArray[np.uint8], columns: int = 0) -> NDArray[np.uint8]:
    """Frames in one picture, row by row: (rows * H, columns * W, 3)."""
    total, height, width, _ = frames_THWC.shape
    across = min(total, columns or math.ceil(math.sqrt(total)))
    rows = math.ceil(total / across)
    picture = np.zeros((rows * height, across * width, 3), np.uint8)
    for index, frame in enumerate(frames_THWC):
        top, left = index // across * height, index % across * width
        picture[top : top + height, left : left + width] = frame
    return picture


def scaled_down(frames_THWC: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """Frames whose longer side is at most ``max_side`` pixels."""
    height, width = frames_THWC.shape[1:3]
    if max_side is None or max(height, width) <= max_side:
        return frames_THWC
    shrink = max_side / max(height, width)
    return resized(frames_THWC, max(1, round(height * shrink)), max(1, round(width * shrink)))


def resized(frames_THWC: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Frames (T, height, width, 3) by Pillow's bicubic filter; the same frames where they have that size."""
    from PIL import Image

    if frames_THWC.shape[1:3] == (height, width):
        return frames_THWC
    images = [Image.fromarray(frame).resize((width, height), Image.Resampling.BICUBIC) for frame in frames_THWC]
    return np.stack([np.asarray(image) for image in images])
