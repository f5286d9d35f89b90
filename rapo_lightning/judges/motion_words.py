"""Puts flow statistics into words and into plain numbers, for a rewriter, a physics judge and the record."""

from __future__ import annotations

from typing import Any

import numpy as np

from rapo_lightning.judges.flow_statistics import DIRECTIONS, FlowStatistics

__all__ = ["describe", "summary", "timeline"]

REGIONS = ("top left", "top", "top right", "left", "centre", "right", "bottom left", "bottom", "bottom right")
#: Slower than these the camera counts as still: diagonals/s, log of scale a second, rad/s.
CAMERA_PAN, CAMERA_ZOOM, CAMERA_ROLL = 0.01, 0.03, 0.03
#: A succession below this smoothness is a jump.
JUMP = 0.5
#: Change of brightness along the motion above which a clip flickers; codec noise is about a fifth of it.
FLICKER = 0.04
MAX_JUMPS, MAX_ROWS = 3, 12


def describe(statistics: FlowStatistics) -> str:
    """The motion in one line, e.g. ``camera pans left; nothing moves``."""
    parts = [_camera(statistics), _objects(statistics)]
    if statistics.moving_N.any():
        parts += [*_opposition(statistics), _smoothness(statistics)]
    if 0.1 <= (still := float(statistics.still_N.mean())) < 1:
        parts.append(f"the picture stands still {still:.0%} of the time")
    if statistics.flicker > FLICKER:
        parts.append("brightness flickers")
    return "; ".join(parts)


def summary(statistics: FlowStatistics) -> dict[str, Any]:
    """The numbers behind `describe` as plain JSON values, rounded; speeds in picture diagonals a second, y up."""
    pan_x, pan_y, zoom, roll = statistics.camera_NK.mean(0)
    numbers = {
        "camera": {"pan_x": pan_x, "pan_y": pan_y, "zoom": zoom, "roll": roll},
        "moving_share": statistics.moving_N.mean(),
        "speed": _speed(statistics),
        "directions": dict(zip(DIRECTIONS, statistics.directions)),
        "regions": statistics.regions_33,
        "smoothness": statistics.smoothness,
        "acceleration": statistics.acceleration_M.mean() if len(statistics.acceleration_M) else 0.0,
        "jumps": _jumps(statistics),
        "still_share": statistics.still_N.mean(),
        "flicker": statistics.flicker,
    }
    rounded: dict[str, Any] = _rounded(numbers)
    return rounded


def timeline(statistics: FlowStatistics) -> str:
    """The moving parts through time, at most 12 lines: where they are, how fast and which way they go."""
    pairs = len(statistics.moving_N)
    lines = []
    for chosen in np.array_split(np.arange(pairs), min(MAX_ROWS, pairs)):
        start, end = chosen[0] / statistics.fps, (chosen[-1] + 1) / statistics.fps
        moving = chosen[statistics.moving_N[chosen] > 0]
        if not len(moving):
            lines.append(f"{start:.2f}-{end:.2f} s: nothing moves")
            continue
        x, y = statistics.centre_N2[moving].mean(0)
        across, upward = statistics.velocity_N2[moving].mean(0)
        lines.append(
            f"{start:.2f}-{end:.2f} s: centre {x:.0%} from the left, {y:.0%} from the bottom; "
            f"velocity {across:+.3f} to the right, {upward:+.3f} upward; speed {statistics.speed_N[moving].mean():.3f}; "
            f"{statistics.moving_N[moving].mean():.1%} of the picture moves"
        )
    return "\n".join(lines)


def _camera(statistics: FlowStatistics) -> str:
    """The camera moves against the picture: where the picture goes right, it pans left."""
    pan_x, pan_y, zoom, roll = statistics.camera_NK.mean(0)
    moves = []
    if abs(pan_x) > CAMERA_PAN and abs(pan_x) > 0.4 * abs(pan_y):
        moves.append("pans left" if pan_x > 0 else "pans right")
    if abs(pan_y) > CAMERA_PAN and abs(pan_y) > 0.4 * abs(pan_x):
        moves.append("tilts down" if pan_y > 0 else "tilts up")
    if abs(zoom) > CAMERA_ZOOM:
        moves.append("zooms in" if zoom > 0 else "zooms out")
    if abs(roll) > CAMERA_ROLL:
        moves.append("rolls")
    back_and_forth = np.abs(statistics.camera_NK[:, :2]).mean(0).max()
    if not moves and back_and_forth > CAMERA_PAN:
        moves.append("shakes")
    return f"camera {' and '.join(moves)}" if moves else "camera is still"


def _objects(statistics: FlowStatistics) -> str:
    if not statistics.moving_N.any():
        return "nothing moves"
    shares = statistics.directions
    ways = [DIRECTIONS[index] for index in np.argsort(-shares, kind="stable")[:2] if shares[index] >= 0.2]
    way = f"motion {' and '.join(ways)}" if ways else "motion in all directions"
    return f"{way}, mostly {REGIONS[statistics.regions_33.argmax()]}, speed {_speed(statistics):.2f} diagonals a second"


def _opposition(statistics: FlowStatistics) -> list[str]:
    """Motions against each other: at one time in different places, or in one place at different times."""
    at_once = np.minimum(statistics.directions_ND[:, :4], statistics.directions_ND[:, 4:])
    moving = statistics.moving_N > 0
    axis = int(at_once[moving].mean(0).argmax())
    if at_once[moving, axis].mean() >= 0.2:
        return [f"two parts move in opposite directions ({DIRECTIONS[axis]} and {DIRECTIONS[axis + 4]})"]
    over_time = np.minimum(statistics.directions[:4], statistics.directions[4:])
    if over_time.max() >= 0.2:
        axis = int(over_time.argmax())
        return [f"motion turns back ({DIRECTIONS[axis]} and {DIRECTIONS[axis + 4]})"]
    return []


def _smoothness(statistics: FlowStatistics) -> str:
    known = statistics.smoothness_M[~np.isnan(statistics.smoothness_M)]
    if len(known) > 2 and (known < JUMP).mean() > 0.4:
        return "motion is jerky throughout"
    if jumps := _jumps(statistics):
        return f"motion jumps at {', '.join(f'{time:.1f} s' for time in jumps[:MAX_JUMPS])}"
    return "motion is smooth" if statistics.smoothness >= 0.7 else "motion is uneven"


def _jumps(statistics: FlowStatistics) -> list[float]:
    """Times (s) at which the motion breaks; neighbouring ones are told once."""
    broken = np.nan_to_num(statistics.smoothness_M, nan=1.0) < JUMP
    starts = np.flatnonzero(broken & ~np.r_[False, broken[:-1]])
    return [float(index + 1) / statistics.fps for index in starts]


def _speed(statistics: FlowStatistics) -> float:
    """Mean speed of what moves, over area and time (diagonals/s)."""
    return float((statistics.speed_N * statistics.moving_N).sum() / max(statistics.moving_N.sum(), 1e-12))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, np.ndarray | list):
        return [_rounded(item) for item in value]
    return round(float(value), 4) + 0.0
