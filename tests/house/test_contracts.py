"""Every fake and every pure part keeps its contract, and the checks catch parts that do not."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.judges.fake import FakeJudge
from rapo_lightning.language.fake import FakeLanguageModel
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.rewriters.repeat import RepeatPrompt
from rapo_lightning.sspo.selection import AverageRanking, HighestReward, WeightedMean
from rapo_lightning.types import Candidate, Failure, Feedback, Prompt, Reply, Trajectory, Video, candidate_id
from tests import contracts

PROMPTS = [Prompt.of("a red ball rolls"), Prompt.of("two cats sleep"), Prompt.of("rain")]
TRAJECTORIES = [contracts.a_trajectory(p.text, *([0.5] * n)) for n, p in enumerate(PROMPTS)]
CONVERSATIONS = [[{"role": "user", "content": p.text}] for p in PROMPTS]


def videos(folder: Path) -> list[Video]:
    paths = [str(folder / f"{p.id}.mp4") for p in PROMPTS]
    return [v for v in FakeGenerator().generate([p.text for p in PROMPTS], [1, 2, 3], paths) if isinstance(v, Video)]


class Suffix:
    """An augmenter and an encoder as small as they can be, for the checks of the seams that have no fake."""

    device = "nowhere"

    def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
        return [
            Candidate(id=candidate_id(0, p.text), prompt_id=p.id, round=0, text=f"{p.text}, in rain", origin="rapo")
            for p in prompts
        ]

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        rows = [list(hashlib.sha256(text.encode()).digest()) for text in texts]
        return torch.nn.functional.normalize(torch.tensor(rows, dtype=torch.float32).reshape(-1, 32), dim=-1)

    def tokens_over_limit(self, texts: Sequence[str]) -> list[int]:
        return [max(0, len(text.split()) - 512) for text in texts]

    def to(self, device: torch.device | str) -> None:
        self.device = str(device)


def test_fakes_and_pure_parts_keep_their_contracts(tmp_path: Path) -> None:
    contracts.check_generator(FakeGenerator(), tmp_path / "videos", [p.text for p in PROMPTS], tolerance=0.0)
    contracts.check_judge(FakeJudge(), videos(tmp_path), PROMPTS, tolerance=0.0)
    for rewriter in (FakeRewriter(), FakeRewriter(["{prompt} at dawn"]), RepeatPrompt()):
        contracts.check_rewriter(rewriter, TRAJECTORIES)
    for model in (FakeLanguageModel(), FakeLanguageModel({"ball": "a ball", "cats": "cats"}), FakeLanguageModel(lambda c: "yes")):
        contracts.check_language_model(model, CONVERSATIONS)
    contracts.check_reward(WeightedMean(), ["a", "b", "c"])
    contracts.check_reward(WeightedMean({"a": 2.0, "b": 0.0}), ["a", "b"])
    for selection in (HighestReward(), AverageRanking(), AverageRanking({"a": 1.0})):
        contracts.check_selection(selection)


def test_the_other_seams_have_checks() -> None:
    part = Suffix()
    contracts.check_augmenter(part, PROMPTS)
    contracts.check_text_encoder(part, [p.text for p in PROMPTS])
    contracts.check_limits_text(part)
    contracts.check_placeable(part, lambda: contracts.check_augmenter(part, PROMPTS))
    assert part.device == "cpu"


def test_fakes_fail_as_data(tmp_path: Path) -> None:
    answers = FakeGenerator(fail_on="cats").generate(
        [p.text for p in PROMPTS], [0, 0, 0], [str(tmp_path / f"{i}") for i in range(3)]
    )
    assert [type(answer) for answer in answers] == [Video, Failure, Video]
    assert FakeJudge(score=lambda video, prompt: None).judge(videos(tmp_path)[:1], PROMPTS[:1])[0].error
    assert isinstance(FakeRewriter([]).rewrite(TRAJECTORIES)[0], Failure)
    assert [type(a) for a in FakeLanguageModel({"cats": "purr"}).chat(CONVERSATIONS)] == [Failure, Reply, Failure]


def test_different_texts_and_seeds_give_different_videos_and_scores(tmp_path: Path) -> None:
    paths = [str(tmp_path / f"{i}.mp4") for i in range(3)]
    made = [v for v in FakeGenerator().generate(["a", "a", "b"], [0, 1, 0], paths) if isinstance(v, Video)]
    scores = [feedback.score for feedback in FakeJudge().judge(made, [PROMPTS[0]] * 3)]
    assert len(set(scores)) == 3


class Bad:
    """Parts that break a contract, one way each."""

    def __init__(self) -> None:
        self.calls = itertools.count()

    def reversed_rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        return FakeRewriter().rewrite(trajectories)[::-1]

    def random_rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        return [Reply(text=f"text {next(self.calls)}") for _ in trajectories]

    def short_rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        return FakeRewriter().rewrite(trajectories)[1:]

    def empty_rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        return [Reply(text="") for _ in trajectories]

    def blind_judge(self, videos: Sequence[Video], prompts: Sequence[Prompt]) -> list[Feedback]:
        return [Feedback(judge="blind", score=0.5) for _ in videos]

    def batch_generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
        answers = FakeGenerator().generate([f"{text} {len(texts)}" for text in texts], seeds, paths)
        return answers

    def late_select(self, candidates: Sequence[Candidate]) -> int | None:
        rewards = [c.reward for c in candidates if c.reward is not None]
        return max((i for i, c in enumerate(candidates) if c.reward == max(rewards)), default=None) if rewards else None


def as_part(**methods: Callable[..., object]) -> object:
    return type("Part", (), {name: staticmethod(method) for name, method in methods.items()})()


@pytest.mark.parametrize(
    ("method", "sentence"),
    [
        ("reversed_rewrite", "order of the batch|alone"),
        ("random_rewrite", "asked again"),
        ("short_rewrite", "2 answers for 3 items"),
        ("empty_rewrite", "empty text"),
    ],
)
def test_a_bad_rewriter_is_caught(method: str, sentence: str) -> None:
    with pytest.raises(AssertionError, match=sentence):
        contracts.check_rewriter(as_part(rewrite=getattr(Bad(), method)), TRAJECTORIES)


def test_other_bad_parts_are_caught(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="missing was scored"):
        contracts.check_judge(as_part(judge=Bad().blind_judge), videos(tmp_path), PROMPTS)
    with pytest.raises(AssertionError, match="rendered alone differs"):
        contracts.check_generator(as_part(generate=Bad().batch_generate), tmp_path / "videos", ["a", "b"])
    with pytest.raises(AssertionError, match="tie did not go to the earlier"):
        contracts.check_selection(as_part(select=Bad().late_select))
    with pytest.raises(AssertionError, match="outside"):
        contracts.check_reward(as_part(combine=lambda feedback: 1.5), ["a"])
    moved = as_part(augment=lambda prompts: [replace(c, prompt_id="else") for c in Suffix().augment(prompts)])
    with pytest.raises(AssertionError, match="another prompt"):
        contracts.check_augmenter(moved, PROMPTS)
