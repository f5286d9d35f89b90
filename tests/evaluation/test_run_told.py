"""What an evaluation tells beside its rows: missing files and notes; and that it reads no file twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation import run
from evaluation.inputs.manifest import numbered
from evaluation.job import Job
from evaluation.lengths import with_protocol
from evaluation.results import write_results
from evaluation.run import evaluate
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


def test_the_warning_on_long_videos_stays_with_the_results(tmp_path: Path) -> None:
    write_mp4(tmp_path / "a.mp4", moving(12, 64, 64), fps=2)
    record = Record(index=0, video=str(tmp_path / "a.mp4"), prompt="a", prompt_id="a")
    job = Job(records=(record,), metrics=("temporal_flickering",), notes=("odd",), device="cpu")
    told = with_protocol(job, "vbench")
    assert (told.protocol, told.notes[0], len(told.notes)) == ("vbench", "odd", 2)
    assert "1 of 1 videos last 5 s or more" in told.notes[1]
    assert with_protocol(job).protocol == "vbench_long"
    assert with_protocol(job).notes == ("odd",)
