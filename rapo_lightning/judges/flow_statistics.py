"""What moves in a clip, and how: statistics of dense optical flow with the camera's own motion taken out.

The published release averages the signed flow of 11 frame pairs: two things that move against each other cancel, and a camera pan
counts as motion of everything. Here magnitudes and directions are kept apart, per direction and per region, and the camera is
fitted first.

Units: a speed is in picture diagonals a second, so it does not depend on resolution or frame rate. x points right and y **up**.
Shapes: T frames make N = T - 1 pairs and N - 1 successions of pairs; 8 directions of 45 degrees go right, up right, up, ...
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rapo_lightning.judges.camera_motion import SplitFlow, follow, split_flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DIRECTIONS", "FlowStatistics", "measure"]

DIRECTIONS = ("right", "up right", "up", "up left", "left", "down left", "down", "down right")


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowStatistics:
    """The motion of a clip of ``fps`` frames a second. "Moving" pixels are those that do not move with the camera.

    Attributes:
        camera_NK: the picture's own motion a pair: pan x, pan y (diagonals/s), zoom (natural log of scale, 1/s), roll (rad/s).
            The camera moves the other way: a picture that moves right is a pan to the left.
        moving_N: share of the picture that moves.
        speed_N: mean speed of the moving pixels (diagonals/s), each weighted by its speed, as flow fades out around a moving
            thing and its slow rim would pull a plain mean down; 0 where none moves.
        velocity_N2: their mean velocity, weighted alike, in which opposite motions do cancel.
        centre_N2: where they are, (0, 0) bottom left to (1, 1) top right; nan where none moves.
        directions_ND: their share by direction, weighted by speed; a row sums to 1, or 0 where none moves.
        regions_33: mean speed in a 3 x 3 grid of the picture, top row first, over all its pixels.
        region_velocity_332: mean velocity there.
        smoothness_M: for each succession 1 - |change of flow| / (|flow before| + |flow after|), followed along the motion,
            in [0, 1]; nan where nothing moves.
        acceleration_M: mean change of velocity of the moving pixels (diagonals/s^2), 0 where none moves.
        still_N: pairs in which nothing moves, the camera included.
        flicker: mean change of brightness along the motion, in [0, 1].
    """

    fps: float
    camera_NK: NDArray[np.float64]
    moving_N: NDArray[np.float64]
    speed_N: NDArray[np.float64]
    velocity_N2: NDArray[np.float64]
    centre_N2: NDArray[np.float64]
    directions_ND: NDArray[np.float64]
    regions_33: NDArray[np.float64]
    region_velocity_332: NDArray[np.float64]
    smoothness_M: NDArray[np.float64]
    acceleration_M: NDArray[np.float64]
    still_N: NDArray[np.bool_]
    flicker: float

    @property
    def smoothness(self) -> float:
        """Mean of ``smoothness_M`` where something moves; 1 where nothing ever does."""
        known = self.smoothness_M[~np.isnan(self.smoothness_M)]
        return float(known.mean()) if len(known) else 1.0

    @property
    def directions(self) -> NDArray[np.float64]:
        """Shares of the 8 directions over the clip, weighted by speed and area; sums to 1, or 0 where nothing moves."""
        weights_D = (self.directions_ND * (self.speed_N * self.moving_N)[:, None]).sum(0)
        return np.asarray(weights_D / max(weights_D.sum(), 1e-12))


def measure(
    grey_THW: NDArray[np.uint8], fps: float, flow: Callable[[NDArray[np.uint8], NDArray[np.uint8]], NDArray[np.float32]]
) -> FlowStatistics:
    """Statistics of T >= 2 grey frames; ``flow(before, after)`` gives the (H, W, 2) motion in pixels, y down."""
    diagonal = math.hypot(*grey_THW.shape[1:])
    to_speed = fps / diagonal * np.array([1, -1], np.float32)
    to_camera = fps * np.array([1 / diagonal, -1 / diagonal, 1, -1])
    pairs: list[dict[str, Any]] = []
    successions: list[tuple[float, float]] = []
    regions_333 = np.zeros((3, 3, 3))
    earlier: SplitFlow | None = None
    for before_HW, after_HW in itertools.pairwise(grey_THW):
        split = split_flow(before_HW, after_HW, flow(before_HW, after_HW))
        pair = {"camera_NK": split.camera_K * to_camera, "still_N": split.still, "flicker": split.flicker}
        pairs.append(pair | _one_pair(split.object_HW2 * to_speed))
        regions_333 += _regions(split.object_HW2 * to_speed) / (len(grey_THW) - 1)
        if earlier is not None:
            smoothness, change = _succession(earlier, split.object_HW2)
            successions.append((smoothness, change * fps**2 / diagonal))
        earlier = split
    columns = {name: np.array([pair[name] for pair in pairs]) for name in pairs[0]}
    smoothness_M, acceleration_M = np.array(successions).reshape(-1, 2).T
    return FlowStatistics(
        fps=fps,
        flicker=float(columns.pop("flicker").mean()),
        **columns,
        regions_33=regions_333[..., 0],
        region_velocity_332=regions_333[..., 1:],
        smoothness_M=smoothness_M,
        acceleration_M=acceleration_M,
    )


def _one_pair(velocity_HW2: NDArray[np.float32]) -> dict[str, Any]:
    """Share, speed, velocity, centre and directions of the moving pixels of one pair."""
    moving_HW = velocity_HW2.any(-1)
    velocity_P2 = velocity_HW2[moving_HW].astype(np.float64)
    speed_P = np.linalg.norm(velocity_P2, axis=-1)
    some = len(speed_P) > 0
    sector_P = np.round(np.arctan2(velocity_P2[:, 1], velocity_P2[:, 0]) / (math.pi / 4)).astype(int) % 8
    weights_D = np.bincount(sector_P, weights=speed_P, minlength=8)
    rows, columns = np.nonzero(moving_HW)
    height, width = moving_HW.shape
    return {
        "moving_N": float(moving_HW.mean()),
        "speed_N": float(np.average(speed_P, weights=speed_P)) if some else 0.0,
        "velocity_N2": np.average(velocity_P2, axis=0, weights=speed_P) if some else np.zeros(2),
        "centre_N2": np.array([columns.mean() / (width - 1), 1 - rows.mean() / (height - 1)]) if some else np.full(2, np.nan),
        "directions_ND": weights_D / weights_D.sum() if some else np.zeros(8),
    }


def _regions(object_HW2: NDArray[np.float32]) -> NDArray[np.float64]:
    """(3, 3, 3): mean speed and mean velocity (x, y) of each region."""
    speed_HW1 = np.linalg.norm(object_HW2, axis=-1, keepdims=True)
    both_HW3 = np.concatenate([speed_HW1, object_HW2], -1)
    return np.array([[cell.mean((0, 1)) for cell in np.array_split(row, 3, 1)] for row in np.array_split(both_HW3, 3, 0)])


def _succession(earlier: SplitFlow, later_HW2: NDArray[np.float32]) -> tuple[float, float]:
    """Smoothness and mean change of flow (pixels) from one pair to the next, each pixel followed to where it went."""
    followed_HW2 = follow(later_HW2, earlier.target_HW2)
    change_HW = np.linalg.norm(followed_HW2 - earlier.object_HW2, axis=-1)
    most_HW = np.linalg.norm(followed_HW2, axis=-1) + np.linalg.norm(earlier.object_HW2, axis=-1)
    moving_HW = earlier.measured_HW & (most_HW > 0)
    if not moving_HW.any():
        return math.nan, 0.0
    return float(1 - change_HW[moving_HW].sum() / most_HW[moving_HW].sum()), float(change_HW[moving_HW].mean())
