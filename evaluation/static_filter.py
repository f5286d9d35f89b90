"""Which videos stand still: VBench measures temporal_flickering on five static videos of the 25 that it samples per prompt.

filtered = static_videos(records, lambda record: decode(record.video), towers.raft)
filtered.kept        the first five static ones of each prompt
Source: VBench, static_filter.py:41-90.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from evaluation.backbones.raft import Flow
from evaluation.errors import ClipError
from evaluation.metrics.flows import PAIRS, fastest, flows_between, require_sides
from evaluation.precision import full_float32
from evaluation.video.clip import Clip, Record

__all__ = ["KEPT", "Filtered", "Stillness", "is_static", "static_videos"]

#: Videos of a prompt that temporal_flickering keeps.
KEPT = 5
#: The longest of all vectors that count.
SHARE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Stillness:
    """When a video counts as static.

    Attributes:
        threshold: speed, in pixels from frame to frame, that a pair may exceed only ``allowed`` times.
        allowed: such pairs; the first and the last frame may be ``2 * allowed * threshold`` apart.
    """

    threshold: float
    allowed: int

    @classmethod
    def of(cls, frames: int, height: int, width: int) -> Stillness:
        """For so many frames of this size before padding."""
        return cls(threshold=3.0 * min(height, width) / 256.0, allowed=round(2 * frames / 16))

    def holds(self, speeds: Sequence[float]) -> bool:
        """Whether consecutive pairs, as far as they are known, are slow enough."""
        return sum(speed > self.threshold for speed in speeds) <= self.allowed

    def closes(self, ends: Iterable[float]) -> bool:
        """Whether the first and the last frame are close enough, by the speeds from one to the other and back."""
        return all(speed <= self.threshold * self.allowed * 2 for speed in ends)


def is_static(clip: Clip, backbone: Flow, batch: int = PAIRS) -> bool:
    """Whether a video stands still: by the mean length of the longest 2 % of the flow's vectors, of every pair of frames on end
    and of the first and last frame both ways. Stops at the pair that decides.

    Raises:
        ClipError: sides are too small for optical flow, or it is not finite.
    """
    import torch

    last = len(clip.frames_THWC) - 1
    rule = Stillness.of(last + 1, *require_sides(clip, backbone))
    speeds: list[float] = []
    with full_float32(), torch.no_grad():
        for flow, _ in flows_between(clip, [(number, number + 1) for number in range(last)], backbone, batch):
            speeds += fastest(flow, SHARE).tolist()
            if not rule.holds(speeds):
                return False
        ends = [fastest(flow, SHARE) for flow, _ in flows_between(clip, [(0, last), (last, 0)], backbone, batch)]
        return rule.closes(torch.cat(ends).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class Filtered:
    """What `static_videos` found.

    Attributes:
        kept: records of static videos, in the manifest's order.
        static: whether a video is, by the record's index; only of those that were looked at.
        errors: why a video could not be judged, by the record's index.
        short: prompts with fewer static videos than were to be kept.
    """

    kept: tuple[Record, ...]
    static: dict[int, bool]
    errors: dict[int, ClipError]
    short: tuple[str, ...]


def static_videos(
    records: Iterable[Record],
    load: Callable[[Record], Clip],
    backbone: Flow,
    *,
    keep: int | None = KEPT,
    batch: int = PAIRS,
) -> Filtered:
    """The first ``keep`` static videos (None: all of them) of every prompt and variant, in the order of file names, as VBench.

    That is the order of characters: ``-10.mp4`` comes before ``-2.mp4``. ``load`` decodes a record's video, one at a time, and
    only until a prompt has enough. A video that cannot be judged is not kept.
    """
    groups: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        groups.setdefault((record.prompt_id or record.prompt, record.variant), []).append(record)
    kept: list[Record] = []
    static: dict[int, bool] = {}
    errors: dict[int, ClipError] = {}
    short: list[str] = []
    for (prompt, _), group in groups.items():
        found = 0
        for record in sorted(group, key=lambda record: record.video):
            if found == keep:
                break
            try:
                static[record.index] = is_static(load(record), backbone, batch)
            except ClipError as error:
                errors[record.index] = error
                continue
            if static[record.index]:
                found += 1
                kept.append(record)
        if keep is not None and found < keep:
            short.append(prompt)
    return Filtered(kept=tuple(sorted(kept, key=lambda record: record.index)), static=static, errors=errors, short=tuple(short))
