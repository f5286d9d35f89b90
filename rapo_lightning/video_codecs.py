"""Encodes, decodes and probes a video file with PyAV or with OpenCV; `rapo_lightning.video` chooses and checks.

Frames are uint8 RGB arrays, suffix THWC: T frames, H rows, W columns, C = 3 colours.
"""

from __future__ import annotations

import errno
import math
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning.errors import VideoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_limits", "decode_av", "decode_cv2", "encode_av", "encode_cv2", "probe_av", "probe_cv2"]

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


def encode_av(path: Path, frames_THWC: NDArray[np.uint8], fps: float) -> None:
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


def encode_cv2(path: Path, frames_THWC: NDArray[np.uint8], fps: float) -> None:
    import cv2

    height, width = frames_THWC.shape[1:3]
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, (width, height))
    if not writer.isOpened():
        path.write_bytes(bytes(4096))  # raises where the disk or the folder is the reason
        raise OSError("OpenCV has no mp4v encoder; installing av is the better way")
    for frame_HWC in frames_THWC:
        writer.write(frame_HWC[..., ::-1])
    writer.release()
    if probe_cv2(path)[0] != len(frames_THWC):  # OpenCV says nothing of a disk that is full
        raise OSError(errno.EIO, "written in part; is there space left?")


def decode_av(path: str | Path, max_frames: int, max_pixels: int) -> NDArray[np.uint8]:
    import av

    frames: list[NDArray[np.uint8]] = []
    try:
        with av.open(str(path), options=DECODER) as container:
            stream = container.streams.video[0]
            stream.thread_type = "AUTO"
            for frame in container.decode(stream):
                check_limits(path, (len(frames) + 1, frame.height, frame.width), max_frames, max_pixels)
                frames.append(np.asarray(frame.reformat(format="rgb24", interpolation=TO_RGB).to_ndarray(), np.uint8))
            declared = stream.frames
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise VideoError(f"{path}: corrupt, or holds no video: {error}") from error
    return _stacked(path, frames, declared)


def decode_cv2(path: str | Path, max_frames: int, max_pixels: int) -> NDArray[np.uint8]:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    frames: list[NDArray[np.uint8]] = []
    ok, frame_HWC = capture.read()
    while ok:
        check_limits(path, (len(frames) + 1, *frame_HWC.shape[:2]), max_frames, max_pixels)
        frames.append(np.asarray(frame_HWC[..., ::-1], np.uint8))
        ok, frame_HWC = capture.read()
    declared = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
    capture.release()
    return _stacked(path, frames, declared)


def check_limits(path: str | Path, shape_THW: tuple[int, ...], max_frames: int, max_pixels: int) -> None:
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


def probe_av(path: str | Path) -> tuple[int, float, int, int]:
    import av

    try:
        with av.open(str(path), options=DECODER) as container:
            stream = container.streams.video[0]
            return stream.frames, float(stream.average_rate or 0), stream.height, stream.width
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise VideoError(f"{path}: corrupt, or holds no video: {error}") from error


def probe_cv2(path: str | Path) -> tuple[int, float, int, int]:
    import cv2

    capture = cv2.VideoCapture(str(path), cv2.CAP_FFMPEG)
    keys = (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS, cv2.CAP_PROP_FRAME_HEIGHT, cv2.CAP_PROP_FRAME_WIDTH)
    frames, fps, height, width = (capture.get(key) for key in keys)
    capture.release()
    return max(0, int(frames)), fps, int(height), int(width)
