"""Optical flow of a video: frames for it, and what pairs at about eight frames a second tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar, final

import torch
from torch import Tensor

from evaluation.backbones.raft import SMALLEST_SIDE, Flow, flow_frames
from evaluation.errors import ClipError
from evaluation.video.clip import Clip
from evaluation.video.sampling import spaced

__all__ = ["PAIRS", "PairMotion", "Remembered", "fastest", "flows_between", "motion", "require_sides"]

#: Pairs that RAFT takes at once.
PAIRS = 8

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairMotion:
    """What a flow field and the one before it tell; lengths in pixels, over the frame and its padding.

    Attributes:
        fast: mean length of the longest 5 % of the vectors.
        mean: mean length of all.
        moving: vectors longer than a 256th of the shorter side, here and in the pair before; 0 for the first pair.
        reversed: of those, the ones that turned by more than a right angle since then.
    """

    fast: float
    mean: float
    moving: int
    reversed: int


@final
class Remembered(Generic[T]):
    """What an iterator yields, each item computed once, as far as anybody has asked; an error meets everybody who gets there."""

    def __init__(self, items: Iterable[T]) -> None:
        self.items = iter(items)
        self.seen: list[T] = []
        self.error: Exception | None = None

    def __iter__(self) -> Iterator[T]:
        position = 0
        while True:
            if position == len(self.seen):
                if self.error is not None:
                    raise self.error
                try:
                    self.seen.append(next(self.items))
                except StopIteration:
                    return
                except Exception as error:
                    self.error = error
                    raise
            yield self.seen[position]
            position += 1


def require_sides(clip: Clip, backbone: object) -> tuple[int, int]:
    """(height, width) of a clip that a `Flow`, or what works on one, can look at.

    Raises:
        ClipError: a side is too small for optical flow.
    """
    height, width = clip.frames_THWC.shape[1:3]
    smallest = getattr(backbone, "smallest_side", SMALLEST_SIDE)
    if min(height, width) < smallest:
        raise ClipError("too_small", f"{clip.path}: {width}x{height}; this optical flow needs sides of {smallest} pixels")
    return height, width


def fastest(flow_B2HW: Tensor, share: float) -> Tensor:
    """The mean length of the longest ``share`` of the vectors, in pixels: (B,)."""
    lengths = flow_B2HW.square().sum(1).sqrt().flatten(1)
    return lengths.topk(max(1, int(lengths.shape[1] * share)), dim=1).values.mean(1)


def flows_between(
    clip: Clip, pairs: Sequence[tuple[int, int]], backbone: Flow, batch: int = PAIRS
) -> Iterator[tuple[Tensor, Sequence[tuple[int, int]]]]:
    """Flows (B, 2, H, W) of the padded frames, in pixels, and the pairs of frame numbers (from, to) that they belong to.

    Raises:
        ClipError: sides are too small, or a flow is not finite.
    """
    require_sides(clip, backbone)
    for start in range(0, len(pairs), batch):
        some = pairs[start : start + batch]
        numbers = sorted({number for pair in some for number in pair})
        frames = flow_frames(clip.frames_TCHW[numbers].to(backbone.device))
        flow = backbone.flow(frames, [(numbers.index(before), numbers.index(after)) for before, after in some])
        if not bool(torch.isfinite(flow).all()):
            raise ClipError("non_finite", f"{clip.path}: the optical flow is not finite")
        yield flow, some


def motion(clip: Clip, backbone: Flow, batch: int = PAIRS) -> Remembered[PairMotion]:
    """`PairMotion` of each pair of frames at about eight a second; shared by all metrics, computed as far as one asks.

    Raises:
        ClipError: on the way, as `flows_between`.
    """
    found: Remembered[PairMotion] = clip.once((backbone, "8 fps", batch), lambda: Remembered(_motions(clip, backbone, batch)))
    return found


def _motions(clip: Clip, backbone: Flow, batch: int) -> Iterator[PairMotion]:
    chosen = spaced(clip.fps, len(clip.frames_THWC))
    still = min(require_sides(clip, backbone)) / 256
    previous: Tensor | None = None
    for flows, _ in flows_between(clip, list(pairwise(chosen)), backbone, batch):
        for fast, flow in zip(fastest(flows, 0.05).tolist(), flows):
            lengths = flow.square().sum(0).sqrt()
            moving = turned = 0
            if previous is not None:
                moves = (lengths > still) & (previous.square().sum(0).sqrt() > still)
                moving, turned = int(moves.sum()), int((moves & ((flow * previous).sum(0) < 0)).sum())
            yield PairMotion(fast=fast, mean=float(lengths.double().mean()), moving=moving, reversed=turned)
            previous = flow
