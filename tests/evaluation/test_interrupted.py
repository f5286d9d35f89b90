"""An evaluation that is killed or asked to stop leaves no process and no frames behind, and the same command goes on."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evaluation.output.table import read_rows
from evaluation.video.ahead import Ahead, _Decoder
from evaluation.video.clip import Clip
from tests.evaluation.videos import moving, write_mp4
from tests.house.modules import ROOT


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("videos")
    for number in range(30):
        write_mp4(folder / f"a cat-{number}.mp4", moving(10, 160, 160, number))
    return folder


def order(videos: Path, out: Path, processes: int) -> list[str]:
    call = [sys.executable, "-m", "evaluation", "run", "--videos_path", str(videos), "--mode", "custom_input"]
    return [*call, "--dimension", "ssim_adj", "--output_path", str(out), "--device", "cpu", "--ngpus", str(processes)]


def until(true: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "in vain"
        time.sleep(0.01)


def below(pid: int) -> set[int]:
    """The processes that one has started, and those that these have."""
    pairs = [line.split() for line in subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True).splitlines()]
    children = {int(child) for child, parent in pairs if int(parent) == pid}
    return children.union(*(below(child) for child in children))


def is_gone(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return not state or state.startswith("Z")  # a zombie waits for whoever adopted it


def found(out: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in out.glob("findings-*"))


@pytest.mark.parametrize(
    ("sent", "to_all", "processes", "code"),
    [
        (signal.SIGTERM, False, 1, 75),
        (signal.SIGTERM, True, 2, 75),
        (signal.SIGINT, True, 2, 130),
        (signal.SIGKILL, False, 2, -9),
    ],
)
def test_nothing_outlives_an_evaluation(
    videos: Path, tmp_path: Path, sent: signal.Signals, to_all: bool, processes: int, code: int
) -> None:
    out = tmp_path / "out"
    process = subprocess.Popen(order(videos, out, processes), cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
    until(lambda: found(out) >= 2)
    started = below(process.pid)
    assert len(started) >= processes
    (os.killpg if to_all else os.kill)(process.pid, sent)
    _, said = process.communicate()
    assert (process.returncode, b"Traceback" in said) == (code, False)
    until(lambda: all(map(is_gone, started)), 20)
    known = found(out)
    assert known < 30
    again = subprocess.run(order(videos, out, 1), cwd=ROOT, capture_output=True, text=True, check=True)
    assert f"{known} are there already" in again.stderr
    assert len(read_rows(out / "scores.csv")) == len({row.position for row in read_rows(out / "scores.csv")}) == 30


def test_frames_have_no_name_once_they_are_written(videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that nothing is left of them, whoever is killed."""
    seen: list[list[str]] = []
    real = mmap.mmap

    def mapped(handle: int, size: int) -> mmap.mmap:
        seen.append([path.name for path in tmp_path.iterdir()])
        return real(handle, size)

    monkeypatch.setattr("evaluation.video.ahead._SHARED", tmp_path / "none")
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr("mmap.mmap", mapped)
    with Ahead() as decoders:
        (clip,) = decoders.clips([str(videos / "a cat-0.mp4")])
    assert seen == [[]]
    assert len(getattr(clip, "frames_THWC", ())) == 10


def test_a_video_too_large_for_shared_memory_goes_to_a_temporary_file(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Room is known only when the frames are there; here none of them fit into where they go first."""
    (tmp_path / "shared").mkdir()
    tried: list[Path] = []
    real = _Decoder._clip

    def clip(decoder: _Decoder, path: str, folder: Path) -> Clip:
        tried.append(folder)
        if len(tried) == 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(decoder, path, folder)

    monkeypatch.setattr("evaluation.video.ahead._SHARED", tmp_path / "shared")
    monkeypatch.setattr("evaluation.video.ahead._ROOM", 0)
    monkeypatch.setattr(_Decoder, "_clip", clip)
    with Ahead() as decoders:
        (decoded,) = decoders.clips([str(videos / "a cat-0.mp4")])
    assert tried == [tmp_path / "shared", Path(tempfile.gettempdir())]
    assert len(getattr(decoded, "frames_THWC", ())) == 10
