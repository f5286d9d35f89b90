"""warping_error: how much a pixel changes along its own motion, where it stays in sight."""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from evaluation.backbones.raft import Flow
from evaluation.metrics.base import Score
from evaluation.metrics.flows import PAIRS, flows_between, require_sides
from evaluation.metrics.on_tower import OnTower
from evaluation.video.clip import Clip, Record
from evaluation.video.warp import crop, warp

__all__ = ["WarpingError", "hidden", "warping_error"]


def hidden(flow_B2HW: Tensor, back_B2HW: Tensor) -> Tensor:
    """Which pixels of a frame cannot be followed to the other one, (B, H, W) bool.

    ``flow`` leads from this frame to the other, ``back`` from there to here. A pixel cannot be followed where the way there and
    back does not close, ``|back(x + flow) + flow|^2 > .01 (|back(x + flow)|^2 + |flow|^2) + .5``, or where motion breaks,
    ``|gradient of flow|^2 > .01 |flow|^2 + .002``; in pixels. The gradient is the step to the next pixel, 0 at the last one.
    Source: Lai et al. 2018 (arXiv 1808.00449), after Ruder et al. 2016.
    """
    returned = warp(back_B2HW, flow_B2HW)
    length = flow_B2HW.square().sum(1)
    open_ = (returned + flow_B2HW).square().sum(1) > 0.01 * (returned.square().sum(1) + length) + 0.5
    gradient = torch.zeros_like(length)
    gradient[:, :, :-1] += flow_B2HW.diff(dim=3).square().sum(1)
    gradient[:, :-1] += flow_B2HW.diff(dim=2).square().sum(1)
    return open_ | (gradient > 0.01 * length + 0.002)


def warping_error(before_BCHW: Tensor, after_BCHW: Tensor, flow_B2HW: Tensor, back_B2HW: Tensor) -> tuple[Tensor, Tensor]:
    """(mean squared difference, share of pixels that count), each (B,) float64; NaN and 0 where none counts.

    Frames are in 0..1; the later one is warped to the earlier one by ``flow`` (earlier to later, in pixels); ``back`` leads the
    other way. `hidden` pixels do not count. Source: Lai et al. 2018, section 5.
    """
    seen = ~hidden(flow_B2HW, back_B2HW)
    squared = (warp(after_BCHW, flow_B2HW) - before_BCHW).square().double().mean(1)
    return (squared * seen).sum((1, 2)) / seen.sum((1, 2)), seen.double().mean((1, 2))


@final
class WarpingError(OnTower[Flow]):
    """`warping_error`, the mean over pairs of frames; lower is better, 0 is none; a still picture has 0.

    A pair of which nothing can be followed (a cut) does not count, and a video of such pairs has no value; ``details`` has how
    much of each pair does.
    """

    id = "warping_error"
    exact = False
    higher_is_better = False
    tower = "raft"
    at_once = PAIRS

    def score(self, clip: Clip, record: Record) -> Score:
        """The mean over pairs, and how much of each pair counts."""
        height, width = require_sides(clip, self.backbone)
        pairs = [(number, number + 1) for number in range(len(clip.frames_THWC) - 1)]
        ways = zip(*(flows_between(clip, way, self.backbone, self.batch) for way in (pairs, [pair[::-1] for pair in pairs])))
        errors, seen = [], []
        for (flow, some), (back, _) in ways:
            first, last = some[0][0], some[-1][1]
            frames = clip.frames_TCHW[first : last + 1].to(self.backbone.device).float() / 255
            error, share = warping_error(frames[:-1], frames[1:], crop(flow, height, width), crop(back, height, width))
            errors += error.tolist()
            seen += share.tolist()
        counted = [error for error, share in zip(errors, seen) if share]
        if not counted:
            return Score.left_out({"followed": seen})
        return Score.of_frames(torch.tensor(counted, dtype=torch.float64), {"followed": seen})
