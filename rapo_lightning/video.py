"""Video files: write, read, probe, sample, poster. H.264 in mp4 through PyAV, or OpenCV's ``mp4v`` where PyAV is absent.

Frames are uint8 RGB arrays, suffix THWC: T frames, H rows, W columns, C = 3 colours.
Only mp4, mov, webm and mkv are opened, told by their first bytes, so that a playlist or a picture named ``.mp4`` is refused.
"""

from __future__ import annotations

import errno
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning.errors import StorageError, VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["poster", "probe", "read_frames", "sample_frames", "write_video"]

#: A fixed number of encoder threads, as x264's output depends on it. crf 10 is near lossless: judges should see the model's
#: artefacts, not the codec's. x264's macroblock tree reads beyond small frames (64x64), so that files differ from run to run.
ENCODER_THREADS = 4
ENCODER = {"crf": "10", "preset": "medium", "x264-params": "mbtree=0"}
#: Formats and decoders PyAV may use, and no other protocol than local files.
DECODER = {
    "protocol_whitelist": "file",
    "format_whitelist": "mov,mp4,matroska,webm",
    "codec_whitelist": "h264,mpeg4,vp8,vp9,libvpx,libvpx-vp9,libdav1d,av1",
}
#: FFmpeg's rounding is 2 levels too dark unless asked to be exact: area | accurate_rnd, bicubic | full_chroma | accurate_rnd.
TO_YUV = 0x20 | 0x40000
TO_RGB = 0x4 | 0x2000 | 0x40000
#: Decoded videos by path, time and size of the file, oldest use first.
CACHE_BYTES = 2**30
_decoded: OrderedDict[tuple[str, int, int], NDArray[np.uint8]] = OrderedDict()
_decoded_lock = threading.Lock()


def write_video(path: str | Path, frames_THWC: NDArray[np.uint8], fps: float) -> None:
    """Write ``frames_THWC`` (T, H, W, 3) uint8 RGB as an mp4 of ``fps`` frames a second.

    The file appears whole or not at all and is the same, bit for bit, for the same frames. Odd heights and widths grow by one
    repeated row or column, as browsers play 4:2:0 video only. Parents are made.

    Raises:
        VideoError, StorageError: no frames, another shape or type, a bad ``fps``; the file, or nothing, can be written there.
    """
    if frames_THWC.dtype != np.uint8 or frames_THWC.ndim != 4 or frames_THWC.shape[-1] != 3 or not frames_THWC.size:
        raise VideoError(f"{path}: frames must be uint8 (T, H, W, 3), not {frames_THWC.dtype} {frames_THWC.shape}")
    if not 0 < fps <= 1000:
        raise VideoError(f"{path}: {fps} frames a second")
    odd_rows, odd_columns = (side % 2 for side in frames_THWC.shape[1:3])
    frames_THWC = np.pad(frames_THWC, ((0, 0), (0, odd_rows), (0, odd_columns), (0, 0)), mode="edge")
    with _written_aside(Path(path), ".mp4") as aside:
        (_encode_av if find_spec("av") else _encode_cv2)(aside, np.ascontiguousarray(frames_THWC), fps)


def read_frames(path: str | Path, *, max_frames: int = 2048, max_pixels: int = 2**28) -> NDArray[np.uint8]:
    """All frames of a video: (T, H, W, 3) uint8 RGB, the caller's own copy.

    ``max_pixels`` bounds T x H x W. The last files decoded (up to 1 GiB) are kept, so several judges decode a video once.

    Raises:
        VideoError: the file is missing, empty, corrupt, of another kind, or beyond the limits.
    """
    stat = _checked(path)
    key = (str(Path(path).absolute()), stat.st_mtime_ns, stat.st_size)
    if (frames_THWC := _decoded.get(key)) is None:
        frames_THWC = (_decode_av if find_spec("av") else _decode_cv2)(path, max_frames, max_pixels)
    _remember(key, frames_THWC)
    _check_limits(path, frames_THWC.shape[:3], max_frames, max_pixels)
    return frames_THWC.copy()


