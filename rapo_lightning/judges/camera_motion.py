"""Splits dense optical flow into the camera's motion and what moves against it.

The camera's motion is the similarity (shift, zoom, roll) that most of the picture follows, fitted by RANSAC. A pixel then moves
by itself only where the camera's motion explains its change worse than its own flow does: flow in flat areas is guesswork that
the flow methods fill in from the neighbourhood.

Shapes: H x W pixels; flow in pixels, x right and y down; brightness in levels of 255.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["SplitFlow", "follow", "split_flow"]

Pixel = TypeVar("Pixel", np.uint8, np.float32)

#: Flow below this is noise: in pixels, and as a share of the diagonal.
MIN_PIXELS, MIN_SHARE = 0.25, 0.0006
#: Fewer pixels than this share are specks.
MIN_AREA = 0.002
#: Flow near the border, where things leave the picture, is not measured.
MARGIN = 0.03
#: The camera's motion is that of at least this share of the picture; else there is none.
MIN_BACKGROUND = 0.4
#: A window of pixels is flat below this mean gradient (levels), and explained equally well within this difference plus half of
#: what is unexplained anyway, i.e. noise.
FLAT, EQUAL, WINDOW = 2.0, 1.5, (5, 5)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFlow:
    """The motion from one frame to the next.

    Attributes:
        camera_K: the picture's own motion: shift x and y of its centre (pixels), zoom (log of scale), roll (rad, clockwise).
        object_HW2: flow against the camera, zero where nothing moves by itself.
        target_HW2: where each pixel goes (float32 coordinates).
        measured_HW: pixels whose flow counts, i.e. all but the border and what leaves the picture.
        still: whether nothing moves, the camera included.
        flicker: mean change of brightness along the flow, in [0, 1].
    """

    camera_K: NDArray[np.float64]
    object_HW2: NDArray[np.float32]
    target_HW2: NDArray[np.float32]
    measured_HW: NDArray[np.bool_]
    still: bool
    flicker: float


def split_flow(before_HW: NDArray[np.uint8], after_HW: NDArray[np.uint8], flow_HW2: NDArray[np.float32]) -> SplitFlow:
    """The split of the flow between two grey frames."""
    import cv2

    height, width = before_HW.shape
    grid_HW2 = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1).astype(np.float32)
    target_HW2 = grid_HW2 + flow_HW2
    measured_HW = _inside(target_HW2) & _inside(grid_HW2)

    def unexplained(by_HW2: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.blur(cv2.absdiff(follow(after_HW, by_HW2), before_HW).astype(np.float32), WINDOW))

    own_HW = unexplained(target_HW2)
    equal = EQUAL + float(np.median(own_HW)) / 2
    at_rest_HW = unexplained(grid_HW2) <= own_HW + equal
    flat_HW = (
        cv2.blur(cv2.morphologyEx(before_HW, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)).astype(np.float32), WINDOW) < FLAT
    )
    camera_K, background_HW2, noise = _fit(np.where(at_rest_HW[..., None], 0, flow_HW2), measured_HW, flat_HW & at_rest_HW)
    threshold = max(MIN_PIXELS, MIN_SHARE * math.hypot(height, width), 4 * noise)

    object_HW2 = flow_HW2 - background_HW2
    moving_HW = measured_HW & (np.linalg.norm(object_HW2, axis=-1) > threshold)
    moving_HW &= unexplained(grid_HW2 + background_HW2) > own_HW + equal
    if moving_HW.mean() < MIN_AREA:
        moving_HW[:] = False
    changed_HW = measured_HW & ~at_rest_HW & (np.linalg.norm(flow_HW2, axis=-1) > threshold)
    return SplitFlow(
        camera_K=camera_K,
        object_HW2=object_HW2 * moving_HW[..., None],
        target_HW2=target_HW2,
        measured_HW=measured_HW,
        still=bool(changed_HW.mean() < MIN_AREA),
        flicker=float(own_HW[measured_HW].mean()) / 255 if measured_HW.any() else 0.0,
    )


def follow(image: NDArray[Pixel], target_HW2: NDArray[np.float32]) -> NDArray[Pixel]:
    """For each pixel the value of ``image`` (H, W) or (H, W, C) where the pixel goes; the border's value outside."""
    import cv2

    x_HW, y_HW = np.ascontiguousarray(target_HW2[..., 0]), np.ascontiguousarray(target_HW2[..., 1])
    return np.asarray(cv2.remap(image, x_HW, y_HW, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), image.dtype)


def _fit(
    flow_HW2: NDArray[np.float32], measured_HW: NDArray[np.bool_], unknown_HW: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.float32], float]:
    """Motion of the camera (4,), its flow (H, W, 2) and the median distance of the background from it (pixels).

    About 600 vectors vote. Flat areas may go along with any motion, so they vote (for rest) only where the others are too few.
    """
    import cv2

    height, width = measured_HW.shape
    step = max(1, round(math.sqrt(height * width / 600)))
    row_V, column_V = (index.ravel() for index in np.mgrid[step // 2 : height : step, step // 2 : width : step])
    voters = measured_HW[row_V, column_V]
    sure = voters & ~unknown_HW[row_V, column_V]
    voters = sure if sure.mean() >= MIN_BACKGROUND else voters
    row_V, column_V = row_V[voters], column_V[voters]
    nothing = np.zeros(4), np.zeros_like(flow_HW2), 0.0
    if len(row_V) < 16:
        return nothing
    # Seen from the centre, so that zoom and roll leave the shift alone.
    centre = np.array([(width - 1) / 2, (height - 1) / 2], np.float32)
    source_V2, shift_V2 = np.stack([column_V, row_V], -1).astype(np.float32) - centre, flow_HW2[row_V, column_V]
    tolerance = max(0.5, 0.001 * math.hypot(height, width))
    matrix, inliers = cv2.estimateAffinePartial2D(
        source_V2, source_V2 + shift_V2, method=cv2.RANSAC, ransacReprojThreshold=tolerance, maxIters=500
    )
    if matrix is None or inliers.mean() < MIN_BACKGROUND:
        return nothing
    change_22, shift_2 = (matrix[:, :2] - np.eye(2)).astype(np.float32), matrix[:, 2].astype(np.float32)
    x, y = np.arange(width, dtype=np.float32) - centre[0], (np.arange(height, dtype=np.float32) - centre[1])[:, None]
    background_HW2 = np.stack([row[0] * x + row[1] * y + shift for row, shift in zip(change_22, shift_2)], -1)
    agree = inliers[:, 0].astype(bool)
    noise = np.linalg.norm(shift_V2[agree] - background_HW2[row_V[agree], column_V[agree]], axis=-1)
    zoom, roll = math.log(math.hypot(matrix[0, 0], matrix[1, 0])), math.atan2(matrix[1, 0], matrix[0, 0])
    return np.array([*matrix[:, 2], zoom, roll]), background_HW2, float(np.median(noise))


def _inside(points_HW2: NDArray[np.float32]) -> NDArray[np.bool_]:
    height, width = points_HW2.shape[:2]
    margin = MARGIN * min(height, width)
    x, y = points_HW2[..., 0], points_HW2[..., 1]
    return np.asarray((x >= margin) & (x <= width - 1 - margin) & (y >= margin) & (y <= height - 1 - margin))
