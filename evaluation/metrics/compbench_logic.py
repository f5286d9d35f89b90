"""T2V-CompBench's scores of answers, boxes, counts and displacements. Pure.

Source: arXiv 2407.14505, and the suite's evaluation scripts; everything here is between 0 and 1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

__all__ = ["action", "consistent", "dynamic", "interaction", "motion", "numeracy", "spatial", "spatial_frame"]

#: By the two phrases' letters, in the order of the alphabet.
_PAIRS = {
    "AA": 5.0, "AB": 4.5, "BB": 4.0, "AC": 3.5, "AD": 3.0, "BC": 2.8, "BD": 2.5, "CC": 2.0, "CD": 1.5, "DD": 1.0,
}  # fmt: skip
#: Of the frames between the first and the last, more than this share must show one of the two states.
MOST = 0.8


def consistent(first: str, second: str) -> float:
    """Consistent attribute binding of two phrases: A shown throughout, B in some frames, C wrongly, D not at all."""
    return (_PAIRS["".join(sorted((first, second)))] - 1) / 4


def action(rating: float) -> float:
    """Action binding of a rating 0..5."""
    return rating / 5


def interaction(rating: float) -> float:
    """Object interactions of a rating 1..5."""
    return (rating - 1) / 4


def dynamic(first: tuple[float, float], last: tuple[float, float], between: Sequence[bool]) -> float:
    """Dynamic attribute binding.

    Args:
        first, last: ratings 1..5 of how well the first and the last frame show the (initial, final) state.
        between: whether each frame in between shows one of the two.
    """
    a, b, c, d = (rating / 5 for rating in (*first, *last))
    if not between or sum(between) <= MOST * len(between):
        return 0.0
    return 0.5 * a * (1 - b) + 0.5 * (1 - c) * d


def spatial_frame(found: int, right: bool, overlap: float = 0.0) -> float:
    """One frame's spatial relationship: ``found`` of the two objects, whether they stand right, and their boxes' IoU."""
    if found < 2:
        return 0.2 * found
    return 0.4 + 0.6 * (1 - overlap) if right else 0.4


def spatial(frames: Sequence[float]) -> float:
    """Spatial relationships: the mean of 16 frames."""
    return sum(frames) / len(frames)


def numeracy(wanted: Mapping[str, int], counted: Mapping[str, int]) -> float:
    """Generative numeracy: the share of classes whose number is exactly right (half for each of two)."""
    counts = Counter(dict(counted))
    return sum(counts[name] == number for name, number in wanted.items()) / len(wanted)


def motion(displacement: float | None, extent: float) -> float:
    """Motion binding: 0.2 for an object that is found, up to 0.8 for how far it moves the right way.

    Args:
        displacement: pixels in the wanted direction, net of the background; None: the object is not found.
        extent: the picture's width for left and right, its height for up and down.
    """
    if displacement is None:
        return 0.0
    return 0.2 + 0.8 * min(1.0, max(0.0, displacement / extent))
