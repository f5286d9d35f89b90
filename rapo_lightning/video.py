"""Video files: write, read, probe, sample, poster. H.264 in mp4 through PyAV, or OpenCV's ``mp4v`` where PyAV is absent.

Frames are uint8 RGB arrays, suffix THWC: T frames, H rows, W columns, C = 3 colours.
Only mp4, mov, webm and mkv are opened, told by their first bytes, so that a playlist or a picture named ``.mp4`` is refused.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning import video_codecs as codecs
from rapo_lightning.errors import StorageError, VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["poster", "probe", "read_frames", "sample_frames", "write_video"]

#: Decoded videos by path, time and size of the file, oldest use first.
CACHE_BYTES = 2**30
_decoded: OrderedDict[tuple[str, int, int], NDArray[np.uint8]] = OrderedDict()
_decoded_lock = threading.Lock()


def write_video(path: str | Path, frames_THWC: NDArray[np.uint8], fps: float) -> None:
    """Write ``frames_THWC`` (T, H, W, 3) uint8 RGB as an mp4 of ``fps`` frames a second.

    The file appears whole or not at all and is the same, bit for bit, for the same frames. Odd heights and widths grow by one
    repeated row or column, as browsers play 4:2:0 video only. Parents are made.

    Raises:
        VideoError: no frames, another shape or type, a bad ``fps``, or the file cannot be written.
        StorageError: the disk is full, read-only or gone.
    """
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3 or not frames_THWC.size:
        raise VideoError(f"{path}: frames must be uint8 (T, H, W, 3), not {frames_THWC.dtype} {frames_THWC.shape}")
    if not 0 < fps <= 1000:
        raise VideoError(f"{path}: {fps} frames a second")
    _, height, width, _ = frames_THWC.shape
    if height % 2 or width % 2:
        frames_THWC = np.pad(frames_THWC, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    with _written_aside(Path(path), ".mp4") as aside:
        (codecs.encode_av if find_spec("av") else codecs.encode_cv2)(aside, np.ascontiguousarray(frames_THWC), fps)


def read_frames(path: str | Path, *, max_frames: int = 2048, max_pixels: int = 2**28) -> NDArray[np.uint8]:
    """All frames of a video: (T, H, W, 3) uint8 RGB, the caller's own copy.

    ``max_pixels`` bounds T x H x W. The last files decoded (up to 1 GiB) are kept, so several judges decode a video once.

    Raises:
        VideoError: the file is missing, empty, corrupt, of another kind, or beyond the limits.
    """
    stat = _checked(path)
    key = (str(Path(path).absolute()), stat.st_mtime_ns, stat.st_size)
    frames_THWC = _decoded.get(key)
    if frames_THWC is None:
        frames_THWC = (codecs.decode_av if find_spec("av") else codecs.decode_cv2)(path, max_frames, max_pixels)
    _remember(key, frames_THWC)
    codecs.check_limits(path, frames_THWC.shape[:3], max_frames, max_pixels)
    return frames_THWC.copy()


def probe(path: str | Path) -> tuple[int, float, int, int]:
    """``(frames, fps, height, width)`` from the file's header; frames are counted by decoding where the header is silent.

    Raises:
        VideoError: the file is missing, empty, corrupt or of another kind.
    """
    _checked(path)
    frames, fps, height, width = (codecs.probe_av if find_spec("av") else codecs.probe_cv2)(path)
    if not (height > 0 and width > 0 and fps > 0):
        raise VideoError(f"{path}: holds no video")
    return frames or len(read_frames(path)), fps, height, width


def sample_frames(frames_THWC: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """``count`` evenly spaced frames with the first and the last (one: the middle), at most all: (min(count, T), H, W, 3)."""
    if count < 1:
        raise ValueError(f"{count} frames asked for")
    total = len(frames_THWC)
    if count == 1:
        return frames_THWC[[total // 2]]
    chosen: NDArray[np.uint8] = frames_THWC[np.linspace(0, total - 1, min(count, total)).round().astype(int)]
    return chosen


def poster(path: str | Path, out: str | Path, *, count: int = 1, max_height: int = 240) -> None:
    """A small still of the video at ``path``, e.g. a ``.webp``: ``count`` evenly spaced frames side by side (1: the middle).

    Frames taller than ``max_height`` pixels are scaled down. ``out``'s suffix names the format; it appears whole or not at all.

    Raises:
        VideoError: as `read_frames`, or the still cannot be written.
        StorageError: the disk is full, read-only or gone.
    """
    from PIL import Image

    strip_HWC = np.concatenate(list(sample_frames(read_frames(path), count)), axis=1)
    still = Image.fromarray(strip_HWC)
    if still.height > max_height:
        still = still.resize((max(1, round(still.width * max_height / still.height)), max_height), Image.Resampling.LANCZOS)
    with _written_aside(Path(out), Path(out).suffix) as aside:
        still.save(aside, quality=85)


@contextmanager
def _written_aside(target: Path, suffix: str) -> Iterator[Path]:
    """A hidden file beside ``target`` that takes its place once written; ``suffix`` stays last, as encoders go by it."""
    aside = target.with_name(f".{target.stem}.{os.getpid()}-{threading.get_ident()}{suffix}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        yield aside
        aside.replace(target)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in StorageError.ERRNOS:
            raise StorageError.of(target, error) from error
        raise VideoError(f"{target}: cannot be written: {error}") from error
    finally:
        with suppress(OSError):
            aside.unlink()


def _remember(key: tuple[str, int, int], frames_THWC: NDArray[np.uint8]) -> None:
    """Keep a decoded video as the most recently used, and of all of them no more than `CACHE_BYTES`."""
    with _decoded_lock:
        _decoded[key] = frames_THWC
        _decoded.move_to_end(key)
        while sum(frames.nbytes for frames in _decoded.values()) > CACHE_BYTES:
            _decoded.popitem(last=False)


def _checked(path: str | Path) -> os.stat_result:
    """The file's stat, once its first bytes are those of mp4, mov (``ftyp``) or of webm, mkv (EBML)."""
    try:
        stat = Path(path).stat()
        with Path(path).open("rb") as file:
            head = file.read(12)
    except OSError as error:
        raise VideoError(f"{path}: cannot be read: {error.strerror}") from error
    if not head:
        raise VideoError(f"{path}: the file is empty")
    if head[4:8] != b"ftyp" and head[:4] != b"\x1a\x45\xdf\xa3":
        raise VideoError(f"{path}: not an mp4, mov, webm or mkv file")
    return stat
