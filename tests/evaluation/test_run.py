"""Whole evaluations: one decode a file, equal results from one and two processes, resume, errors as rows."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from evaluation.catalog.table import entry, load
from evaluation.errors import ClipError, EvaluationError, InputError, WeightsError
from evaluation.inputs.manifest import numbered
from evaluation.job import Job, Long, Precision
from evaluation.measures import Measure, build, measures
from evaluation.metrics.base import Score, VideoMetric
from evaluation.metrics.long import LongMetric
from evaluation.metrics.subject_consistency import SubjectConsistency
from evaluation.metrics.temporal_flickering import TemporalFlickering
from evaluation.options import Options
from evaluation.rows import Row
from evaluation.run import Done, evaluate, plan
from evaluation.towers import Towers
from evaluation.video import ahead
from evaluation.video.clip import Clip, decode
from evaluation.video.record import Record
from evaluation.weights.lookup import find
from evaluation.work import Work
from tests.evaluation import tiny
from tests.evaluation.videos import moving, write_mp4

METRICS = ("temporal_flickering", "subject_consistency", "background_consistency", "aesthetic_quality", "appearance_style")
STYLE = {"appearance_style": {"appearance_style": "the ukiyo style"}}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("weights")
    tiny.dino_folder(folder / "dino")
    tiny.clip_folder(folder / "b32")
    tiny.clip_folder(folder / "l14", seed=5)
    tiny.head_file(folder / "head.pth")
    named = {"dino_vitb16": "dino", "clip_b32": "b32", "clip_l14": "l14", "laion_head": "head.pth"}
    return {name: str(folder / file) for name, file in named.items()}


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    folder = tmp_path_factory.mktemp("videos")
    records = []
    for number in range(4):
        path = write_mp4(folder / f"{number}.mp4", moving(3 + number, 64 + 16 * number, 80, number))
        records.append(
            Record(index=0, video=str(path), prompt="the", prompt_id=f"p{number // 2}", seed=number, auxiliary_info=STYLE)
        )
    return list(numbered(records))


def job_of(records: list[Record], weights: dict[str, str], metrics: tuple[str, ...] = METRICS, **more: Any) -> Job:
    return Job(records=numbered(records), metrics=metrics, weights=weights, device="cpu", **more)


def plain(rows: tuple[Row, ...]) -> list[Row]:
    return [replace(row, seconds=0.0) for row in rows]


def test_rows_are_what_each_metric_says_alone(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    done = evaluate(job_of(videos, weights), tmp_path)
    assert [(row.position, row.metric) for row in done.rows] == [(n, metric) for n in range(4) for metric in METRICS]
    assert (done.errors, done.missing) == (0, 0)
    towers = Towers(find([*weights], weights))
    for row in done.rows:
        metric = load(row.metric).build(towers, Options())
        clip = decode(videos[row.position].video)
        metric.update(clip, videos[row.position])
        alone = metric.scores[row.position]
        assert (row.value, row.total, row.count, row.last) == (alone.value, alone.total, alone.count, alone.last)
        assert (row.video_sha256, row.n_frames, row.fps) == (clip.sha256, len(clip.frames_THWC), clip.fps)
        assert (row.status, row.error_code) == ("ok", None)
    style = next(row for row in done.rows if row.metric == "appearance_style")
    assert style.backbone == "clip_b32"
    assert len(style.weights_sha256) == 64


def test_a_file_is_decoded_once_and_features_are_shared(
    videos: list[Record], weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from evaluation.backbones.clip import OpenAIClip

    decoded, seen = Counter[str](), Counter[str]()
    real_clip, real_images = ahead._Decoder.clip, OpenAIClip.images

    def clip(decoder: Any, path: str) -> Clip:
        decoded[path] += 1
        return real_clip(decoder, path)

    def images(backbone: OpenAIClip, pixels: Any) -> Any:
        seen[backbone.path.name] += len(pixels)
        return real_images(backbone, pixels)

    monkeypatch.setattr(ahead._Decoder, "clip", clip)
    monkeypatch.setattr(OpenAIClip, "images", images)
    twice = [*videos, *(replace(record, variant="optimised") for record in videos)]
    done = evaluate(job_of(twice, weights, ("background_consistency", "aesthetic_quality", "clip_temp")), tmp_path)
    assert set(decoded.values()) == {1}
    assert len(decoded) == 4
    frames = 3 + 4 + 5 + 6
    assert seen == {"b32": frames, "l14": frames}
    assert len(done.rows) == 24, "a file that stands for two variants has the rows of both"
    first = [replace(row, position=0, variant="") for row in plain(done.rows) if row.variant == "original"]
    assert first == [replace(row, position=0, variant="") for row in plain(done.rows) if row.variant == "optimised"]


def test_neither_order_nor_processes_change_a_row(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    one = evaluate(job_of(videos, weights), tmp_path / "one")
    two = evaluate(job_of(videos, weights, devices=2), tmp_path / "two")
    assert plain(one.rows) == plain(two.rows)
    assert one.header == two.header
    assert len(list((tmp_path / "two").glob("findings-*.jsonl"))) == 2
    turned = evaluate(job_of(videos[::-1], weights, METRICS[::-1]), tmp_path / "turned")
    by = {(row.video_path, row.metric): row for row in plain(one.rows)}
    assert [replace(row, position=0) for row in plain(turned.rows)] == [
        replace(by[row.video_path, row.metric], position=0) for row in turned.rows
    ]


def test_batches_change_no_row_by_more_than_a_millionth(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    together = evaluate(job_of(videos, weights), tmp_path / "together")
    single = evaluate(job_of(videos, weights, options=Options(batch=1)), tmp_path / "single")
    for a, b in zip(together.rows, single.rows, strict=True):
        assert a.value == pytest.approx(b.value, abs=1e-6)


def test_it_goes_on_where_it_was_stopped(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(videos, weights)
    seen: list[Work] = []
    first = evaluate(job, tmp_path, finished=lambda work, errors: seen.append(work), stop=lambda: len(seen) >= 1)
    assert 0 < len(first.rows) < 20
    assert first.missing == 20 - len(first.rows)
    whole = (tmp_path / "findings-0.jsonl").read_text()
    (tmp_path / "findings-0.jsonl").write_text(whole[:-40], encoding="utf-8")  # killed amid a line
    again: list[Work] = []
    what = plan(job, tmp_path)
    assert what.known == len(first.rows) - 1
    done = evaluate(job, tmp_path, finished=lambda work, errors: again.append(work))
    assert sum(len(work.items) for work in again) == 20 - len(first.rows) + 1
    fresh = evaluate(job, tmp_path / "fresh")
    assert plain(done.rows) == plain(fresh.rows)
    third: list[Work] = []
    last = evaluate(job, tmp_path, finished=lambda work, errors: third.append(work))
    assert third == []
    assert last.rows == done.rows, "bit for bit, seconds included"


def test_what_decides_a_value_makes_it_new(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    job = job_of(videos[:1], weights, ("subject_consistency", "background_consistency", "appearance_style"))
    evaluate(job, tmp_path)
    assert plan(job, tmp_path).todo == ()

    def asked(changed: Job) -> list[str]:
        return [name for work in plan(changed, tmp_path).todo for _, name in work.items]

    moved = replace(videos[0], seed=9, prompt_id="other", variant="optimised")
    assert asked(replace(job, records=(moved,))) == []
    other = replace(videos[0], auxiliary_info={"appearance_style": "another"})
    assert asked(replace(job, records=(other,))) == ["appearance_style"]
    assert asked(replace(job, weights={**weights, "clip_b32": weights["clip_l14"]})) == [
        "background_consistency", "appearance_style"
    ]  # fmt: skip
    assert asked(replace(job, protocol="vbench_long")) == [f"{name}.long" for name in job.metrics]
    changed = tmp_path / "changed.mp4"
    write_mp4(changed, moving(3, 64, 80, 99))
    assert len(asked(replace(job, records=(replace(videos[0], video=str(changed)),)))) == 3


def test_broken_files_are_rows_and_are_tried_again(
    videos: list[Record], weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, content in {"empty": b"", "text": b"not a video" * 50, "torn": Path(videos[3].video).read_bytes()[:900]}.items():
        (tmp_path / f"{name}.mp4").write_bytes(content)
    write_mp4(tmp_path / "one.mp4", moving(1, 64, 64))
    bad = {"empty": "empty", "text": "corrupt", "torn": "corrupt", "one": "too_short", "none": "missing"}
    records = [replace(videos[0], video=str(tmp_path / f"{name}.mp4")) for name in bad]
    job = job_of([videos[0], *records, videos[1]], weights, METRICS[:2])
    done = evaluate(job, tmp_path / "out")
    assert [row.error_code for row in done.rows] == [None, None, *(code for code in bad.values() for _ in range(2)), None, None]
    assert all(row.value is None and row.count == 0 and row.error_message for row in done.rows if row.status == "error")
    assert done.header.missing_files == (str(tmp_path / "none.mp4"),)
    alone = evaluate(job_of(videos[:2], weights, METRICS[:2]), tmp_path / "alone")
    assert [r.value for r in done.rows if r.status == "ok"] == [r.value for r in alone.rows]
    write_mp4(tmp_path / "none.mp4", moving(4, 64, 64))
    mended = evaluate(job, tmp_path / "out")
    assert sum(row.status == "error" for row in mended.rows) == 8
    assert [row.status for row in mended.rows if row.video_path.endswith("none.mp4")] == ["ok", "ok"]


def test_memory_that_runs_out_halves_the_batch(
    videos: list[Record], weights: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: list[int] = []
    real = SubjectConsistency.score

    def score(metric: SubjectConsistency, clip: Clip, record: Record) -> Any:
        tried.append(metric.batch)
        if metric.batch > fits:
            raise RuntimeError("CUDA out of memory. Tried to allocate 9 GiB")
        return real(metric, clip, record)

    monkeypatch.setattr(SubjectConsistency, "score", score)
    fits = 8
    done = evaluate(job_of(videos[:2], weights, ("subject_consistency",)), tmp_path / "a")
    assert tried == [32, 16, 8] * 2
    assert done.errors == 0
    fits = 0
    done = evaluate(job_of(videos[:1], weights, ("subject_consistency",)), tmp_path / "b")
    assert [row.error_code for row in done.rows] == ["oom"]
    monkeypatch.setattr(SubjectConsistency, "score", lambda *_: (_ for _ in ()).throw(ValueError("odd\nvideo")))
    done = evaluate(job_of(videos[:1], weights, ("subject_consistency",)), tmp_path / "c")
    assert [(row.error_code, "ValueError: odd (test_run.py:" in str(row.error_message)) for row in done.rows] == [
        ("failed", True)
    ]


class Own(VideoMetric):
    """A user's own metric."""

    id = "frames"
    exact = False

    def score(self, clip: Clip, record: Record) -> Any:
        from evaluation.metrics.base import Score

        if len(clip.frames_THWC) == 4:
            raise ClipError("bad_reply", "four")
        return Score.of_video(float(len(clip.frames_THWC)))


