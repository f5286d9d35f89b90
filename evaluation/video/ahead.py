"""Decoding ahead, in processes of their own: a foreign file can break, fill or block one of them, never the evaluation.

with Ahead(limits) as ahead:
    for clip in ahead.clips(["a.mp4", "b.mp4"]): ...    # a Clip, or the ClipError that came in its place, in the same order
"""

from __future__ import annotations

import contextlib
import errno
import json
import mmap
import os
import select
import shutil
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self, final

import numpy as np

from evaluation.errors import ClipError
from evaluation.video.clip import Clip
from evaluation.video.decoding import Header, Limits

__all__ = ["Ahead", "workers_here"]

#: Where frames pass from process to process: memory, where there is room for a few long videos, else a temporary file.
_SHARED, _ROOM = Path("/dev/shm"), 4 * 2**30


def workers_here() -> int:
    """How many decoders suit this machine: a quarter of its cores, one to four."""
    return max(1, min(4, (os.cpu_count() or 1) // 4))


@final
class Ahead:
    """A few decoders that work while the caller does.

    Args:
        limits: of one file.
        workers: processes; one more clip than these is held decoded.
    """

    def __init__(self, limits: Limits | None = None, workers: int = 1) -> None:
        self.limits = limits or Limits()
        self.workers = workers
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="decode")
        self._mine = threading.local()
        self._started: list[_Decoder] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for decoder in self._started:
            decoder.closed = True
            decoder.stop()
        self._threads.shutdown()
        for decoder in self._started:
            decoder.stop()

    def clips(self, paths: Iterable[str]) -> Iterator[Clip | ClipError]:
        """Every file's clip, or why there is none.

        Raises:
            OSError: there is no room for frames, or no process can be started.
        """
        waiting: deque[Future[Clip | ClipError]] = deque()
        rest = iter(paths)
        with contextlib.suppress(StopIteration):
            for _ in range(self.workers + 1):
                waiting.append(self._threads.submit(self._clip, next(rest)))
        while waiting:
            clip = waiting.popleft().result()
            with contextlib.suppress(StopIteration):
                waiting.append(self._threads.submit(self._clip, next(rest)))
            yield clip
            del clip

    def clip(self, path: str) -> Clip:
        """One file's clip.

        Raises:
            ClipError: there is none.
            OSError: there is no room for frames, or no process can be started.
        """
        clip = self._threads.submit(self._clip, path).result()
        if isinstance(clip, ClipError):
            raise clip
        return clip

    def seconds(self, paths: Iterable[str]) -> list[float | None]:
        """How long each file says that it lasts; None where it cannot be read."""
        return list(self._threads.map(self._seconds, paths))

    def _clip(self, path: str) -> Clip | ClipError:
        try:
            return self._decoder().clip(path)
        except ClipError as error:
            return error

    def _seconds(self, path: str) -> float | None:
        try:
            return self._decoder().seconds(path)
        except ClipError:
            return None

    def _decoder(self) -> _Decoder:
        decoder: _Decoder | None = getattr(self._mine, "decoder", None)
        if decoder is None:
            decoder = self._mine.decoder = _Decoder(self.limits)
            self._started.append(decoder)
        return decoder


class _Decoder:
    """One process, started anew when it has died or had to be killed."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.process: subprocess.Popen[bytes] | None = None
        self.closed = False

    def clip(self, path: str) -> Clip:
        temporary = Path(tempfile.gettempdir())
        if _SHARED.is_dir() and shutil.disk_usage(_SHARED).free > _ROOM:
            try:
                return self._clip(path, _SHARED)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        return self._clip(path, temporary)

    def _clip(self, path: str, folder: Path) -> Clip:
        handle, target = tempfile.mkstemp(prefix="frames-", dir=folder)
        try:
            answer = self._ask({"path": path, "target": target}, path)
            if "code" in answer:
                raise ClipError(answer["code"], answer["message"])
            if "errno" in answer:
                raise OSError(answer["errno"], answer["message"], str(folder))
            header = Header(**answer)
            shape = (header.frames, header.height, header.width, 3)
            pixels = np.frombuffer(mmap.mmap(handle, int(np.prod(shape))), dtype=np.uint8)
        finally:
            os.close(handle)
            Path(target).unlink(missing_ok=True)
        return Clip(frames_THWC=pixels.reshape(shape), fps=header.fps, sha256=header.sha256, path=path)

    def seconds(self, path: str) -> float | None:
        lasts: float | None = self._ask({"path": path}, path)["seconds"]
        return lasts

    def _ask(self, request: dict[str, str], path: str) -> dict[str, Any]:
        if self.closed:
            raise ClipError("unreadable", f"{path}: the evaluation is over")
        process = self.process = self.process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        line = b""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], self.limits.seconds)
            if not ready:
                self.stop()
                raise ClipError("too_slow", f"{path}: not decoded within {self.limits.seconds:g} seconds")
            line = process.stdout.readline()
        if not line:
            code = process.wait()
            self.stop()
            raise ClipError("corrupt", f"{path}: the decoder died of it (exit status {code})")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
        limits = json.dumps([self.limits.frames, self.limits.pixels, self.limits.memory])
        return subprocess.Popen(
            [sys.executable, "-c", "from evaluation.video.worker import main; main()", limits],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths},
            start_new_session=True,  # Ctrl-C is for the evaluation, which stops this one
        )

    def stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
