"""Which frames of a video are looked at."""

from __future__ import annotations

import numpy as np

__all__ = ["middle", "spaced"]


def middle(count: int, total: int) -> list[int]:
    """The middle frame of each of ``count`` equal parts of ``total`` frames; a shorter video repeats its last one.

    Always ``count`` indices. Source: VBench, vbench/utils.py:68-93.
    """
    if count < 1 or total < 1:
        raise ValueError(f"{count} of {total} frames")
    parts = min(count, total)
    edges = np.linspace(0, total, parts + 1).astype(int)
    chosen = ((edges[:-1] + edges[1:] - 1) // 2).tolist()
    return [*chosen, *chosen[-1:] * (count - parts)]


def spaced(fps: float, total: int, wanted_fps: float = 8.0) -> list[int]:
    """Every so many-th frame, from the first on, for about ``wanted_fps`` frames a second (VBench, dynamic_degree.py)."""
    return list(range(0, total, max(1, round(fps / wanted_fps))))