def test_a_metric_of_one_s_own_beside_the_others(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    for devices in (1, 2):
        done = evaluate(job_of(videos, weights, METRICS[:1], own=(Own(),), devices=devices), tmp_path / str(devices))
        assert [row.value for row in done.rows if row.metric == "frames"] == [3, None, 5, 6]


def test_only_the_dimensions_that_a_line_lists(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    listed = [
        replace(videos[0], dimensions=("temporal_flickering",)), replace(videos[1], dimensions=("scene",)), videos[2]
    ]  # fmt: skip
    done = evaluate(job_of(listed, weights, METRICS[:2], own=(Own(),)), tmp_path)
    assert [(row.position, row.metric) for row in done.rows] == [
        (0, "temporal_flickering"), (0, "frames"), (1, "frames"), (2, METRICS[0]), (2, METRICS[1]), (2, "frames")
    ]  # fmt: skip


def test_refusals_before_the_first_video(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no videos"):
        evaluate(job_of([], weights), tmp_path)
    with pytest.raises(InputError, match=r"temporal_flickerin: no such metric; did you mean temporal_flickering") as caught:
        evaluate(job_of(videos, weights, ("temporal_flickerin", "scene", "scen")), tmp_path)
    assert len(str(caught.value).splitlines()) >= 2
    with pytest.raises(InputError, match="named twice"):
        evaluate(job_of(videos, weights, (METRICS[0], METRICS[0])), tmp_path)
    with pytest.raises(InputError, match="no metric"):
        evaluate(job_of(videos, weights, ()), tmp_path)
    with pytest.raises(WeightsError, match=r"(?s)musiq_spaq.*umt_l16"):
        evaluate(job_of(videos, weights, ("imaging_quality", "human_action")), tmp_path)
    assert not list(tmp_path.glob("findings-*"))
    with pytest.raises(InputError, match="none of the videos"):
        evaluate(job_of([replace(videos[0], dimensions=("scene",))], weights, METRICS[:1]), tmp_path)


def test_one_evaluation_a_folder(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    def inner(work: Work, errors: int) -> None:
        with pytest.raises(InputError, match="another evaluation"):
            evaluate(job_of(videos, weights), tmp_path)

    evaluate(job_of(videos[:1], weights, METRICS[:1]), tmp_path, finished=inner)


class Deadly(VideoMetric):
    """Kills its process at the third video."""

    id = "deadly"

    def score(self, clip: Clip, record: Record) -> Any:
        import os

        from evaluation.metrics.base import Score

        if record.index == 2:
            os._exit(9)
        return Score.of_video(1.0)


def test_a_process_that_dies_is_told_and_its_findings_kept(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"process \d died \(exit status 9\)"):
        evaluate(job_of(videos, weights, own=(Deadly(),), metrics=(), devices=2), tmp_path)
    lines = [json.loads(line) for path in tmp_path.glob("findings-*") for line in path.read_text().splitlines()]
    assert {line["position"] for line in lines} >= {0, 1} or lines, "what was found is on disk"


def test_the_set_s_value_is_what_the_metric_computes(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    from evaluation.output.summary import summarise

    done: Done = evaluate(job_of(videos, weights), tmp_path)
    summary = summarise(done.rows, done.header)
    towers = Towers(find([*weights], weights))
    for name in METRICS:
        metric = load(name).build(towers, Options())
        for record in videos[::-1]:
            metric.update(decode(record.video), record)
        assert summary["metrics"][name]["value"] == metric.compute()


def test_flickering_needs_no_weights_at_all(videos: list[Record], tmp_path: Path) -> None:
    done = evaluate(Job(records=numbered(videos), metrics=("temporal_flickering",), device="cpu"), tmp_path)
    metric = TemporalFlickering()
    for record in videos:
        metric.update(decode(record.video), record)
    assert [row.value for row in done.rows] == [metric.scores[n].value for n in range(4)]


def test_long_videos_are_asked_by_the_length_of_their_clips(
    videos: list[Record], weights: dict[str, str], tmp_path: Path
) -> None:
    odd = Long(w_inclip=0.7, w_clip2clip=0.7, tables={METRICS[1]: "x"})
    listed = [
        replace(videos[3], dimensions=dimensions)
        for dimensions in ((METRICS[0],), (METRICS[0], "human_action"), (METRICS[0], "overall_consistency"))
    ]
    job = Job(records=numbered(listed), metrics=METRICS[:1], protocol="vbench_long", device="cpu")
    for _ in range(2):
        done = evaluate(job, tmp_path)
        assert [row.details["seconds"] for row in done.rows] == [2, 10, 10]
    with pytest.raises(InputError, match=r"w_inclip 0\.7 and w_clip2clip 0\.7 are not 1"):
        evaluate(replace(job, long=odd, metrics=METRICS[1:2], weights=weights), tmp_path)


def test_a_video_too_slow_for_clips_spoils_nothing_else(videos: list[Record], weights: dict[str, str], tmp_path: Path) -> None:
    slow = write_mp4(tmp_path / "slow.mp4", moving(5, 64, 64), fps=1)
    records = numbered([replace(videos[0], video=str(slow)), videos[0]])
    job = Job(records=records, metrics=METRICS[:1], protocol="vbench_long", device="cpu", long=Long(lengths={METRICS[0]: 1.0}))
    job = replace(job, records=numbered(replace(record, dimensions=(METRICS[0],)) for record in records))
    assert [row.error_code for row in evaluate(job, tmp_path / "out").rows] == ["too_short", None]


def test_half_batches_and_half_precision(weights: dict[str, str]) -> None:
    towers = Towers(find([*weights], weights))
    metric = SubjectConsistency.build(towers, Options(batch=8))
    long = LongMetric(metric)
    long.batch //= 2
    assert (long.batch, metric.batch) == (4, 4)
    half = Job(records=(), device="cuda", precision="vbench")
    kinds = {
        "background_consistency": ("clip_b32", "float16"),
        "aesthetic_quality": ("clip_l14+laion_head", "float16"),
        "temporal_style": ("viclip+clip_b32", "tf32"),
        "subject_consistency": ("dino_vitb16", "tf32"),
        "ssim_adj": ("", "float32"),
    }
    for name, (backbone, dtype) in kinds.items():
        measure = Measure(id=name, entry=entry(name), backbone=backbone)
        assert measure.dtype(half) == dtype
        assert measure.dtype(replace(half, device="cpu")) == measure.dtype(replace(half, precision="fp32")) == "float32"
    assert Measure(id="x", entry=None, backbone="mine").dtype(half) == "float32"


@pytest.mark.parametrize("precision", ["fp32", "vbench"])
def test_convolutions_are_vbench_s_where_its_precision_is_asked_for(
    precision: Precision, videos: list[Record], weights: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed: dict[str, bool] = {}
    job = job_of(videos[:1], weights, ("subject_consistency", "ssim_adj"), precision=precision, protocol="vbench_long")
    _, found = measures(job)
    for name, metric in build(job, found, "cpu").items():

        def score(clip: Clip, record: Record, name: str = name) -> Score:
            allowed[name] = torch.backends.cudnn.allow_tf32
            return Score.of_video(0.0)

        monkeypatch.setattr(metric, "score", score)
        metric.scored(decode(videos[0].video), videos[0])
    assert allowed == {"subject_consistency.long": precision == "vbench", "ssim_adj": False}


def test_the_judge_of_a_metric_of_one_s_own_goes_where_the_evaluation_runs() -> None:
    from evaluation.judge.local import LocalJudge
    from evaluation.judge.question import Question
    from evaluation.measures import build
    from evaluation.metrics.judged import Judged

    moving_judge, staying = LocalJudge("x"), LocalJudge("x", device="cpu")
    own = tuple(Judged(Question(id=str(n), question="Is it?"), judge) for n, judge in enumerate((moving_judge, staying)))
    build(Job(records=(), own=own), {}, "meta")
    assert (moving_judge._device, staying._device) == ("meta", "cpu")
