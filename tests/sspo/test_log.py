"""The candidate log: merged over processes, movable, and honest about what was recorded twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rapo_lightning.errors import RecordError
from rapo_lightning.sspo.log import CandidateLog, read_all, video_path
from rapo_lightning.types import Candidate, Feedback, Video
from tests.contracts import a_candidate


def in_folder(folder: Path, text: str, round: int, **changes: object) -> Candidate:
    candidate = replace(a_candidate(text, 0.5, round=round), **changes)
    return replace(
        candidate, videos=tuple(replace(v, path=video_path(folder, "p", candidate.id, v.seed)) for v in candidate.videos)
    )


def test_paths_are_relative_on_disk_and_a_folder_can_be_moved(tmp_path: Path) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    candidate = in_folder(before, "a", 0)
    CandidateLog(before, 3).append(candidate)
    line = json.loads((before / "candidates-3.jsonl").read_text())
    assert [video["path"] for video in line["videos"]] == [f"videos/p/{candidate.id}-0.mp4"]
    assert read_all(before) == {"p": [candidate]}
    before.rename(after)
    assert read_all(after) == {"p": [in_folder(after, "a", 0)]}


def test_all_processes_are_read_in_the_order_of_rounds(tmp_path: Path) -> None:
    candidates = [in_folder(tmp_path, text, round) for round, text in enumerate("abcd")]
    for rank, candidate in zip((1, 0, 10, 2), reversed(candidates)):
        CandidateLog(tmp_path, rank).append(candidate)
    other = replace(in_folder(tmp_path, "e", 0), prompt_id="q")
    CandidateLog(tmp_path, 0).append(other)
    assert read_all(tmp_path) == {"p": candidates, "q": [other]}
    assert read_all(tmp_path / "nothing here") == {}


def test_the_first_record_counts_unless_it_failed(tmp_path: Path) -> None:
    good = in_folder(tmp_path, "a", 0)
    refused = replace(good, id="r1-x", round=1, videos=(), feedback=(), reward=None, error="refused")
    unscored = replace(good, feedback=(Feedback(judge="a", error="down"),), reward=None)
    log = CandidateLog(tmp_path, 0)
    for candidate in (unscored, refused, good, replace(good, reward=0.9), replace(refused, error="again")):
        log.append(candidate)
    assert read_all(tmp_path) == {"p": [good, replace(refused, error="again")]}


def test_a_torn_line_is_dropped_and_written_over(tmp_path: Path) -> None:
    log = CandidateLog(tmp_path, 0)
    first, second = in_folder(tmp_path, "a", 0), in_folder(tmp_path, "b", 1)
    log.append(first)
    log.append(second)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole[:-20])
    assert read_all(tmp_path) == {"p": [first]}
    log.append(second)
    assert log.path.read_bytes() == whole


def test_a_foreign_line_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "candidates-0.jsonl").write_text('{"schema": "video/1"}\n')
    with pytest.raises(RecordError, match=r"candidates-0\.jsonl:1"):
        read_all(tmp_path)


def test_a_video_has_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert video_path("runs/x", "p", "r0-1f", 7) == str(tmp_path / "runs/x/videos/p/r0-1f-7.mp4")
    assert Video(path=video_path("x", "p", "r0-1f", 7), seed=7, frames=1, fps=1.0, height=2, width=2).path.startswith("/")
