"""Finds the objects of a video by their saturation: one soft mask a frame and object, joined over time into tracks.

Legend of shapes: T frames, H = W = 64 pixels, C = 3 channels (RGB), P = `PATCH` cells of a mask scaled to its object's radius.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from rapo_lightning.shapes.render import COLOUR_RGB

__all__ = ["PATCH", "REACH", "Segmented", "Track", "hue", "segment"]

Floats = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

PATCH = 24  # cells a side
REACH = 1.8  # a patch shows this many radii to each side of its object's centre
_WEAK = 68  # largest minus smallest channel: backgrounds stay below (46, plus noise), edges of objects are above
_FAINT = 57  # an empty frame has nothing above this
_STRONG = 96  # a blob that nowhere reaches this is washed out: perhaps an object, perhaps not
_AREA = (22.0, 1000.0)  # pixels: less is a speck, more is no object; true ones have 55 to 585
_AGREEMENT = 0.8  # share of the frames that must show the same number of objects
_CORE = 5  # pixels that a second colour must keep after erosion to be an object of its own


@dataclass(frozen=True, slots=True)
class Track:
    """One object over the N frames in which it was seen; ``time`` runs from 0 to 1, x to the right, y downwards (pixels)."""

    time: Floats  # N
    x: Floats  # N
    y: Floats  # N
    radius: Floats  # N, of the circle of equal area
    colour: Floats  # N C, mean of the object's most saturated pixels, 0..255
    patch: Floats  # N P P, share of each cell that the object covers


@dataclass(frozen=True, slots=True)
class Segmented:
    """``count`` is None when the frames disagree; then there are no tracks, nor for any count but 1 and 2.

    ``background`` is the mean colour of each row in each half of the clip, (2, H, C).
    """

    count: int | None
    tracks: tuple[Track, ...]
    background: Floats


@dataclass(frozen=True, slots=True)
class _Blob:
    x: float
    y: float
    radius: float
    colour: Floats
    patch: Floats


def hue(colour: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Angle of RGB colours (..., 3) on the colour circle, degrees in (-180, 180]."""
    red, green, blue = np.moveaxis(colour, -1, 0)
    return np.asarray(np.degrees(np.arctan2(np.sqrt(3.0) * (green - blue), 2 * red - green - blue)))


def segment(frames_THWC: Bytes) -> Segmented:
    """The objects of a video, (T, H, W, C) uint8."""
    import cv2

    smooth = np.stack([cv2.GaussianBlur(frame, (3, 3), 0) for frame in frames_THWC])
    planes = [smooth[..., channel] for channel in range(3)]
    chroma = np.maximum(np.maximum(planes[0], planes[1]), planes[2]) - np.minimum(np.minimum(planes[0], planes[1]), planes[2])
    weak = (chroma > _WEAK).astype(np.uint8)
    scenery, rows = _scenery(frames_THWC, weak)
    found = [_blobs(*images, scenery) for images in zip(frames_THWC, smooth, chroma, weak, strict=True)]
    counts = [-1 if blobs is None else len(blobs) for blobs in found]
    count = max(set(counts), key=counts.count)
    if count < 0 or counts.count(count) < _AGREEMENT * len(counts):
        return Segmented(None, (), rows)
    time = np.linspace(0.0, 1.0, len(counts), dtype=np.float32)
    seen = [(when, blobs) for when, blobs in zip(time, found, strict=True) if blobs is not None and len(blobs) == count]
    return Segmented(count, _tracks(seen) if count in (1, 2) else (), rows)


def _scenery(frames_THWC: Bytes, weak_THW: Bytes) -> tuple[Floats, Floats]:
    """What lies behind the objects: every pixel, (H, W, C), and every row in each half of the clip, (2, H, C)."""
    halves = zip(np.array_split(frames_THWC, 2), np.array_split(weak_THW, 2), strict=True)
    sums = [_sum_uncovered(frames, weak) for frames, weak in halves]
    total, seen = (np.add(*both) for both in zip(*sums, strict=True))
    filled = np.where((seen > 0)[..., None], total / np.maximum(seen, 1.0)[..., None], _rows(total, seen)[:, None])
    return filled.astype(np.float32), np.stack([_rows(*half) for half in sums])


def _sum_uncovered(frames_THWC: Bytes, weak_THW: Bytes) -> tuple[Floats, Floats]:
    """Over the frames in which no object is near a pixel: the sum of its colours, (H, W, C), and how many there are, (H, W)."""
    import cv2

    total = np.zeros(frames_THWC.shape[1:], np.float32)
    seen = np.zeros(total.shape[:2], np.float32)
    kernel = np.ones((5, 5), np.uint8)
    for frame, weak in zip(frames_THWC, weak_THW, strict=True):
        free = 1 - cv2.dilate(weak, kernel)
        cv2.accumulate(frame, total, mask=free)
        cv2.accumulate(free, seen)
    return total, seen


def _rows(total_HWC: Floats, seen_HW: Floats) -> Floats:
    """The mean colour of each row, (H, C); rows that are always covered lie between their neighbours."""
    shown = seen_HW.sum(axis=1)
    rows = total_HWC.sum(axis=1) / np.maximum(shown, 1.0)[:, None]
    known = np.flatnonzero(shown)
    if 0 < len(known) < len(rows):
        rows = np.stack([np.interp(np.arange(len(rows)), known, column[known]) for column in rows.T], axis=1)
    return np.asarray(rows, np.float32)


