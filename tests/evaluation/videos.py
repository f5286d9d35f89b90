"""Small videos for the tests of the evaluation: moving noise, in memory or as an mp4 file."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

from evaluation.video.clip import Clip

__all__ = ["clip_of", "moving", "write_mp4"]


def moving(frames: int, height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 (T, H, W, 3): a soft random picture that wanders, with some noise."""
    generator = np.random.default_rng(seed)
    coarse = generator.uniform(0, 255, (5, 6, 3))
    rows = np.linspace(0, 4, height + 2 * frames).round().astype(int)
    columns = np.linspace(0, 5, width + 3 * frames).round().astype(int)
    picture = coarse[rows][:, columns]
    views = [picture[2 * t : 2 * t + height, 3 * t : 3 * t + width] for t in range(frames)]
    noisy = np.stack(views) + generator.normal(0, 12, (frames, height, width, 3))
    return np.clip(noisy, 0, 255).astype(np.uint8)


def clip_of(frames: int, height: int, width: int, seed: int = 0, fps: float = 8.0) -> Clip:
    """A `Clip` of `moving` frames that comes from no file."""
    return Clip(frames_THWC=moving(frames, height, width, seed), fps=fps, sha256=f"{seed:064x}", path=f"{seed}.mp4")


def write_mp4(path: Path, frames_THWC: np.ndarray, fps: int = 8) -> Path:
    """An H.264 file of these frames, index first, so that a cut file still opens."""
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames_THWC:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path
