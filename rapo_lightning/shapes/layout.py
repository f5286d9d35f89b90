"""Where a scene's objects are in each frame: positions drawn from a seed so that nothing leaves the frame or touches.

Legend of shapes: K objects, T frames; last axis is (x, y, radius) in pixels, x to the right, y downwards. A radius is that of
the circle of equal area.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from rapo_lightning.shapes.scene import Item, Scene

__all__ = ["FRAMES", "RADIUS", "SIDE", "TRAVEL", "paths", "place_items"]

SIDE = 64  # pixels
FRAMES = 17
RADIUS = {"small": 6.0, "large": 10.5}
TRAVEL = {"slow": 10.0, "fast": 26.0}  # pixels over the whole clip
_BOUNCE = 11.0  # pixels, two hops a clip
_GROWTH = (0.7, 1.3)  # radius at the ends of growing, as a share of the named size
_EXTENT = 1.56  # no shape reaches further than this many radii from its centre: the apex of a triangle
_DIRECTION = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_TRIES = 400


def paths(item: Item) -> npt.NDArray[np.float32]:
    """An object's path relative to where it starts, shape (T, 3): x and y offsets and radius."""
    time = np.linspace(0.0, 1.0, FRAMES)
    path = np.zeros((FRAMES, 3), np.float32)
    path[:, 2] = RADIUS[str(item.size)]
    if item.action in _DIRECTION:
        dx, dy = _DIRECTION[item.action]
        path[:, 0] = dx * TRAVEL[str(item.speed)] * time
        path[:, 1] = dy * TRAVEL[str(item.speed)] * time
    elif item.action == "bounce":
        path[:, 1] = -_BOUNCE * np.abs(np.sin(2 * np.pi * time))
    elif item.action in ("grow", "shrink"):
        start, end = _GROWTH if item.action == "grow" else _GROWTH[::-1]
        path[:, 2] *= start + (end - start) * time
    return path


def place_items(scene: Scene, rng: np.random.Generator) -> npt.NDArray[np.float32] | None:
    """Every object's centre and radius in every frame, shape (K, T, 3), or None when the scene does not fit the frame.

    All objects stay within the frame, keep apart, and hold the scene's relation in every frame.
    """
    moves = np.stack([paths(item) for item in scene.items])  # K T 3
    reach = _EXTENT * moves[..., 2]
    low = np.max(reach[..., None] - moves[..., :2], axis=1)  # K 2: the least start that keeps the object inside
    high = np.min(SIDE - reach[..., None] - moves[..., :2], axis=1)
    if np.any(low > high):
        return None
    starts = rng.uniform(low, high, size=(_TRIES, len(scene.items), 2))  # N K 2
    if len(scene.items) == 2:
        centres = starts[:, :, None] + moves[None, ..., :2]  # N K T 2
        gap = centres[:, 1] - centres[:, 0]  # N T 2, from the first object to the second
        apart = np.linalg.norm(gap, axis=-1) > _EXTENT * moves[..., 2].sum(axis=0) + 1.0
        good = np.flatnonzero((apart & _holds(str(scene.relation), gap)).all(axis=1))
        if good.size == 0:
            return None
        starts = starts[good[:1]]
    placed = moves.copy()
    placed[..., :2] += starts[0][:, None]
    return placed.astype(np.float32)


def _holds(relation: str, gap: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    dx, dy = gap[..., 0], gap[..., 1]
    along, across = {"left of": (dx, dy), "right of": (-dx, dy), "above": (dy, dx), "below": (-dy, dx)}[relation]
    return np.asarray(along > np.abs(across) + 4.0)
