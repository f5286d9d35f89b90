"""A video as all its frames, decoded once for all metrics, and the record that says what it should show."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evaluation.errors import ClipError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Clip", "Record", "decode"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A decoded video, and what metrics have found out about it that others need, too.

    Attributes:
        frames_THWC: uint8 RGB, (T, H, W, 3), T >= 2.
        fps: average frames a second.
        sha256: of the file.
        path: the file.
    """

    frames_THWC: NDArray[np.uint8]
    fps: float
    sha256: str
    path: str
    _found: dict[Hashable, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def frames_TCHW(self) -> torch.Tensor:
        """The same frames as a tensor, uint8 (T, 3, H, W), a view."""
        return torch.from_numpy(self.frames_THWC).permute(0, 3, 1, 2)

    def on(self, device: str | torch.device) -> torch.Tensor:
        """`frames_TCHW` on a device, moved there once for all metrics."""
        device = torch.device(device)
        return self.frames_TCHW if device.type == "cpu" else self.once(device, lambda: self.frames_TCHW.to(device))

    def once(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """``compute()``, the first time that any metric asks for ``key``; the same answer ever after.

        A key holds whatever the answer depends on, the backbone object first: ``(backbone, "clip_f")``.
        """
        if key not in self._found:
            self._found[key] = compute()
        return self._found[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of the manifest: a video and what it should show.

    Attributes:
        index: its place in the manifest; sums are taken in this order.
        video: the file.
        prompt: the original prompt, never the optimised one: every metric scores against it.
        prompt_id: what pairs the variants of one prompt; resampling draws prompts.
        variant: "original", "optimised", or any other name of an arm.
        prompt_optimised: what the video was made from, for the report.
        seed: of the video; variants are paired by prompt_id and seed.
        sample: which of a prompt's videos, from 0 (the manifest's ``index``).
        dimensions: the metrics that this video is for; empty: every one.
        auxiliary_info: what a dimension needs beside the prompt, by the dimension's name.
    """

    index: int
    video: str = ""
    prompt: str = ""
    prompt_id: str = ""
    variant: str = "original"
    prompt_optimised: str | None = None
    seed: int | None = None
    sample: int = 0
    dimensions: tuple[str, ...] = ()
    auxiliary_info: Mapping[str, Any] = field(default_factory=dict)


def decode(path: str | Path) -> Clip:
    """All frames of a video file, as FFmpeg's ``rgb24``: the frames that decord and OpenCV give, bit for bit.

    Raises:
        ClipError: the file is ``missing``, ``unreadable``, ``empty`` or ``corrupt`` (a decoder error, or fewer frames than the
            header declares), or has one frame only (``too_short``).
    """
    sha256 = _sha256(Path(path))
    frames, declared, fps = _frames(path)
    if not frames:
        raise ClipError("corrupt", f"{path}: holds no frame")
    if len(frames) < declared:
        raise ClipError("corrupt", f"{path}: {len(frames)} of {declared} frames can be decoded")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise ClipError("corrupt", f"{path}: frames change their size")
    if not fps > 0:
        raise ClipError("corrupt", f"{path}: no frame rate")
    if len(frames) < 2:
        raise ClipError("too_short", f"{path}: one frame is no video")
    return Clip(frames_THWC=np.stack(frames), fps=fps, sha256=sha256, path=str(path))


def _sha256(path: Path) -> str:
    """The file's hash, once it is there and not empty."""
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not file.tell():
                raise ClipError("empty", f"{path}: the file is empty")
    except FileNotFoundError as error:
        raise ClipError("missing", f"{path}: no such file") from error
    except OSError as error:
        raise ClipError("unreadable", f"{path}: {error.strerror}") from error
    return digest


def _frames(path: str | Path) -> tuple[list[NDArray[np.uint8]], int, float]:
    """(frames, how many the header declares or 0, average frames a second or 0)."""
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ClipError("corrupt", f"{path}: holds no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            frames: list[NDArray[np.uint8]] = []
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ClipError("corrupt", f"{path}: frame {len(frames)} is damaged")
                frames.append(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))
            return frames, int(stream.frames), float(stream.average_rate or 0)
    except (av.FFmpegError, ValueError) as error:
        raise ClipError("corrupt", f"{path}: {error}") from error
