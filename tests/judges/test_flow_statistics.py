"""Motion statistics of pictures whose motion is known."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rapo_lightning.judges.flow_statistics import DIRECTIONS, FlowStatistics, measure
from rapo_lightning.judges.motion_words import describe, summary, timeline
from rapo_lightning.judges.optical_flow import DenseFlow
from tests.judges.moving_pictures import scene, steadily, turned

FPS = 8.0
DIAGONAL = math.hypot(96, 128)
APART = [((8, 10), steadily(2, 0)), ((96, 60), steadily(-2, 0))]


def measured(grey_THW: NDArray[np.uint8], fps: float = FPS) -> FlowStatistics:
    large = [cv2.resize(frame_HW, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC) for frame_HW in grey_THW]
    return measure(np.stack(large), fps, DenseFlow("dis"))


def speed(pixels_a_frame: float) -> float:
    return pixels_a_frame * FPS / DIAGONAL


def mean_speed(statistics: FlowStatistics) -> float:
    return float(statistics.speed_N[statistics.moving_N > 0].mean())


def test_a_known_shift_is_measured_in_both_directions() -> None:
    statistics = measured(scene(((40, 30), steadily(1.5, -1.0))))
    velocity_2 = np.median(statistics.velocity_N2, axis=0)
    assert velocity_2 == pytest.approx([speed(1.5), speed(1.0)], rel=0.15)
    assert DIRECTIONS[statistics.directions.argmax()] == "up right"
    assert statistics.centre_N2[0] == pytest.approx([52 / 127, 1 - 42 / 95], abs=0.03)
    assert statistics.camera_NK == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("index", range(8))
def test_each_direction_has_its_bin(index: int) -> None:
    angle = index * math.pi / 4
    path = steadily(1.6 * math.cos(angle), -1.6 * math.sin(angle))
    assert measured(scene(((50, 36), path))).directions.argmax() == index


def test_opposite_motions_do_not_cancel() -> None:
    both, one = measured(scene(*APART)), measured(scene(APART[0]))
    assert np.abs(both.velocity_N2.mean(0)).max() < 0.2 * mean_speed(both)
    assert mean_speed(both) == pytest.approx(mean_speed(one), rel=0.15)
    assert both.moving_N.mean() == pytest.approx(2 * one.moving_N.mean(), rel=0.25)
    right, left = (both.directions[DIRECTIONS.index(way)] for way in ("right", "left"))
    assert min(right, left) > 0.35
    assert both.region_velocity_332[0, :, 0].sum() > 0 > both.region_velocity_332[2, :, 0].sum()
    assert "two parts move in opposite directions (right and left)" in describe(both)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (2, 0, "camera pans left"),
        (-1, 0, "camera pans right"),
        (0, 2, "camera tilts up"),
        (1, -1, "camera pans left and tilts down"),
    ],
)
def test_a_camera_move_is_no_object_motion(x: float, y: float, words: str) -> None:
    statistics = measured(scene(camera=steadily(x, y)))
    assert statistics.camera_NK[:, :2].mean(0) == pytest.approx([speed(x), -speed(y)], abs=0.01)
    assert statistics.moving_N.mean() < 0.005
    assert statistics.smoothness > 0.99
    assert describe(statistics).startswith(words)


def test_objects_keep_their_own_speed_under_a_camera_move() -> None:
    still = measured(scene(*APART))
    panned = measured(scene(((8, 10), steadily(3, 0)), ((96, 60), steadily(-1, 0)), camera=steadily(1, 0)))
    assert mean_speed(panned) == pytest.approx(mean_speed(still), rel=0.2)
    assert describe(panned).startswith("camera pans left; motion")
    assert "opposite directions" in describe(panned)


def test_zoom_roll_and_shake_are_the_cameras() -> None:
    picture = scene(frames=1)[0]
    zoomed, rolled = measured(turned(picture, scale=1.02)), measured(turned(picture, degrees=1.5))
    shaken = measured(scene(camera=lambda t: (2.0 * (-1) ** t, 0)))
    assert zoomed.camera_NK[:, 2].mean() == pytest.approx(math.log(1.02) * FPS, rel=0.1)
    assert rolled.camera_NK[:, 3].mean() == pytest.approx(math.radians(1.5) * FPS, rel=0.1)
    assert [describe(clip) for clip in (zoomed, rolled, shaken)] == [
        "camera zooms in; nothing moves",
        "camera rolls; nothing moves",
        "camera shakes; nothing moves",
    ]


def test_a_still_picture_is_smooth_and_said_to_be_still() -> None:
    statistics = measured(scene(((40, 30), steadily(0, 0))))
    assert statistics.still_N.all()
    assert statistics.smoothness == 1.0
    assert np.isnan(statistics.smoothness_M).all()
    assert describe(statistics) == "camera is still; nothing moves"


def test_noise_of_a_codec_is_not_motion() -> None:
    grey_THW = scene(((40, 30), steadily(0, 0))).astype(float)
    noisy_THW = (grey_THW + np.random.default_rng(0).normal(0, 4, grey_THW.shape)).clip(0, 255).astype(np.uint8)
    assert describe(measured(noisy_THW)) == "camera is still; nothing moves"


def test_a_flat_background_does_not_move_with_the_thing_before_it() -> None:
    flat, textured = (measured(scene(((20, 36), steadily(2, 0)), flat=flat)) for flat in (True, False))
    assert flat.camera_NK == pytest.approx(0, abs=0.01)
    assert flat.moving_N.mean() < 1.5 * textured.moving_N.mean()
    assert mean_speed(flat) == pytest.approx(speed(2), rel=0.2)


def test_smooth_uneven_and_broken_motion_are_told_apart() -> None:
    def along(path: list[float]) -> FlowStatistics:
        return measured(scene(((20, 36), lambda t: (path[int(t)], 0)), frames=len(path)))

    steady = along([2.0 * t for t in range(13)])
    faster = along([0.15 * t * t for t in range(13)])
    jump = along([1.0 * t + (7 if t >= 7 else 0) for t in range(13)])
    freezing = along([4.0 * (t // 2) for t in range(13)])
    shivering = along([20 + 2.0 * (-1) ** t for t in range(13)])
    assert steady.smoothness > 0.85 > jump.smoothness
    assert faster.smoothness > 0.6
    assert freezing.smoothness < 0.15
    assert shivering.smoothness < 0.3
    assert describe(steady).endswith("motion is smooth")
    assert summary(jump)["jumps"] == [0.75]
    assert describe(jump).endswith("motion jumps at 0.8 s")
    assert "motion is jerky throughout; the picture stands still 50% of the time" in describe(freezing)
    assert "motion turns back" in describe(shivering)
    assert steady.acceleration_M.mean() < 0.3 * shivering.acceleration_M.mean()


def test_an_acceleration_is_measured() -> None:
    statistics = measured(scene(((50, 4), lambda t: (0, 0.15 * t * t)), frames=12))
    downward = -statistics.velocity_N2[:, 1]
    assert np.polyfit(np.arange(4, 11), downward[4:], 1)[0] == pytest.approx(speed(0.3), rel=0.25)
    lines = timeline(statistics).splitlines()
    assert len(lines) == 11
    assert lines[-1].startswith("1.25-1.38 s: centre 49% from the left")


def test_flicker_is_not_motion() -> None:
    grey_THW = scene().astype(int) + np.array([12 * (-1) ** t for t in range(13)])[:, None, None]
    statistics = measured(grey_THW.clip(0, 255).astype(np.uint8))
    assert statistics.flicker == pytest.approx(24 / 255, rel=0.2)
    assert describe(statistics) == "camera is still; nothing moves; brightness flickers"


def test_speeds_do_not_depend_on_resolution_or_frame_rate() -> None:
    base = measured(scene(((40, 30), steadily(2, 0))))
    large = measured(scene(((80, 60), steadily(4, 0)), height=192, width=256, size=48))
    slow = measured(scene(((40, 30), steadily(1, 0)), frames=25), fps=2 * FPS)
    assert mean_speed(large) == pytest.approx(mean_speed(base), rel=0.15)
    assert mean_speed(slow) == pytest.approx(mean_speed(base), rel=0.15)
    assert large.directions.argmax() == slow.directions.argmax() == base.directions.argmax()


@pytest.mark.parametrize("shape", [(2, 96, 128), (3, 16, 16), (2, 4, 4), (3, 9, 300)])
def test_short_and_tiny_clips_are_measured(shape: tuple[int, int, int]) -> None:
    clip_THW = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    statistics = measure(clip_THW, 0.5, lambda before, after: np.zeros((*before.shape, 2), np.float32))
    assert len(statistics.smoothness_M) == shape[0] - 2
    assert describe(statistics).startswith("camera is still; nothing moves")
    assert summary(statistics)["speed"] == 0.0
    assert timeline(statistics).count("nothing moves") == shape[0] - 1