def probe(path: str | Path) -> tuple[int, float, int, int]:
    """``(frames, fps, height, width)`` from the file's header; frames are counted by decoding where the header is silent.

    Raises:
        VideoError: the file is missing, empty, corrupt or of another kind.
    """
    _checked(path)
    frames, fps, height, width = (_probe_av if find_spec("av") else _probe_cv2)(path)
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
        VideoError, StorageError: as `read_frames`, and as `write_video` of the still.
    """
    from PIL import Image

    strip_HWC = np.concatenate(list(sample_frames(read_frames(path), count)), axis=1)
    if (still := Image.fromarray(strip_HWC)).height > max_height:
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


def _encode_av(path: Path, frames_THWC: NDArray[np.uint8], fps: float) -> None:
    import av

    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options=ENCODER)
        stream.height, stream.width = frames_THWC.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.thread_count = ENCODER_THREADS
        for frame_HWC in frames_THWC:
            rgb = av.VideoFrame.from_ndarray(frame_HWC, format="rgb24")
            container.mux(stream.encode(rgb.reformat(format="yuv420p", interpolation=TO_YUV)))
        container.mux(stream.encode())


def _encode_cv2(path: Path, frames_THWC: NDArray[np.uint8], fps: float) -> None:
    import cv2

    height, width = frames_THWC.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        path.write_bytes(bytes(4096))  # raises where the disk or the folder is the reason
        raise OSError("OpenCV has no mp4v encoder; installing av is the better way")
    for frame_HWC in frames_THWC:
        writer.write(frame_HWC[..., ::-1])
    writer.release()
    if _probe_cv2(path)[0] != len(frames_THWC):  # OpenCV says nothing of a disk that is full
        raise OSError(errno.EIO, "written in part; is there space left?")


def _decode_av(path: str | Path, max_frames: int, max_pixels: int) -> NDArray[np.uint8]:
    import av

    frames: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path), options=DECODER) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                _check_limits(path, (len(frames) + 1, frame.height, frame.width), max_frames, max_pixels)
                frames.append(np.asarray(frame.reformat(format="rgb24", interpolation=TO_RGB).to_ndarray(), np.uint8))
            declared = stream.frames
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise VideoError(f"{path}: corrupt, or holds no video: {error}") from error
    return _stacked(path, frames, declared)


def _decode_cv2(path: str | Path, max_frames: int, max_pixels: int) -> NDArray[np.uint8]:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames: list[NDArray[np.uint8]] = []
    while (answer := capture.read())[0]:
        _check_limits(path, (len(frames) + 1, *answer[1].shape[:2]), max_frames, max_pixels)
        frames.append(np.asarray(answer[1][..., ::-1], np.uint8))
    declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return _stacked(path, frames, declared)


def _check_limits(path: str | Path, shape_THW: tuple[int, ...], max_frames: int, max_pixels: int) -> None:
    if shape_THW[0] > max_frames or math.prod(shape_THW) > max_pixels:
        raise VideoError(f"{path}: more than {max_frames} frames or {max_pixels} pixels")


def _stacked(path: str | Path, frames: list[NDArray[np.uint8]], declared: int) -> NDArray[np.uint8]:
    """(T, H, W, 3), after the checks that a truncated or spliced file fails."""
    if not frames:
        raise VideoError(f"{path}: holds no frames")
    if len(frames) < declared:
        raise VideoError(f"{path}: truncated, {len(frames)} of {declared} frames can be read")
    if any(frame_HWC.shape != frames[0].shape for frame_HWC in frames):
        raise VideoError(f"{path}: the frames change size")
    return np.stack(frames)


def _probe_av(path: str | Path) -> tuple[int, float, int, int]:
    import av

    try:
        with av.open(str(path), options=DECODER) as container:
            stream = container.streams.video[0]
            return stream.frames, float(stream.average_rate or 0), stream.height, stream.width
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise VideoError(f"{path}: corrupt, or holds no video: {error}") from error


def _probe_cv2(path: str | Path) -> tuple[int, float, int, int]:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    keys = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
    frames, fps, height, width = (capture.get(key) for key in keys)
    capture.release()
    return max(0, int(frames)), fps, int(height), int(width)
