"""VBench or VBench-Long, the cuts, the tables and the means, against plain loops over lengths, rates and dimensions."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.errors import ClipError, InputError
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.long import Fusion, LongMetric
from evaluation.metrics.temporal_flickering import TemporalFlickering
from evaluation.protocol import choose, clip_seconds, first_frames, fused, mapped, read_lengths, read_table, slices
from evaluation.video.clip import Clip, Record
from tests.evaluation.videos import clip_of


def test_five_seconds_decide() -> None:
    assert choose([]).protocol == choose([4.99, 2.0]).protocol == "vbench"
    long = choose([81 / 16, 5.0])
    assert (long.protocol, long.long, long.short, long.warning) == ("vbench_long", 2, 0, "")
    with pytest.raises(InputError, match=r"^2 videos are shorter than 5 s and 1 are not.*--protocol"):
        choose([4.9, 5.0, 1.0])
    named = choose([4.9, 5.4], "vbench")
    assert named.protocol == "vbench"
    assert named.warning.startswith("1 of 2 videos last 5 s or more")
    assert choose([4.9], "vbench").warning == choose([4.9, 6.0], "vbench_long").warning == ""


def test_the_longest_need_of_a_prompt() -> None:
    assert clip_seconds(["aesthetic_quality", "imaging_quality"]) == 2
    assert clip_seconds(["aesthetic_quality", "overall_consistency"]) == 10
    assert clip_seconds(["human_action.videomae"]) == clip_seconds(["temporal_style"]) == 10
    assert clip_seconds(["Subject Consistency", "Overall Consistency"]) == 10
    assert clip_seconds(["temporal_style"], custom=True) == clip_seconds([]) == clip_seconds(["clip_score"]) == 2
    assert clip_seconds(["scene", "clip_score", "color"], lengths={"scene": 1.0, "color": 4.0}) == 4


@pytest.mark.parametrize(("total", "fps", "seconds", "starts", "length"), [
    (81, 16, 2, [0, 32, 49], 32), (64, 16, 2, [0, 32], 32), (31, 16, 2, [0], 31), (32, 16, 2, [0], 32), (33, 16.9, 2, [0, 1], 32),
    (81, 15, 10, [0], 81), (161, 15.5, 10, [0, 11], 150), (121, 23.976, 2.9, [0, 46, 75], 46), (7, 1.2, 2, [0, 2, 4, 5], 2),
])  # fmt: skip
def test_cuts(total: int, fps: float, seconds: float, starts: list[int], length: int) -> None:
    clip = clip_of(total, 8, 8, fps=fps)
    parts = slices(clip, seconds)
    assert [part.fps for part in parts] == [int(fps)] * len(starts)
    for part, start in zip(parts, starts, strict=True):
        assert np.array_equal(part.frames_THWC, clip.frames_THWC[start : start + length])
        assert np.shares_memory(part.frames_THWC, clip.frames_THWC)
    assert slices(clip, seconds)[0] is parts[0], "what is found out about a clip is shared"
    ends = first_frames(parts)
    if len(parts) == 1:
        assert ends is None
    else:
        assert ends is not None
        assert np.array_equal(ends.frames_THWC, clip.frames_THWC[starts])


def test_a_clip_holds_two_frames() -> None:
    with pytest.raises(ClipError, match="have 1 frames"):
        slices(clip_of(5, 8, 8, fps=1.5), 1)


TABLE = {0.0: 0.0, 0.25: 0.8, 0.5: 0.9, 1.0: 1.0}


def test_between_the_tables_entries() -> None:
    for score in (-0.3, 0.0, 0.1, 0.25, 0.3, 0.77, 1.0, 1.2):
        assert mapped(score, TABLE) == pytest.approx(np.interp(score, list(TABLE), list(TABLE.values())))
    assert fused(0.9, 0.3, TABLE, w_inclip=0.5, w_clip2clip=0.5) == pytest.approx(0.45 + 0.41)
    assert fused(0.9, None, TABLE, w_inclip=0.5, w_clip2clip=0.5) == fused(0.9, 0.0, TABLE, w_inclip=0.5, w_clip2clip=0.5) == 0.9
    assert fused(0.9, 0.3, TABLE, w_inclip=1.0, w_clip2clip=0.0) == 0.9


def test_files_of_tables_and_lengths(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("# places\n0.0: 0.0\n0.5: 0.25\n\n1.0: 1.0  # end\n")
    assert read_table(file) == {0.0: 0.0, 0.5: 0.25, 1.0: 1.0}
    file.write_text("human_action: 10.0\nscene: 2\n")
    assert read_lengths(file) == {"human_action": 10.0, "scene": 2.0}
    tables = [(text, read_table) for text in ("0.0: 0.0\n", "0.0: x\n", "a: 1\nb: 2\n", "0.0: 1\n0.1: nan\n")]
    for text, read in (*tables, *((text, read_lengths) for text in ("", "scenes: 2\n", "scene: 0.5\n"))):
        file.write_text(text)
        with pytest.raises(InputError, match=r"a\.yaml"):
            read(file)
    with pytest.raises(InputError, match=r"b\.yaml"):
        read_table(tmp_path / "b.yaml")


def flickering(frames: np.ndarray) -> float:
    pairs = [np.abs(b.astype(int) - a.astype(int)).mean() for a, b in itertools.pairwise(frames)]
    return (255 - float(np.mean(pairs))) / 255


@pytest.mark.parametrize(("total", "fps", "dimensions", "starts", "length"), [
    (50, 10, ("scene",), [0, 20, 30], 20), (50, 10, ("overall_consistency",), [0], 50), (40, 10, (), [0, 20], 20),
])  # fmt: skip
def test_the_mean_over_clips(total: int, fps: float, dimensions: tuple[str, ...], starts: list[int], length: int) -> None:
    metric = LongMetric(TemporalFlickering())
    assert (metric.id, metric.exact, metric.range, metric.higher_is_better) == ("temporal_flickering.long", False, (0, 1), True)
    values = []
    for index, seed in enumerate((3, 4)):
        clip = clip_of(total, 12, 14, seed, fps)
        metric.update(clip, Record(index=index, dimensions=dimensions))
        expected = [flickering(clip.frames_THWC[start : start + length]) for start in starts]
        assert metric.scores[index].details["clips"] == pytest.approx(expected)
        assert metric.scores[index].value == pytest.approx(np.mean(expected))
        values.append(np.mean(expected))
    assert metric.compute() == pytest.approx(np.mean(values))


class Likeness(VideoMetric):
    """A value from the first pixel of each frame; says nothing where that is 255; breaks where it is 254."""

    id = "subject_consistency"
    higher_is_better = False
    range = (-2.0, 2.0)

    def score(self, clip: Clip, record: Record) -> Score:
        first = torch.from_numpy(clip.frames_THWC[:, 0, 0, 0].astype(float))
        if first[0] == 255:
            return Score.left_out({})
        if first[0] == 254:
            raise ClipError("bad_reply", "no")
        return Score.of_frames(first / 500)


def marked(starts: list[int]) -> Clip:
    """Clips of four frames, each with its own first pixel."""
    clip = clip_of(4 * len(starts), 8, 8, fps=2.0)
    clip.frames_THWC[:, 0, 0, 0] = np.repeat(starts, 4)
    return clip


def test_within_clips_and_from_clip_to_clip() -> None:
    metric = LongMetric(Likeness(), fusion=Fusion(w_inclip=0.5, w_clip2clip=0.5, table=TABLE))
    assert (metric.higher_is_better, metric.range) == (False, (-2, 2))
    metric.update(marked([50, 100, 240]), Record(index=0))
    within = between = (50 + 100 + 240) / 3 / 500
    assert metric.scores[0].value == pytest.approx(0.5 * within + 0.5 * np.interp(between, list(TABLE), list(TABLE.values())))
    assert metric.scores[0].details["clip2clip"] == pytest.approx(between)
    metric.update(marked([50]), Record(index=1))
    assert metric.scores[1].value == pytest.approx(0.1), "a single clip"
    assert metric.compute() == pytest.approx((metric.scores[0].value + 0.1) / 2), "the mean over videos, not over frames"
    plain = LongMetric(Likeness())
    plain.update(marked([50, 100, 240]), Record(index=0))
    assert plain.compute() == pytest.approx(within)
    for make, match in (
        (lambda: Fusion(w_inclip=0.5, w_clip2clip=0.5), "mapping table"),
        (lambda: Fusion(w_inclip=0.5, w_clip2clip=0.2, table=TABLE), "not 1 in all"),
        (lambda: LongMetric(TemporalFlickering(), fusion=Fusion()), "not looked at from clip to clip"),
    ):
        with pytest.raises(ValueError, match=match):
            make()


def test_clips_that_are_left_out_and_clips_that_fail() -> None:
    metric = LongMetric(Likeness())
    metric.update(marked([50, 255, 100]), Record(index=0))
    assert metric.scores[0].details["clips"] == [0.1, None, 0.2]
    assert metric.scores[0].value == pytest.approx(0.15)
    metric.update(marked([255, 255]), Record(index=1))
    assert metric.scores[1].value is None
    with pytest.raises(ClipError, match="no"):
        metric.update(marked([50, 254]), Record(index=2))
    assert metric.compute() == pytest.approx(0.15)


def test_only_static_clips() -> None:
    metric = LongMetric(Likeness(), keep=lambda part: part.frames_THWC[0, 0, 0, 0] > 90)
    metric.update(marked([50, 100, 200]), Record(index=0))
    assert metric.scores[0].value == pytest.approx(0.3)
    assert (metric.scores[0].details["kept"], metric.scores[0].details["cut"]) == (2, 3)
    metric.update(marked([50, 60]), Record(index=1))
    assert metric.scores[1].value is None
