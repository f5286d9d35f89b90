"""VBench or VBench-Long: which one a set of videos is for, and how VBench-Long cuts, averages and joins.

chosen = choose([len(clip.frames_THWC) / clip.fps for clip in clips], "auto")
parts = slices(clip, clip_seconds(record.dimensions))
VBench is for videos below five seconds; numbers of the two protocols do not compare. Source: VBench, vbench2_beta_long.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from evaluation.dimensions import DIMENSIONS, plain
from evaluation.errors import ClipError, InputError
from evaluation.video.clip import Clip

__all__ = [
    "CLIP_SECONDS",
    "LONG",
    "Choice",
    "choose",
    "clip_seconds",
    "first_frames",
    "fused",
    "mapped",
    "read_lengths",
    "read_table",
    "slices",
]

#: Seconds from which on a video is long.
LONG = 5.0
#: Seconds of a clip for videos of a user's own prompts, and for what has no other length.
CUSTOM = 2.0
#: Seconds of a clip by dimension (VBench-Long's configs/clip_length_mix.yaml).
CLIP_SECONDS: Mapping[str, float] = dict.fromkeys(DIMENSIONS, CUSTOM) | {
    "human_action": 10.0,
    "temporal_style": 10.0,
    "overall_consistency": 10.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The protocol of a set.

    Attributes:
        protocol: "vbench" or "vbench_long".
        long, short: videos of five seconds or more, and shorter ones.
        warning: to be shown and kept with the results; empty if there is none.
    """

    protocol: Literal["vbench", "vbench_long"]
    long: int
    short: int
    warning: str = ""


def choose(seconds: Iterable[float], wanted: Literal["auto", "vbench", "vbench_long"] = "auto") -> Choice:
    """The protocol for videos that last so many seconds (frames / frames a second).

    Raises:
        InputError: "auto", and the set has both long and short videos.
    """
    lasting = list(seconds)
    long = sum(one >= LONG for one in lasting)
    short = len(lasting) - long
    if wanted == "auto":
        if long and short:
            raise InputError(
                f"{short} videos are shorter than {LONG:g} s and {long} are not: VBench is for the former, VBench-Long for the "
                "latter, and their numbers do not compare; name one, --protocol vbench or vbench_long, or split the set"
            )
        return Choice(protocol="vbench_long" if long else "vbench", long=long, short=short)
    warning = ""
    if wanted == "vbench" and long:
        warning = f"{long} of {len(lasting)} videos last {LONG:g} s or more, which VBench is not for: its scores fall with length"
    return Choice(protocol=wanted, long=long, short=short, warning=warning)


def clip_seconds(dimensions: Iterable[str], *, custom: bool = False, lengths: Mapping[str, float] = CLIP_SECONDS) -> float:
    """Seconds of a video's clips: the most that any dimension of its prompt needs, for all of its dimensions alike.

    Suffixes of dimensions do not count, nor do dimensions without a length. A ``custom`` video, of no prompt of VBench's, and one
    without dimensions has `CUSTOM`.
    """
    names = [] if custom else list(map(plain, dimensions))
    return max((lengths[name] for name in names if name in lengths), default=CUSTOM)


def slices(clip: Clip, seconds: float) -> list[Clip]:
    """Clips of ``int(fps) * int(seconds)`` frames, without re-encoding: all that fit, then the last ones if frames are left.

    A shorter video is one clip. Their frames are views, their frame rate is ``int(fps)``, as that of the files that VBench-Long
    writes. The same clips are given to all who ask, so that what is found out about one is shared.

    Raises:
        ClipError: ``too_short``: such a clip would hold fewer than two frames.
    """
    rate = int(clip.fps)
    length = rate * int(seconds)
    if length < 2:
        raise ClipError("too_short", f"{clip.path}: clips of {seconds:g} s at {clip.fps:g} frames a second have {length} frames")
    total = len(clip.frames_THWC)
    starts = list(range(0, total - length + 1, length)) or [0]
    if total > length and total % length:
        starts.append(total - length)

    def cut() -> list[Clip]:
        parts = [clip.frames_THWC[start : start + length] for start in starts]
        return [Clip(frames_THWC=part, fps=float(rate), sha256=clip.sha256, path=clip.path) for part in parts]

    found: list[Clip] = clip.once(("slices", length), cut)
    return found


def first_frames(parts: Sequence[Clip]) -> Clip | None:
    """The first frame of every clip as a clip of its own; None for a single one."""
    if len(parts) < 2:
        return None
    frames = np.stack([part.frames_THWC[0] for part in parts])
    return Clip(frames_THWC=frames, fps=parts[0].fps, sha256=parts[0].sha256, path=parts[0].path)


def mapped(score: float, table: Mapping[float, float]) -> float:
    """A likeness from clip to clip on the scale of one within clips: linear between the table's entries, its ends held."""
    places = sorted(table)
    at = bisect_left(places, score)
    if at in (0, len(places)):
        return table[places[min(at, len(places) - 1)]]
    low, high = places[at - 1], places[at]
    return table[low] + (score - low) / (high - low) * (table[high] - table[low])


def fused(within: float, between: float | None, table: Mapping[float, float], *, w_inclip: float, w_clip2clip: float) -> float:
    """``w_inclip * within + w_clip2clip * mapped(between)``; ``within`` for a single clip, and where the table gives 0.

    For subject_consistency and background_consistency: ``within`` is the mean over clips, ``between`` the same formula over their
    first frames.
    """
    scaled = 0.0 if between is None else mapped(between, table)
    return w_inclip * within + w_clip2clip * scaled if scaled else within


def read_table(path: str | Path) -> dict[float, float]:
    """A table for `mapped`: lines ``place: value``, as VBench-Long's subject_mapping_table.yaml has them; the user brings it.

    Raises:
        InputError: the file cannot be read, or holds anything else.
    """
    try:
        table = {float(place): value for place, value in _lines(path).items()}
    except ValueError as error:
        raise InputError(f"{path}: not lines of 'place: value': {error}") from error
    if len(table) < 2 or not all(math.isfinite(place) for place in table):
        raise InputError(f"{path}: a table needs two places or more, and finite ones")
    return table


def read_lengths(path: str | Path) -> dict[str, float]:
    """Seconds of a clip by dimension, for `clip_seconds`: lines ``dimension: seconds``, as VBench-Long's clip_length_*.yaml.

    Raises:
        InputError: the file cannot be read, names a dimension that there is not, or a length below a second.
    """
    lengths = _lines(path)
    wrong = [name for name, seconds in lengths.items() if name not in DIMENSIONS or seconds < 1]
    if wrong or not lengths:
        raise InputError(f"{path}: not lines of 'dimension: seconds', of VBench's dimensions and a second or more: {wrong}")
    return lengths


def _lines(path: str | Path) -> dict[str, float]:
    try:
        lines = [line.partition("#")[0].strip() for line in Path(path).read_text(encoding="utf-8").splitlines()]
        pairs = {name.strip(): float(value) for name, _, value in (line.partition(":") for line in lines if line)}
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not lines of 'name: number': {error}") from error
    if not all(map(math.isfinite, pairs.values())):
        raise InputError(f"{path}: a number is not finite")
    return pairs
