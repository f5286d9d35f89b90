"""A file gives all its frames once, and a broken one an error with a code, never frames."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from evaluation.errors import CODES, ClipError
from evaluation.video.clip import decode
from tests.evaluation.videos import moving, write_mp4


@pytest.mark.parametrize(("frames", "height", "width", "fps"), [(2, 32, 48, 8), (9, 50, 34, 15), (17, 64, 64, 24)])
def test_frames_are_those_that_opencv_gives(tmp_path: Path, frames: int, height: int, width: int, fps: int) -> None:
    path = write_mp4(tmp_path / "a.mp4", moving(frames, height, width), fps)
    clip = decode(path)
    reader, expected = cv2.VideoCapture(str(path)), []
    while (read := reader.read())[0]:
        expected.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    assert np.array_equal(clip.frames_THWC, np.stack(expected))
    assert clip.frames_THWC.shape == (frames, height, width, 3)
    assert clip.frames_THWC.dtype == np.uint8
    assert clip.fps == fps
    assert clip.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert clip.frames_TCHW.dtype == torch.uint8
    assert torch.equal(clip.frames_TCHW[1, 2], torch.from_numpy(clip.frames_THWC[1, :, :, 2]))


def code_of(path: Path) -> str:
    with pytest.raises(ClipError) as caught:
        decode(path)
    assert str(path) in str(caught.value)
    return caught.value.code


def test_what_cannot_be_read_has_a_code(tmp_path: Path) -> None:
    assert code_of(tmp_path / "absent.mp4") == "missing"
    (tmp_path / "folder.mp4").mkdir()
    assert code_of(tmp_path / "folder.mp4") == "unreadable"
    (tmp_path / "empty.mp4").touch()
    assert code_of(tmp_path / "empty.mp4") == "empty"
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    assert code_of(tmp_path / "noise.mp4") == "corrupt"


def test_one_frame_is_too_short(tmp_path: Path) -> None:
    assert code_of(write_mp4(tmp_path / "one.mp4", moving(1, 32, 32))) == "too_short"


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_cut_file_is_corrupt(tmp_path: Path, share: float) -> None:
    whole = write_mp4(tmp_path / "whole.mp4", moving(24, 64, 64)).read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: int(share * len(whole))])
    assert code_of(tmp_path / "cut.mp4") == "corrupt"


def test_an_error_has_a_known_code() -> None:
    assert "oom" in CODES
    with pytest.raises(ValueError, match="no error code"):
        ClipError("odd", "x")
