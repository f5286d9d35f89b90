"""The motion judge on videos whose motion is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rapo_lightning.judges import OpticalFlowJudge
from rapo_lightning.judges.optical_flow import DenseFlow, Method
from rapo_lightning.protocols import Judge
from rapo_lightning.types import Prompt, Video
from tests.contracts import check_judge
from tests.judges.moving_pictures import scene, steadily, write

PROMPT = Prompt.of("a square moves to the right")


@pytest.fixture(scope="module")
def smooth(tmp_path_factory: pytest.TempPathFactory) -> Video:
    return write(tmp_path_factory.mktemp("smooth") / "a.mp4", scene(((20, 36), steadily(2, 0))), seed=3)


@pytest.fixture(scope="module")
def freezing(tmp_path_factory: pytest.TempPathFactory) -> Video:
    return write(tmp_path_factory.mktemp("freezing") / "b.mp4", scene(((20, 36), lambda t: (4 * (t // 2), 0))))


def test_smooth_motion_scores_above_freezing_motion(smooth: Video, freezing: Video) -> None:
    first, second = OpticalFlowJudge().judge([smooth, freezing], [PROMPT] * 2)
    assert first.score is not None
    assert second.score is not None
    assert first.score > 0.8 > 0.2 > second.score
    assert (first.judge, first.seed) == ("motion", 3)
    assert first.critique.startswith("camera is still; motion right, mostly")
    assert first.critique.endswith("motion is smooth")
    assert "motion is jerky throughout" in second.critique


def test_it_keeps_the_judges_contract(smooth: Video, freezing: Video) -> None:
    judge = OpticalFlowJudge(frames=7)
    assert isinstance(judge, Judge)
    check_judge(judge, [smooth, freezing], [PROMPT] * 2)


def test_details_are_plain_numbers(smooth: Video) -> None:
    details = OpticalFlowJudge().judge([smooth], [PROMPT])[0].details
    assert json.loads(json.dumps(details)) == details
    assert details["speed"] == pytest.approx(2 * 8 / 160, rel=0.15)
    assert details["directions"]["right"] > 0.9
    assert details["still_share"] == 0.0
    assert np.shape(details["regions"]) == (3, 3)


@pytest.mark.parametrize(("frames", "message"), [(1, "has one frame"), (2, "two frames do not tell")])
def test_a_clip_too_short_is_unscored(tmp_path: Path, frames: int, message: str) -> None:
    video = write(tmp_path / "short.mp4", scene(frames=frames), seed=5)
    (feedback,) = OpticalFlowJudge().judge([video], [PROMPT])
    assert feedback.error is not None
    assert feedback.error.startswith("unscored: ")
    assert message in feedback.error
    assert feedback.seed == 5


def test_three_frames_at_one_a_second_are_scored(tmp_path: Path) -> None:
    video = write(tmp_path / "slow.mp4", scene(((20, 36), steadily(2, 0)), frames=3), fps=1.0)
    (feedback,) = OpticalFlowJudge().judge([video], [PROMPT])
    assert feedback.score == pytest.approx(0.9, abs=0.1)


@pytest.mark.parametrize("fps", [0.0, float("nan"), float("inf"), -8.0])
def test_a_frame_rate_that_is_none_is_unscored(smooth: Video, fps: float) -> None:
    (feedback,) = OpticalFlowJudge().judge([replace(smooth, fps=fps)], [PROMPT])
    assert feedback.error == f"unscored: {smooth.path} has {fps} frames a second"


def test_long_and_large_clips_are_sampled_and_scaled_without_changing_speeds(tmp_path: Path) -> None:
    grey_THW = scene(((20, 36), steadily(1, 0)), frames=33)
    video = write(tmp_path / "long.mp4", np.repeat(np.repeat(grey_THW, 4, 1), 4, 2))
    (feedback,) = OpticalFlowJudge(frames=17, max_side=256).judge([video], [PROMPT])
    assert feedback.details["speed"] == pytest.approx(8 / 160, rel=0.2)


@pytest.mark.parametrize(("method", "tolerance"), [("dis", 0.1), ("farneback", 1.5)])
def test_a_known_shift_is_found(method: Method, tolerance: float) -> None:
    before_HW, after_HW = scene(camera=steadily(-5, -3), frames=2)
    inner = DenseFlow(method)(before_HW, after_HW)[16:-16, 16:-16]
    assert inner.shape == (64, 96, 2)
    assert inner.dtype == np.float32
    assert inner.mean((0, 1)) == pytest.approx([-5, -3], abs=tolerance)


def test_farneback_judges_too(smooth: Video, freezing: Video) -> None:
    first, second = OpticalFlowJudge(method="farneback").judge([smooth, freezing], [PROMPT] * 2)
    assert first.score is not None
    assert second.score is not None
    assert first.score > second.score + 0.3


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 3"):
        OpticalFlowJudge(frames=2)
