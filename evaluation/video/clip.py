"""A video as all its frames, decoded once for all metrics."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from evaluation.video.decoding import Limits, decode_into
from evaluation.video.record import Record

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


def decode(path: str | Path, limits: Limits | None = None) -> Clip:
    """All frames of a video file, decoded in this process; see `decode_into` for errors."""
    frames: list[NDArray[np.uint8]] = []
    header = decode_into(path, frames.append, limits or Limits())
    return Clip(frames_THWC=np.stack(frames), fps=header.fps, sha256=header.sha256, path=str(path))
