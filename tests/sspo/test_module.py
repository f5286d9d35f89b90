"""The loop under a Trainer, in one process and in two: each prompt once, the same seeds and choices, nothing done twice."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from lightning import Trainer

from rapo_lightning.errors import InputError
from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.judges.fake import FakeJudge
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.sspo.data import PromptData, check_ranks
from rapo_lightning.sspo.log import read_all
from rapo_lightning.sspo.module import SSPOModule
from rapo_lightning.sspo.options import LoopOptions, Parts
from rapo_lightning.sspo.selection import AverageRanking, WeightedMean
from rapo_lightning.types import Candidate, Prompt, Trajectory, Video, candidate_id
from tests.sspo.parts import Suffix, journal

# Lightning 2.6 on torch 2.13.
pytestmark = pytest.mark.filterwarnings(r"ignore:.isinstance\(treespec, LeafSpec\):FutureWarning")

PROMPTS = [Prompt.of(text) for text in ("a red ball", "two cats", "rain on a roof", "a snail", "bees")]
OPTIONS = LoopOptions(rounds=2, patience=None, seeds=2)


class PlacedJudge:
    """A judge that remembers where it was placed."""

    device: torch.device | str | None = None

    def judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list:
        return FakeJudge().judge(videos, prompts)

    def to(self, device: torch.device | str) -> None:
        self.device = device


def parts(folder: Path, judge: object | None = None) -> Parts:
    return Parts(
        generator=FakeGenerator(journal=str(folder / "journal")),
        judges={"fake": judge or FakeJudge()},
        reward=WeightedMean(),
        selection=AverageRanking(),
        rewriter=FakeRewriter(),
        augmenter=Suffix(),
    )


def trainer(devices: int = 1) -> Trainer:
    return Trainer(
        accelerator="cpu",
        devices=devices,
        strategy="auto" if devices == 1 else "ddp_fork",
        logger=False,
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
    )


def predict(folder: Path, devices: int = 1, **arguments: object) -> SSPOModule:
    folder.mkdir(parents=True, exist_ok=True)
    module = SSPOModule(folder, arguments.pop("parts", None) or parts(folder), arguments.pop("options", OPTIONS), **arguments)
    trainer(devices).predict(module, PromptData(PROMPTS, batch_size=2), return_predictions=False)
    return module


def outcome(folder: Path) -> dict[str, list[Candidate]]:
    """What was recorded, less time and place."""
    return {
        key: [
            replace(c, cost=replace(c.cost, seconds=0.0), videos=tuple(replace(v, path=Path(v.path).name) for v in c.videos))
            for c in candidates
        ]
        for key, candidates in read_all(folder).items()
    }


def test_a_run_its_callbacks_and_its_resumption(tmp_path: Path) -> None:
    judge, seen = PlacedJudge(), list[tuple[Candidate, Trajectory]]()
    module = predict(tmp_path, parts=parts(tmp_path, judge), on_candidate=[lambda c, t: seen.append((c, t))])
    assert judge.device == torch.device("cpu")
    assert module.stops == {prompt.id: "rounds" for prompt in PROMPTS}
    recorded = read_all(tmp_path)
    assert set(recorded) == {prompt.id for prompt in PROMPTS}
    assert sorted((c.prompt_id, c.id) for c, _ in seen) == sorted((c.prompt_id, c.id) for cs in recorded.values() for c in cs)
    assert all(trajectory.last == candidate for candidate, trajectory in seen)
    assert len(journal(tmp_path)) == len(PROMPTS) * 4 * 2
    before = (tmp_path / "candidates-0.jsonl").read_bytes()
    predict(tmp_path)
    assert (tmp_path / "candidates-0.jsonl").read_bytes() == before
    assert len(journal(tmp_path)) == len(PROMPTS) * 4 * 2


def test_predictions_are_the_best_texts(tmp_path: Path) -> None:
    def score(video: Video, prompt: Prompt) -> float | None:
        return None if "cats" in prompt.text else float(candidate_id(0, prompt.text) not in video.path)

    module = SSPOModule(tmp_path, parts(tmp_path, FakeJudge(score=score)), LoopOptions(rounds=0))
    batches = trainer().predict(module, PromptData(PROMPTS, batch_size=2))
    assert batches == [
        ["a red ball, on a hill", "two cats"],
        ["rain on a roof, on a hill", "a snail, on a hill"],
        ["bees, on a hill"],
    ]


def test_sigterm_ends_a_run_after_the_round_under_way(tmp_path: Path) -> None:
    def terminate(candidate: Candidate, trajectory: Trajectory) -> None:
        if candidate.round == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    module = predict(tmp_path, on_candidate=[terminate])
    assert set(module.stops.values()) == {"interrupted"}
    assert {c.round for candidates in read_all(tmp_path).values() for c in candidates} == {0, 1}


def test_a_requested_stop_leaves_a_run_that_goes_on(tmp_path: Path) -> None:
    module = predict(tmp_path / "a", stop_requested=lambda: len(journal(tmp_path / "a")) >= 10)
    assert set(module.stops.values()) == {"interrupted"}
    assert len(journal(tmp_path / "a")) == 12
    predict(tmp_path / "a")
    predict(tmp_path / "b")
    assert outcome(tmp_path / "a") == outcome(tmp_path / "b")


def test_a_budget_of_videos_counts_earlier_sessions(tmp_path: Path) -> None:
    predict(tmp_path, max_videos=25)
    assert 20 <= len(journal(tmp_path)) <= 25
    first = outcome(tmp_path)
    module = predict(tmp_path, max_videos=25)
    assert outcome(tmp_path) == first
    assert set(module.stops.values()) == {"budget"}


def test_no_hours_no_videos_and_no_advice_on_loader_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lightning.pytorch.trainer.connectors.data_connector.suggested_max_num_workers", lambda processes: 8)
    module = predict(tmp_path, max_hours=0.0)
    assert (journal(tmp_path), set(module.stops.values())) == ([], {"budget"})


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    predict(tmp_path / "one")
    predict(tmp_path / "two", devices=2)
    assert outcome(tmp_path / "two") == outcome(tmp_path / "one")
    lines = [path.read_text().splitlines() for path in sorted((tmp_path / "two").glob("candidates-*.jsonl"))]
    assert [len(own) for own in lines] == [3 * 4, 2 * 4], "process 0 has every second prompt"
    rendered = Counter(Path(path).relative_to(tmp_path / "two") for path in journal(tmp_path / "two"))
    assert max(rendered.values()) == 1
    predict(tmp_path / "two")
    assert len(journal(tmp_path / "two")) == len(PROMPTS) * 4 * 2, "one process found all done by two"


def test_prompts_are_checked(tmp_path: Path) -> None:
    check_ranks(2, 2)
    with pytest.raises(InputError, match="3 prompts cannot be shared over 4 processes; use at most 3 devices"):
        check_ranks(3, 4)
    with pytest.raises(InputError, match="no prompts"):
        check_ranks(0, 1)
    with pytest.raises(InputError, match=f"twice: {PROMPTS[0].id}"):
        PromptData([*PROMPTS, PROMPTS[0]])
