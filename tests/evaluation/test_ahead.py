"""Decoding in other processes: the same clips in the same order, and files that kill, block or fill a decoder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from evaluation.errors import ClipError
from evaluation.video import ahead as module
from evaluation.video.ahead import Ahead
from evaluation.video.clip import Clip, decode
from evaluation.video.decoding import Limits
from tests.evaluation.videos import moving, write_mp4


@pytest.mark.parametrize("workers", [1, 3])
def test_the_same_clips_in_the_same_order(tmp_path: Path, workers: int) -> None:
    paths = [str(write_mp4(tmp_path / f"{n}.mp4", moving(3 + n, 64 + 2 * n, 48, n))) for n in range(5)]
    (tmp_path / "bad.mp4").write_bytes(b"no video at all")
    asked = [*paths[:2], str(tmp_path / "bad.mp4"), str(tmp_path / "none.mp4"), *paths[2:], paths[0]]
    with Ahead(workers=workers) as ahead:
        found = list(ahead.clips(asked))
        again = list(ahead.clips(paths[:1]))
    assert [clip.code if isinstance(clip, ClipError) else clip.path for clip in found] == [
        *paths[:2], "corrupt", "missing", *paths[2:], paths[0]
    ]  # fmt: skip
    for clip in (*found, *again):
        if isinstance(clip, Clip):
            alone = decode(clip.path)
            assert np.array_equal(clip.frames_THWC, alone.frames_THWC)
            assert (clip.fps, clip.sha256) == (alone.fps, alone.sha256)
            assert clip.frames_TCHW.sum() > 0, "a tensor without copy or warning"


def test_no_more_than_one_clip_a_worker_and_one_lies_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_mp4(tmp_path / "a.mp4", moving(3, 64, 48)))
    asked: list[str] = []
    real = module._Decoder.clip
    monkeypatch.setattr(module._Decoder, "clip", lambda self, path: asked.append(path) or real(self, path))  # type: ignore[func-returns-value]
    with Ahead(workers=2) as ahead:
        clips = ahead.clips([path] * 9)
        next(clips)
        time.sleep(0.3)
        assert len(asked) == 4, "three ahead, and the one that was taken"
        assert len(list(clips)) == 8


def test_limits_of_frames_and_pixels(tmp_path: Path) -> None:
    path = str(write_mp4(tmp_path / "long.mp4", moving(12, 64, 48)))
    for limits in (Limits(frames=11), Limits(pixels=12 * 64 * 48 * 3 - 1)):
        with Ahead(limits) as ahead:
            (error,) = ahead.clips([path])
        assert isinstance(error, ClipError)
        assert error.code == "too_large"
        assert "12" in str(error)
    with Ahead(Limits(frames=12, pixels=12 * 64 * 48 * 3)) as ahead:
        (clip,) = ahead.clips([path])
    assert isinstance(clip, Clip)


def test_a_decoder_that_takes_too_much_memory(tmp_path: Path) -> None:
    path = str(write_mp4(tmp_path / "large.mp4", moving(3, 1080, 1920)))
    with Ahead(Limits(memory=400 * 2**20)) as ahead:
        (error,) = ahead.clips([path])
    assert isinstance(error, ClipError)
    assert error.code in ("too_large", "corrupt")


def test_a_file_that_blocks_spoils_nothing_else(tmp_path: Path) -> None:
    good = str(write_mp4(tmp_path / "good.mp4", moving(3, 64, 48)))
    slow = str(write_mp4(tmp_path / "slow.mp4", moving(40, 256, 256)))
    with Ahead() as ahead:
        (first,) = ahead.clips([good])
        (decoder,) = ahead._started
        decoder.limits = Limits(seconds=0.001)
        (blocked,) = ahead.clips([slow])
        decoder.limits = Limits()
        (after,) = ahead.clips([good])
    assert [getattr(clip, "code", "fine") for clip in (first, blocked, after)] == ["fine", "too_slow", "fine"]


def test_a_decoder_that_dies_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = str(write_mp4(tmp_path / "good.mp4", moving(3, 64, 48)))
    deadly = "import os, sys; sys.stdin.readline(); os.kill(os.getpid(), 11)"
    real = subprocess.Popen
    with Ahead() as ahead:
        with monkeypatch.context() as patch:
            patch.setattr(module.subprocess, "Popen", lambda command, **more: real([sys.executable, "-c", deadly], **more))
            (error,) = ahead.clips([good])
        assert isinstance(error, ClipError)
        assert (error.code, "died" in str(error)) == ("corrupt", True)
        (clip,) = ahead.clips([good])
        assert isinstance(clip, Clip)


def test_no_room_for_frames_is_not_the_video_s_fault(tmp_path: Path) -> None:
    path = str(write_mp4(tmp_path / "a.mp4", moving(9, 256, 256)))
    with Ahead() as ahead:
        next(ahead.clips([path]))
        decoder = ahead._started[0]
        assert decoder.process is not None
        import resource

        resource.prlimit(decoder.process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
        signal_before = signal.getsignal(signal.SIGXFSZ)
        with pytest.raises(OSError, match=r"too large|cannot be kept"):
            list(ahead.clips([path]))
        assert signal.getsignal(signal.SIGXFSZ) == signal_before


def test_no_process_and_no_file_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = str(write_mp4(tmp_path / "a.mp4", moving(3, 64, 48)))
    (tmp_path / "shared").mkdir()  # other evaluations of this machine have frames in the usual place
    monkeypatch.setattr(module, "_SHARED", tmp_path / "shared")
    monkeypatch.setattr(module, "_ROOM", 0)
    targets: list[str] = []
    real = module.tempfile.mkstemp
    monkeypatch.setattr(module.tempfile, "mkstemp", lambda **more: targets.append(str(more["dir"])) or real(**more))  # type: ignore[func-returns-value]
    with Ahead() as ahead:
        next(ahead.clips([path] * 5))
        pid = ahead._started[0].process.pid  # type: ignore[union-attr]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert set(targets) == {str(tmp_path / "shared")}
    assert not list((tmp_path / "shared").iterdir())


def test_how_long_files_last(tmp_path: Path) -> None:
    paths = [str(write_mp4(tmp_path / f"{n}.mp4", moving(n, 64, 48), fps=8)) for n in (4, 12)]
    (tmp_path / "text.mp4").write_bytes(b"no video")
    with Ahead() as ahead:
        assert ahead.seconds([*paths, str(tmp_path / "text.mp4"), str(tmp_path / "none.mp4")]) == [0.5, 1.5, None, None]