def _blobs(frame: Bytes, smooth: Bytes, chroma: Bytes, weak: Bytes, scenery: Floats) -> list[_Blob] | None:
    """The objects of one frame, or None when something in it is too washed out or too large to tell."""
    import cv2

    number, labels, stats, _ = cv2.connectedComponentsWithStats(weak, connectivity=4)
    blobs = []
    for label in range(1, number):
        left, top, width, height, area = stats[label]
        if area < _AREA[0] / 2:
            continue
        box = (slice(max(0, top - 2), top + height + 2), slice(max(0, left - 2), left + width + 2))
        for inside in _by_colour(labels[box] == label, smooth[box], chroma[box]):
            saturation = np.where(inside, chroma[box], 0)
            peak = int(saturation.max())
            core = saturation >= 0.85 * peak
            colour = smooth[box][core].mean(axis=0, dtype=np.float32)
            step = colour - scenery[box]
            cover = ((frame[box] - scenery[box]) * step).sum(axis=-1) / np.maximum((step * step).sum(axis=-1), 1.0)
            near = cv2.dilate(inside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
            cover = np.clip(cover, 0.0, 1.0) * (near & (inside | (weak[box] == 0)))  # what another object does not hold
            area = float((cover > 0.5).sum())
            if area < _AREA[0]:
                continue
            if peak < _STRONG or area > _AREA[1]:
                return None
            blobs.append(_measure(cover, box[1].start, box[0].start, colour))
    return None if not blobs and chroma.max() > _FAINT else blobs


def _by_colour(inside: npt.NDArray[np.bool_], smooth: Bytes, chroma: Bytes) -> Sequence[npt.NDArray[np.bool_]]:
    """One mask for each colour that has a solid core in the blob, as objects that touch differ in colour: by the nearest core."""
    import cv2

    pixels = cv2.cvtColor(np.ascontiguousarray(smooth), cv2.COLOR_RGB2HSV)[..., 0]
    names = _names()[pixels]
    solid = inside & (chroma >= _STRONG)
    sizes = np.bincount(names[solid], minlength=len(COLOUR_RGB))
    cores = []
    if np.partition(sizes, -2)[-2] >= _AREA[0] / 2:
        for name in np.flatnonzero(sizes >= _AREA[0] / 2):
            core = cv2.erode((solid & (names == name)).astype(np.uint8), np.ones((3, 3), np.uint8), borderValue=0)
            if core.sum() >= _CORE:
                cores.append(core)
    if len(cores) < 2:
        return (inside,)
    nearest = np.argmin([cv2.distanceTransform(1 - core, cv2.DIST_L2, 3) for core in cores], axis=0)
    return [inside & (nearest == index) for index in range(len(cores))]


@cache
def _names() -> npt.NDArray[np.int64]:
    """Index of the nearest named colour for each of OpenCV's 180 hues."""
    named = hue(np.asarray(list(COLOUR_RGB.values()), np.float64))
    gap = np.arange(180)[:, None] * 2.0 - named
    return np.asarray(np.abs((gap + 180) % 360 - 180).argmin(axis=1))


def _measure(cover: Floats, left: int, top: int, colour: Floats) -> _Blob:
    import cv2

    solid = np.where(cover > 0.25, cover, 0.0).astype(np.float32)
    moments = cv2.moments(solid)
    x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
    radius = float(np.sqrt(moments["m00"] / np.pi))
    scale = 2 * REACH * radius / PATCH  # pixels a cell
    to_pixels = np.asarray([[scale, 0, x - scale * (PATCH - 1) / 2], [0, scale, y - scale * (PATCH - 1) / 2]])
    patch = cv2.warpAffine(solid, to_pixels, (PATCH, PATCH), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    return _Blob(x + left, y + top, radius, colour, np.asarray(patch, np.float32))


def _tracks(seen: Sequence[tuple[np.float32, list[_Blob]]]) -> tuple[Track, ...]:
    """Follow one or two objects from frame to frame by place and colour."""
    chains: list[list[_Blob]] = [[blob] for blob in seen[0][1]]
    for _, blobs in seen[1:]:
        last = [chain[-1] for chain in chains]
        orders = [blobs, blobs[::-1]]
        best = min(orders, key=lambda order: sum(_distance(*pair) for pair in zip(last, order, strict=True)))
        for chain, blob in zip(chains, best, strict=True):
            chain.append(blob)
    time = np.asarray([when for when, _ in seen], np.float32)
    return tuple(
        Track(
            time=time,
            x=np.asarray([blob.x for blob in chain], np.float32),
            y=np.asarray([blob.y for blob in chain], np.float32),
            radius=np.asarray([blob.radius for blob in chain], np.float32),
            colour=np.stack([blob.colour for blob in chain]),
            patch=np.stack([blob.patch for blob in chain]),
        )
        for chain in chains
    )


def _distance(one: _Blob, other: _Blob) -> float:
    return float(np.hypot(one.x - other.x, one.y - other.y) + np.linalg.norm(one.colour - other.colour) / 8)
