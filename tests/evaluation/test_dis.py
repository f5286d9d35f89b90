"""Motion without weights: OpenCV's flow follows what moves, and the metrics on it carry their suffix."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evaluation.backbones.dis import DisFlow
from evaluation.catalog.table import CATALOG, load
from evaluation.errors import ClipError
from evaluation.metrics.base import VideoMetric
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record

NAMES = [name for name in CATALOG if name.endswith(".dis")]


def sliding(pixels_a_frame: int, frames: int = 6, size: int = 64, seed: int = 0) -> Clip:
    """A textured picture that slides to the left, so that content moves by -pixels in x."""
    generator = np.random.default_rng(seed)
    rough = torch.tensor(generator.uniform(0, 255, (1, 3, 20, 60)))
    wide = torch.nn.functional.interpolate(rough, size=(size, 3 * size), mode="bicubic").clamp(0, 255)[0].permute(1, 2, 0)
    views = [wide[:, t * pixels_a_frame : t * pixels_a_frame + size].numpy() for t in range(frames)]
    return Clip(frames_THWC=np.stack(views).astype(np.uint8), fps=8.0, sha256="0" * 64, path="slide.mp4")


def value(name: str, clip: Clip) -> float | None:
    metric: VideoMetric = load(name).build(Towers({}), Options())
    assert (metric.id, metric.exact) == (name, False)
    return metric.scored(clip, Record(index=0)).value


@pytest.mark.parametrize("pixels", [1, 3])
def test_the_flow_is_in_pixels_and_points_where_things_go(pixels: int) -> None:
    frames = sliding(pixels).frames_TCHW.float() * 2 / 255 - 1
    flow = DisFlow().flow(frames, [(t, t + 1) for t in range(5)])
    assert flow.shape == (5, 2, 64, 64)
    inner = flow[:, :, 8:-8, 16:-8]
    assert inner[:, 0].median().item() == pytest.approx(-pixels, abs=0.15)
    assert inner[:, 1].abs().median().item() < 0.15


def test_every_metric_of_motion_has_a_way_without_weights() -> None:
    assert set(NAMES) == {
        "dynamic_degree.dis", "warping_error.dis", "flow_stats.mean.dis", "flow_stats.top5.dis", "flow_stats.reversal.dis",
        "flow_stats.jolt.dis",
    }  # fmt: skip
    assert all(not CATALOG[name].weights and not CATALOG[name].torchvision for name in NAMES)


def test_still_and_moving_videos_are_told_apart() -> None:
    still, moving = sliding(0), sliding(4)
    assert (value("dynamic_degree.dis", still), value("dynamic_degree.dis", moving)) == (0.0, 1.0)
    speed = value("flow_stats.mean.dis", moving)
    assert speed == pytest.approx(4 * 8 / 64, rel=0.2), "4 of 64 pixels, 8 times a second"
    assert value("flow_stats.mean.dis", still) == pytest.approx(0, abs=0.01)
    assert value("flow_stats.jolt.dis", moving) == pytest.approx(0, abs=0.1)
    assert value("flow_stats.reversal.dis", moving) == pytest.approx(0, abs=0.01)
    assert value("flow_stats.reversal.dis", still) is None
    error = value("warping_error.dis", moving)
    assert error is not None
    assert error < 0.02


def test_a_video_that_is_too_small() -> None:
    with pytest.raises(ClipError, match="sides of 16 pixels") as caught:
        value("flow_stats.mean.dis", sliding(1, size=12))
    assert caught.value.code == "too_small"
