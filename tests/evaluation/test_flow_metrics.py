"""warping_error and flow_stats on given flow against plain numpy, over sizes, lengths, rates; what shares a pass; RAFT itself."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.backbones.raft import Pairs
from evaluation.catalog.table import load
from evaluation.catalog.temporal import ENTRIES
from evaluation.errors import ClipError
from evaluation.metrics.base import VideoMetric
from evaluation.metrics.dynamic_degree import DynamicDegree
from evaluation.metrics.flow_stats import FlowStatsFast, FlowStatsJolt, FlowStatsMean, FlowStatsReversal
from evaluation.metrics.flows import Remembered
from evaluation.metrics.warping_error import WarpingError
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record
from evaluation.weights.lookup import find
from tests.evaluation.flowing import GivenFlow, field, lengths, numbered, padded_sides, warped
from tests.evaluation.videos import clip_of

STATS = (FlowStatsMean, FlowStatsFast, FlowStatsReversal, FlowStatsJolt)


def error_by_hand(clip: Clip, strength: float) -> tuple[float, list[float]]:
    count, height, width, _ = clip.frames_THWC.shape
    rows, columns, tall, wide = padded_sides(height, width, 8)
    frames = clip.frames_THWC.astype(np.float64).transpose(0, 3, 1, 2) / 255
    errors, shares = [], []
    for t in range(count - 1):
        flow, back = (field(*pair, tall, wide, strength)[:, rows, columns].astype(float) for pair in ((t, t + 1), (t + 1, t)))
        returned = warped(back, flow)
        hidden = (returned + flow)[0] ** 2 + (returned + flow)[1] ** 2 > 0.01 * (
            lengths(returned) ** 2 + lengths(flow) ** 2
        ) + 0.5
        step_x, step_y = np.zeros_like(flow), np.zeros_like(flow)
        step_x[:, :, :-1], step_y[:, :-1] = flow[:, :, 1:] - flow[:, :, :-1], flow[:, 1:] - flow[:, :-1]
        hidden |= (step_x**2).sum(0) + (step_y**2).sum(0) > 0.01 * lengths(flow) ** 2 + 0.002
        seen = ~hidden
        loss = ((warped(frames[t + 1], flow) - frames[t]) ** 2).sum(0)
        shares.append(seen.mean())
        if seen.any():
            errors.append((loss * seen).sum() / (3 * seen.sum()))
    return float(np.mean(errors)), shares


@pytest.mark.parametrize("strength", [0.3, 1.0, 2.5])
@pytest.mark.parametrize("size", [(2, 128, 128), (4, 131, 150), (5, 136, 129)])
def test_warping_error(size: tuple[int, int, int], strength: float) -> None:
    clip = numbered(*size)
    expected, shares = error_by_hand(clip, strength)
    assert 0 < min(shares) < 1
    found = []
    for batch in (1, 3, 8):
        metric = WarpingError(GivenFlow(strength), batch=batch)
        metric.update(clip, Record(index=0))
        found.append(metric.compute())
        # A vector at the very threshold may fall on either side of it.
        assert metric.scores[0].details["followed"] == pytest.approx(shares, abs=3e-4)
        assert found[-1] == pytest.approx(expected, rel=1e-3)
    assert found == pytest.approx([found[0]] * 3, abs=1e-6)
    assert not metric.higher_is_better


class TornFlow(GivenFlow):
    """Nothing finds its way back."""

    def flow(self, frames_BCHW: torch.Tensor, pairs: Pairs) -> torch.Tensor:
        return super().flow(frames_BCHW, pairs) * 0 + 7


def test_a_video_that_cannot_be_followed_has_no_value() -> None:
    metric = WarpingError(TornFlow(1.0))
    metric.update(numbered(4, 128, 128), Record(index=0))
    assert metric.scores[0].value is None
    assert metric.compute() is None
    assert metric.scores[0].details["followed"] == [0, 0, 0]


def test_a_still_has_no_error_and_no_motion() -> None:
    pixels = np.repeat(numbered(1, 128, 130).frames_THWC, 9, 0)
    clip = Clip(frames_THWC=pixels, fps=8.0, sha256="0", path="still.mp4")
    values = {}
    for cls in (*STATS, WarpingError):
        metric = cls(GivenFlow(0.0))
        metric.update(clip, Record(index=0))
        values[metric.id] = metric.compute()
    assert values.pop("warping_error") == pytest.approx(0, abs=1e-10)
    assert values == {"flow_stats.mean": 0, "flow_stats.top5": 0, "flow_stats.jolt": 0, "flow_stats.reversal": None}


def stats_by_hand(clip: Clip, strength: float) -> dict[str, float | None]:
    count, height, width, _ = clip.frames_THWC.shape
    step = max(1, round(clip.fps / 8))
    chosen = list(range(0, count, step))
    _, _, tall, wide = padded_sides(height, width, 8)
    fields = [field(a, b, tall, wide, strength) for a, b in itertools.pairwise(chosen)]
    unit = clip.fps / step / min(height, width)
    means, tops = [], []
    for flow in fields:
        size = lengths(flow)
        means.append(size.mean() * unit)
        tops.append(np.sort(size.ravel())[::-1][: int(size.size * 0.05)].mean() * unit)
    turned = moving = 0
    for before, after in itertools.pairwise(fields):
        both = (lengths(before) > min(height, width) / 256) & (lengths(after) > min(height, width) / 256)
        moving += both.sum()
        turned += (both & ((before * after).sum(0) < 0)).sum()
    jolts = [abs(means[t - 1] - 2 * means[t] + means[t + 1]) for t in range(1, len(means) - 1)]
    return {
        "flow_stats.mean": float(np.mean(means)), "flow_stats.top5": float(np.mean(tops)),
        "flow_stats.reversal": turned / moving if moving else None, "flow_stats.jolt": max(jolts),
    }  # fmt: skip


@pytest.mark.parametrize(("size", "fps"), [
    ((9, 128, 130), 8.0), ((20, 133, 128), 24.0), ((45, 128, 152), 30.0), ((6, 130, 130), 5.0),
])  # fmt: skip
def test_flow_stats(size: tuple[int, int, int], fps: float) -> None:
    clip = numbered(*size, fps=fps)
    expected = stats_by_hand(clip, 1.2)
    assert 0 < (expected["flow_stats.reversal"] or 0) < 1
    for batch in (1, 3, 8):
        for cls in STATS:
            metric = cls(GivenFlow(1.2), batch=batch)
            metric.update(clip, Record(index=0))
            assert metric.compute() == pytest.approx(expected[metric.id], rel=1e-5, abs=1e-6)


def test_one_pass_for_all_that_look_at_eight_frames_a_second() -> None:
    clip, flow = numbered(12, 128, 128), GivenFlow(3.0)
    alone = DynamicDegree(GivenFlow(3.0), batch=2)
    alone.update(clip, Record(index=0))
    assert alone.compute() == 1
    shared = [DynamicDegree(flow, batch=2), *(cls(flow, batch=2) for cls in STATS), DynamicDegree(flow, batch=2)]
    asked = []
    for metric in shared:
        metric.update(clip, Record(index=0))
        asked.append(len(flow.pairs))
    assert asked[0] < asked[1] == asked[-1] == 11, "dynamic_degree stops early; the rest is computed once"
    assert shared[0].scores == shared[-1].scores == alone.scores, "whatever else looked at the video"


def test_an_error_on_the_way_meets_everybody() -> None:
    clip, flow = numbered(12, 128, 128), GivenFlow(0.0, bad=5)
    for cls in (*STATS, *STATS, DynamicDegree):
        with pytest.raises(ClipError) as caught:
            cls(flow, batch=2).update(clip, Record(index=0))
        assert caught.value.code == "non_finite"
    assert len(flow.pairs) == 6
    items = Remembered(iter([1, 2, 3]))
    assert [*zip(items, range(2))] == [(1, 0), (2, 1)]
    assert list(items) == list(items) == [1, 2, 3]


@pytest.mark.parametrize("cls", [*STATS, WarpingError])
def test_what_cannot_be_measured_has_a_code(cls: type[VideoMetric]) -> None:
    needed = getattr(cls, "needed", 2)
    cases = [(clip_of(9, 127, 300), "too_small")]
    if cls is not WarpingError:
        cases.append((numbered(needed - 1, 128, 128), "too_short"))
    for clip, code in cases:
        with pytest.raises(ClipError) as caught:
            cls(GivenFlow(1.0)).update(clip, Record(index=0))  # type: ignore[call-arg]
        assert caught.value.code == code


def has_torchvision() -> bool:
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


@pytest.mark.skipif(not has_torchvision(), reason="needs a torchvision that fits torch")
def test_raft_itself(tmp_path: Path) -> None:
    from torchvision.models.optical_flow import raft_large

    torch.manual_seed(0)
    model = raft_large(weights=None, progress=False).eval()
    torch.save(model.state_dict(), tmp_path / "raft.pth")
    towers = Towers(find(["raft"], {"raft": tmp_path / "raft.pth"}))
    frames = torch.rand(3, 3, 128, 136) * 2 - 1
    with torch.no_grad():
        expected = model(frames[:1], frames[1:2], num_flow_updates=20)[-1]
        scale = float(expected.abs().max())
        torch.testing.assert_close(towers.raft.flow(frames[:2], [(0, 1)]), expected, atol=1e-5 * scale, rtol=1e-5)
        assert expected.abs().max() > 0.01
        pairs = [(0, 1), (1, 2), (1, 0), (2, 0)]
        each = torch.cat([model(frames[a : a + 1], frames[b : b + 1], num_flow_updates=20)[-1] for a, b in pairs])
        torch.testing.assert_close(towers.raft.flow(frames, pairs), each, atol=1e-3 * float(each.abs().max()), rtol=1e-4)
    clip = numbered(4, 128, 131)
    for name in ("dynamic_degree", *(entry.id for entry in ENTRIES if entry.torchvision)):
        metric = load(name).build(towers, Options(batch=2))
        metric.update(clip, Record(index=0))
        value = metric.compute()
        assert value is None or metric.range[0] <= value <= metric.range[1]
