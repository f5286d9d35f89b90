"""The decoder's process: ``{"path": ..., "target": ...}`` a line on stdin; frames go to the target, an answer to stdout.

Without a target it only tells how long the file lasts.

It ends with its parent, as its stdin does. Nothing here imports torch.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from evaluation.errors import ClipError
from evaluation.video.decoding import Limits, decode_into, seconds_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["main"]


def main() -> None:
    """Answer requests until there are no more."""
    frames, pixels, memory = json.loads(sys.argv[1])
    _hold(memory)
    limits = Limits(frames=frames, pixels=pixels)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line), limits)), flush=True)


def _hold(memory: int) -> None:
    """No more address space than ``memory`` bytes, where the system can hold a process to it."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


def _answer(request: Mapping[str, str], limits: Limits) -> dict[str, Any]:
    path = request["path"]
    if "target" not in request:
        return {"seconds": seconds_of(path)}
    try:
        with Path(request["target"]).open("wb", buffering=0) as target:
            Path(request["target"]).unlink()  # the parent has it open, too: nothing stays behind, whoever is killed
            header = decode_into(path, lambda frame: _write(target.fileno(), frame), limits)
    except ClipError as error:
        return {"code": error.code, "message": str(error)}
    except MemoryError:
        return {"code": "too_large", "message": f"{path}: decoding takes more memory than it may"}
    except OSError as error:
        return {"errno": error.errno, "message": f"frames of {path} cannot be kept: {error.strerror}"}
    return asdict(header)


def _write(handle: int, frame: NDArray[np.uint8]) -> None:
    view = np.ascontiguousarray(frame).data.cast("B")
    while view:
        view = view[os.write(handle, view) :]
