"""A generator without a model, for tests and for trying out other parts."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, final

from rapo_lightning.types import Failure, Video

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FakeGenerator"]


@final
class FakeGenerator:
    """Draws a square that crosses a plain background; both colours come from the text and the seed. Writes real mp4 files.

    Args:
        frames: number of frames.
        size: height and width in pixels, an even number.
        fps: frames a second.
        fail_on: texts that contain this are answered by a failure.
        journal: a file that gets one line, the path, for each video that was written, so that a test can count them.
    """

    def __init__(
        self, frames: int = 4, size: int = 32, fps: float = 8.0, fail_on: str | None = None, journal: str | None = None
    ) -> None:
        self.frames = frames
        self.size = size
        self.fps = fps
        self.fail_on = fail_on
        self.journal = journal

    def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        """One video a text and seed."""
        return [self._one(text, seed, path) for text, seed, path in zip(texts, seeds, paths, strict=True)]

    def _one(self, text: str, seed: int, path: str) -> Video | Failure:
        from rapo_lightning.video import write_video

        if self.fail_on is not None and self.fail_on in text:
            return Failure(error=f"the fake generator fails on {self.fail_on!r}")
        write_video(path, self._draw(text, seed), self.fps)
        if self.journal is not None:
            with Path(self.journal).open("a") as journal:
                journal.write(f"{path}\n")
        return Video(path=path, seed=seed, frames=self.frames, fps=self.fps, height=self.size, width=self.size)

    def _draw(self, text: str, seed: int) -> NDArray[np.uint8]:
        """Frames, shape (frames, size, size, 3)."""
        import numpy as np

        colours = hashlib.sha256(f"{seed} {text}".encode()).digest()
        frames_THWC = np.empty((self.frames, self.size, self.size, 3), np.uint8)
        frames_THWC[:] = list(colours[:3])
        side = self.size // 4
        for number, frame_HWC in enumerate(frames_THWC):
            left = number * (self.size - side) // max(self.frames - 1, 1)
            frame_HWC[side : 2 * side, left : left + side] = list(colours[3:6])
        return frames_THWC
