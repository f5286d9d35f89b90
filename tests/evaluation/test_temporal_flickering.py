"""temporal_flickering against plain numpy, its sums over processes, and what the base of all metrics promises."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from evaluation.errors import ClipError
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.features import in_chunks
from evaluation.metrics.temporal_flickering import TemporalFlickering
from evaluation.precision import full_float32
from evaluation.video.clip import Clip, Record
from tests.evaluation.videos import clip_of

CLIPS = [
    clip_of(3, 20, 30, 1),
    clip_of(9, 17, 11, 2, fps=15),
    clip_of(2, 40, 40, 3, fps=24),
    clip_of(5, 8, 8, 4),
    clip_of(4, 9, 8, 5),
]


def reference(frames: np.ndarray) -> float:
    pixels = frames.astype(np.float64)
    means = [np.abs(pixels[t + 1] - pixels[t]).mean() for t in range(len(pixels) - 1)]
    return (255.0 - sum(means) / len(means)) / 255.0


def test_it_is_the_mean_over_pairs() -> None:
    metric = TemporalFlickering()
    for index, clip in enumerate(CLIPS):
        metric.update(clip, Record(index=index))
        assert metric.scores[index].value == pytest.approx(reference(clip.frames_THWC), abs=1e-12)
    assert metric.compute() == pytest.approx(np.mean([reference(clip.frames_THWC) for clip in CLIPS]), abs=1e-12)
    assert (metric.id, metric.range, metric.higher_is_better, metric.exact) == ("temporal_flickering", (0, 1), True, True)


def rank(number: int, world: int, rendezvous: str, out: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=number, world_size=world)
    metric = TemporalFlickering()
    if number < 2:  # the third rank sees no video
        for index in range(number, len(CLIPS), 2):
            metric.update(CLIPS[index], Record(index=index))
    else:
        metric._update_count = 1
    torch.save({"value": metric.compute(), "own": sorted(metric.scores)}, f"{out}/{number}.pt")
    dist.destroy_process_group()


def test_any_number_of_processes_gives_the_same_number(tmp_path: Path) -> None:
    alone = TemporalFlickering()
    for index in reversed(range(len(CLIPS))):
        alone.update(CLIPS[index], Record(index=index))
    mp.start_processes(rank, (3, str(tmp_path / "meet"), str(tmp_path)), nprocs=3, start_method="fork")  # type: ignore[no-untyped-call]
    results = [torch.load(tmp_path / f"{number}.pt", weights_only=True) for number in range(3)]
    assert [result["value"] for result in results] == [alone.compute()] * 3
    assert [result["own"] for result in results] == [[0, 2, 4], [1, 3], []]


class Given(VideoMetric):
    """Scores that are given by the record; a dimension with all three reductions."""

    id = "appearance_style"

    def score(self, clip: Clip, record: Record) -> Score:
        return Score.of_frames(torch.tensor(record.auxiliary_info["frames"]))


def test_reductions() -> None:
    frames = {0: [0.1, 0.3], 1: [0.9], 2: [0.2, 0.4, 0.6]}
    single, multi, macro = Given(), Given(reduction="multi"), Given(reduction="multi")
    macro.id = "subject_consistency"
    scaled = Given()
    scaled.id = "imaging_quality"
    for metric in (single, multi, macro, scaled):
        for index in (2, 0, 1):
            metric.update(CLIPS[0], Record(index=index, auxiliary_info={"frames": frames[index]}))
    assert single.compute() == pytest.approx(2.5 / 6)
    assert multi.compute() == pytest.approx((0.3 + 0.9 + 0.6) / 3)
    assert macro.compute() == pytest.approx((0.2 + 0.9 + 0.4) / 3)
    assert scaled.compute() == pytest.approx((0.2 + 0.9 + 0.4) / 300)


def test_a_video_counts_once_and_a_score_that_is_none_does_not_count() -> None:
    metric = Given()
    for _ in range(2):
        metric.update(CLIPS[0], Record(index=4, auxiliary_info={"frames": [0.5, 0.7]}))
    metric.update(CLIPS[0], Record(index=5, auxiliary_info={"frames": [0.6, 0.6, 0.6, 0.6]}))
    with pytest.raises(ClipError) as caught:
        metric.update(CLIPS[0], Record(index=6, auxiliary_info={"frames": [math.nan]}))
    assert caught.value.code == "non_finite"
    assert metric.compute() == pytest.approx(0.6)
    assert sorted(metric.scores) == [4, 5]
    metric.update(CLIPS[0], Record(index=5, auxiliary_info={"frames": [0.1]}))
    with pytest.raises(ValueError, match="two different rows for video 5"):
        metric.compute()
    metric.reset()
    metric._update_count = 1
    assert metric.compute() is None
    assert metric.scores == {}


def test_chunks_join_and_full_precision_ends() -> None:
    frames = torch.arange(7.0).view(7, 1, 1, 1)
    assert torch.equal(in_chunks(frames, 3, lambda chunk: chunk.flatten(1) * 2), frames.flatten(1) * 2)
    torch.backends.cudnn.allow_tf32 = True
    before = torch.get_float32_matmul_precision()
    with full_float32():
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
    assert torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == before
