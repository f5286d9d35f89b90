"""A run goes on from its record: after kill -9 anywhere, with more rounds, and for failures alone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.judges.fake import FakeJudge
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.sspo.log import read_all
from rapo_lightning.sspo.options import LoopOptions
from rapo_lightning.types import Candidate
from tests.sspo.killed import PROMPTS
from tests.sspo.parts import BALL, CATS, Run, Suffix, journal, run

KILLS = 22


def by_prompt(candidates: list[Candidate]) -> dict[str, list[Candidate]]:
    return {prompt.id: [c for c in candidates if c.prompt_id == prompt.id] for prompt in (BALL, CATS)}


def outcome(done: Run) -> list[list[Candidate]]:
    """All trajectories, without the time they took."""
    return [[replace(c, cost=replace(c.cost, seconds=0.0)) for c in t.candidates] for t in done.trajectories]


@pytest.mark.slow
def test_killed_runs_lose_nothing_repeat_nothing_and_end_like_a_whole_one(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.sspo.killed", str(tmp_path), str(KILLS), "0"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=200).stdout
    killed = {name: int(count) for name, count in map(str.split, printed.splitlines())}
    assert sum(killed.values()) >= KILLS
    whole = (tmp_path / "whole/candidates-0.jsonl").read_text().splitlines()
    assert len(whole) > 40
    for name in killed:
        folder = tmp_path / name
        lines = (folder / "candidates-0.jsonl").read_text().splitlines()
        assert sorted(lines) == sorted(whole), "lost, repeated or changed candidates"
        trajectories, expected = read_all(folder), read_all(tmp_path / "whole")
        for prompt in PROMPTS:
            assert [c.id for c in trajectories[prompt.id]] == [c.id for c in expected[prompt.id]]
        assert max(Counter(journal(folder)).values()) == 1, "a video was rendered twice"
        videos = {path.relative_to(folder) for path in folder.rglob("[!.]*.mp4")}
        assert videos == {path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.mp4")}
        for path in videos:
            assert (folder / path).read_bytes() == (tmp_path / "whole" / path).read_bytes()


@pytest.mark.parametrize("kept", range(15))
def test_a_run_cut_after_any_record_ends_like_a_whole_one(tmp_path: Path, kept: int) -> None:
    rewriter = FakeRewriter(["{prompt}", "{prompt} flying", "a", "{prompt}", "{prompt} sinking", "{prompt} resting"])
    options = LoopOptions(rounds=4, patience=2)
    whole = run(tmp_path, rewriter=rewriter, augmenter=Suffix(fail_on="cats"), options=options)
    again = run(
        tmp_path, rewriter=rewriter, augmenter=Suffix(fail_on="cats"), options=options, history=by_prompt(whole.recorded[:kept])
    )
    assert outcome(again) == outcome(whole)
    assert len(again.recorded) == max(0, len(whole.recorded) - kept)
    assert again.stops == whole.stops
    assert max(Counter(journal(tmp_path)).values()) == 1


def test_more_rounds_go_on_where_fewer_ended(tmp_path: Path) -> None:
    short = run(tmp_path, options=LoopOptions(rounds=1, patience=None))
    longer = run(tmp_path, options=LoopOptions(rounds=3, patience=None), history=by_prompt(short.recorded))
    assert [c.round for c in longer.recorded] == [2, 2, 3, 3]
    whole = run(tmp_path / "whole", options=LoopOptions(rounds=3, patience=None))
    assert [[(c.id, c.text, c.reward, c.parent) for c in candidates] for candidates in outcome(longer)] == [
        [(c.id, c.text, c.reward, c.parent) for c in candidates] for candidates in outcome(whole)
    ]


def test_a_video_that_cannot_be_read_is_rendered_anew(tmp_path: Path) -> None:
    first = run(tmp_path, BALL, options=LoopOptions(rounds=0))
    path = Path(first.recorded[0].videos[0].path)
    path.write_bytes(b"")
    again = run(tmp_path, BALL, options=LoopOptions(rounds=0))
    assert journal(tmp_path) == [str(path)] * 2
    assert outcome(again) == outcome(first)


def test_retry_errors_does_failures_again_and_nothing_else(tmp_path: Path) -> None:
    healthy = run(tmp_path / "healthy", augmenter=Suffix())
    broken = run(
        tmp_path,
        generator=FakeGenerator(fail_on="ball, version 1", journal=str(tmp_path / "journal")),
        judges={
            "fake": FakeJudge(score=lambda video, prompt: None if "cats" in prompt.text else FakeJudge()._hash(video, prompt))
        },
        augmenter=Suffix(fail_on="ball"),
    )
    history = by_prompt(broken.recorded)
    assert run(tmp_path, augmenter=Suffix(), history=history).recorded == [], "without retry_errors failures stand"
    done = run(tmp_path, augmenter=Suffix(), history=history, retry_errors=True)
    assert sorted((c.prompt_id, c.text) for c in done.recorded) == sorted(
        (c.prompt_id, c.text)
        for c in healthy.recorded
        if c.prompt_id == CATS.id or c.text in {"a red ball, version 1", "a red ball, on a hill"}
    )
    texts_and_rewards = [[(c.round, c.text, c.reward, c.error) for c in t.candidates] for t in done.trajectories]
    assert texts_and_rewards == [[(c.round, c.text, c.reward, c.error) for c in t.candidates] for t in healthy.trajectories]
    assert max(Counter(journal(tmp_path)).values()) == 1, "videos that only lacked a score were rendered again"
    assert done.stops == {BALL.id: "rounds", CATS.id: "rounds"}
