"""What an evaluation tells beside its rows: missing files and notes; and that it reads no file twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation import run
from evaluation.errors import InputError
from evaluation.inputs.manifest import numbered
from evaluation.job import Job, Long
from evaluation.lengths import with_protocol
from evaluation.measures import build, measures
from evaluation.metrics.long import LongMetric
from evaluation.metrics.temporal_flickering import TemporalFlickering
from evaluation.results import write_results
from evaluation.run import evaluate, plan
from evaluation.video.record import Record
from tests.evaluation.videos import moving, write_mp4


@pytest.fixture
def videos(tmp_path: Path) -> list[Record]:
    return [
        Record(index=0, video=str(write_mp4(tmp_path / f"{n}.mp4", moving(4, 64, 64, n))), prompt="the", prompt_id="the")
        for n in range(3)
    ]


def job_of(records: list[Record], **more: Any) -> Job:
    return Job(records=numbered(records), metrics=("temporal_flickering", "ssim_adj"), device="cpu", **more)


def test_files_that_a_suite_wants_count_as_missing_where_they_would_be_asked(videos: list[Record], tmp_path: Path) -> None:
    still = replace(videos[0], video=str(tmp_path / "still.mp4"), dimensions=("temporal_flickering",))
    acts = replace(videos[0], video=str(tmp_path / "acts.mp4"), dimensions=("human_action",))
    job = job_of(videos[:2], missing=(still, still, acts), notes=("few videos",))
    done = evaluate(job, tmp_path / "out")
    assert done.header.missing_files == (still.video, acts.video), "ssim_adj is asked of every video"
    assert (done.missing, done.errors) == (0, 0)
    summary = write_results(done, job)
    assert {name: entry["n_missing"] for name, entry in summary["metrics"].items()} == {"temporal_flickering": 2, "ssim_adj": 3}
    assert summary["notes"] == ["few videos"]
    assert "Few videos." in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    few = evaluate(replace(job, metrics=("temporal_flickering",)), tmp_path / "few")
    assert few.header.missing_files == (still.video,)


def test_each_file_is_hashed_once_and_none_after_the_stop(
    videos: list[Record], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    real = run.file_sha256
    monkeypatch.setattr(run, "file_sha256", lambda path: hashed.append(path) or real(path))
    job = job_of(videos)
    first = evaluate(job, tmp_path, stop=lambda: True)
    assert (hashed, len(first.rows)) == ([], 2)
    whole = evaluate(job, tmp_path)
    assert sorted(hashed) == sorted({record.video for record in videos}), "decoders hash what they read"
    assert len(whole.rows) == 2 * len(videos)


def test_equal_files_under_two_paths_are_both_told(videos: list[Record], tmp_path: Path) -> None:
    copy = replace(videos[0], video=str(tmp_path / "copy.mp4"), variant="optimised")
    Path(copy.video).write_bytes(Path(videos[0].video).read_bytes())
    job = job_of([videos[0], copy])
    for _ in range(2):
        done = evaluate(job, tmp_path / "out")
        assert [(row.video_path, row.variant, row.status) for row in done.rows] == [
            (record.video, record.variant, "ok") for record in job.records for _ in range(2)
        ]
        assert done.missing == 0


def test_the_last_error_is_told_whichever_process_found_it(videos: list[Record], tmp_path: Path) -> None:
    for record in videos:
        Path(record.video).write_bytes(b"no video")
    first = evaluate(replace(job_of(videos), devices=2), tmp_path / "out")
    assert {row.error_code for row in first.rows} == {"corrupt"}
    for record in videos:
        Path(record.video).write_bytes(b"")
    again = evaluate(job_of(videos), tmp_path / "out")
    assert {row.error_code for row in again.rows} == {"empty"}


def test_lengths_and_tables_of_long_videos(videos: list[Record], tmp_path: Path) -> None:
    for long, says in (
        (Long(lengths={"temporal_flikering": 3.0}), "temporal_flikering"),
        (Long(lengths={"scene": 0.5}), r"scene: 0\.5 s"),
        (Long(tables={"subject_consistncy": "x"}), "subject_consistncy"),
    ):
        with pytest.raises(InputError, match=says):
            plan(job_of(videos, long=long), tmp_path / "out")
    (tmp_path / "t.yaml").write_text("0.0: 0.0\n1.0: 1.0\n")
    tables = {"temporal_flickering": str(tmp_path / "t.yaml")}
    job = job_of(videos, protocol="vbench_long", long=Long(lengths={"scene": 3.0}, tables=tables))
    by, found = measures(job)
    metric = build(job, found, "cpu")["temporal_flickering.long"]
    assert isinstance(metric, LongMetric)
    assert (metric.lengths["scene"], metric.lengths["human_action"]) == (3.0, 10.0), "the others stay as they are"
    before = by["temporal_flickering.long"].asked(videos[0])
    (tmp_path / "t.yaml").write_text("0.0: 0.5\n1.0: 1.0\n")
    assert measures(job)[0]["temporal_flickering.long"].asked(videos[0]) != before, "another table, another question"


def test_a_long_metric_says_what_the_one_within_does(videos: list[Record]) -> None:
    metric = TemporalFlickering()
    metric.provenance = {"backbone": "judge", "wording": "w"}  # type: ignore[attr-defined]
    assert LongMetric(metric).provenance == {"backbone": "judge", "wording": "w"}
    assert LongMetric(TemporalFlickering()).provenance == {}


def test_the_warning_on_long_videos_stays_with_the_results(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", moving(12, 64, 64), fps=2)
    record = Record(index=0, video=str(tmp_path / "a.mp4"), prompt="a", prompt_id="a")
    job = Job(records=(record,), metrics=("temporal_flickering",), notes=("odd",), device="cpu")
    told = with_protocol(job, "vbench")
    assert (told.protocol, told.notes[0], len(told.notes)) == ("vbench", "odd", 2)
    assert "1 of 1 videos last 5 s or more" in told.notes[1]
    assert with_protocol(job).protocol == "vbench_long"
    assert with_protocol(job).notes == ("odd",)
