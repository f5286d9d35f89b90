"""A video file frame by frame, within limits; what both the decoder in this process and the ones beside it do."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evaluation.errors import ClipError
from evaluation.paths import is_file, is_there

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Header", "Limits", "decode_into", "file_sha256", "seconds_of"]


#: A playlist, whatever its file is called, reaches no further than this machine.
_OPTIONS = {"protocol_whitelist": "file"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a foreign file may take before it becomes an error.

    Attributes:
        frames: at most; pixels: bytes of all decoded frames (T * H * W * 3), at most.
        seconds: of wall time for one file; memory: bytes of address space of a decoding process (both only there).
    """

    frames: int = 20_000
    pixels: int = 8 * 2**30
    seconds: float = 300.0
    memory: int = 4 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What is known of a decoded file: number of frames, size in pixels, average frames a second, hash."""

    frames: int
    height: int
    width: int
    fps: float
    sha256: str


def decode_into(path: str | Path, take: Callable[[NDArray[np.uint8]], object], limits: Limits) -> Header:
    """Give every frame, uint8 RGB (H, W, 3), to ``take``, in order: FFmpeg's ``rgb24``, bit for bit as decord and OpenCV.

    Raises:
        ClipError: the file is ``missing``, ``unreadable``, ``empty`` or ``corrupt`` (a decoder error, or fewer frames than the
            header declares), has one frame only (``too_short``) or more than the limits (``too_large``).
    """
    sha256 = file_sha256(path)
    size, count, declared, fps = _frames(path, take, limits)
    if size is None:
        raise ClipError("corrupt", f"{path}: holds no frame")
    if count < declared:
        raise ClipError("corrupt", f"{path}: {count} of {declared} frames can be decoded")
    if count < 2:
        raise ClipError("too_short", f"{path}: one frame is no video")
    if not fps > 0:
        raise ClipError("corrupt", f"{path}: no frame rate")
    return Header(frames=count, height=size[0], width=size[1], fps=fps, sha256=sha256)


def seconds_of(path: str | Path) -> float | None:
    """How long a file says that it lasts: frames over frames a second; None where it says nothing or cannot be read."""
    import av

    try:
        with av.open(_local(path), options=_OPTIONS) as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or 0)
            if fps > 0:  # a container's own duration is that of its longest track
                frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
                return frames / fps
            return None if container.duration is None else container.duration / av.time_base
    except (av.FFmpegError, OSError, ValueError, IndexError):
        return None


def file_sha256(path: str | Path) -> str:
    """The file's hash, once it is there and not empty.

    Raises:
        ClipError: it is ``missing``, ``unreadable`` or ``empty``.
    """
    try:
        if is_there(path) and not is_file(path):
            raise ClipError("unreadable", f"{path}: no regular file")
        with Path(path).open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            if not file.tell():
                raise ClipError("empty", f"{path}: the file is empty")
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:  # a NUL is in no file's name
        raise ClipError("missing", f"{path}: no such file") from error
    except OSError as error:
        raise ClipError("unreadable", f"{path}: {error.strerror}") from error
    return digest


def _local(path: str | Path) -> str:
    """The path in a form that FFmpeg takes for nothing but a file's, though a name begin with ``http:``.

    Raises:
        ValueError: it is no regular file; one could be waited for without end.
    """
    if not is_file(path):
        raise ValueError(f"{path}: no regular file")
    return str(Path(path).absolute())


def _frames(
    path: str | Path, take: Callable[[NDArray[np.uint8]], object], limits: Limits
) -> tuple[tuple[int, int] | None, int, int, float]:
    """(size of the frames, how many, how many the header declares or 0, average frames a second or 0)."""
    import av

    size: tuple[int, int] | None = None
    count = 0
    try:
        with av.open(_local(path), options=_OPTIONS) as container:
            if not container.streams.video:
                raise ClipError("corrupt", f"{path}: holds no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ClipError("corrupt", f"{path}: frame {count} is damaged")
                if size is None:
                    size = (frame.height, frame.width)
                elif size != (frame.height, frame.width):
                    raise ClipError("corrupt", f"{path}: frames change their size")
                count += 1
                if count > limits.frames or count * size[0] * size[1] * 3 > limits.pixels:
                    raise ClipError(
                        "too_large",
                        f"{path}: more than {limits.frames} frames, or {limits.pixels / 2**30:.3g} GiB of pixels "
                        f"({size[1]}x{size[0]}, {count} frames so far, {stream.frames or 'no number'} declared)",
                    )
                take(np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8))
            return size, count, int(stream.frames), float(stream.average_rate or 0)
    except (av.FFmpegError, ValueError) as error:
        if getattr(error, "errno", None) == errno.ENOMEM:
            raise MemoryError(str(error)) from error
        raise ClipError("corrupt", f"{path}: {error}") from error
