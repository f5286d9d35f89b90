"""What the loop promises: the best of the whole trajectory, the user's prompt always tried and always the judges' measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rapo_lightning.errors import InputError, PartError, RunFolderError, WeightsError
from rapo_lightning.generators.fake import FakeGenerator
from rapo_lightning.judges.fake import FakeJudge
from rapo_lightning.rewriters.fake import FakeRewriter
from rapo_lightning.rewriters.repeat import RepeatPrompt
from rapo_lightning.sspo.options import LoopOptions
from rapo_lightning.types import Candidate, Failure, Feedback, Prompt, Reply, Trajectory, Video, noise_seed
from tests.sspo.parts import BALL, CATS, Suffix, Watched, by_candidate, journal, run


def texts(trajectory: Trajectory) -> list[str]:
    return [candidate.text for candidate in trajectory.candidates]


def test_a_run(tmp_path: Path) -> None:
    done = run(tmp_path, augmenter=Suffix(), judges={"fake": FakeJudge(score=by_candidate(0.1, 0.7, 0.9, 0.3))})
    ball, cats = done.trajectories
    assert [ball.prompt, cats.prompt] == [BALL, CATS]
    assert texts(ball) == ["a red ball", "a red ball, on a hill", "a red ball, version 1", "a red ball, version 2"]
    assert [c.origin for c in ball.candidates] == ["user", "rapo", "rewrite", "rewrite"]
    assert [c.round for c in ball.candidates] == [0, 0, 1, 2]
    assert [c.reward for c in ball.candidates] == [0.1, 0.7, 0.9, 0.3]
    assert ball.best == ball.candidates[2]
    assert [c.parent for c in ball.candidates] == [None, ball.candidates[0].id, ball.candidates[1].id, ball.candidates[2].id]
    assert [c for t in done.trajectories for c in t.candidates] == sorted(done.recorded, key=lambda c: c.prompt_id != BALL.id)
    assert done.stops == {BALL.id: "rounds", CATS.id: "rounds"}
    assert [c.cost.tokens for c in ball.candidates] == [0, 0, 5, 5]
    assert [c.cost.seconds for c in ball.candidates] == [0.25, 0.25, 0.5, 0.5]
    assert len(journal(tmp_path)) == 8
    assert all(Path(video.path).is_file() for c in done.recorded for video in c.videos)


def test_ties_go_to_the_earlier_and_nothing_scored_has_no_best(tmp_path: Path) -> None:
    assert run(tmp_path, judges={"fake": FakeJudge(score=by_candidate(0.5))}).trajectories[0].best.origin == "user"
    unscored = run(tmp_path, judges={"fake": FakeJudge(score=lambda video, prompt: None)}).trajectories[0]
    assert unscored.best is None
    assert [c.reward for c in unscored.candidates] == [None] * 3
    assert [c.error for c in unscored.candidates] == [None] * 3


def test_judges_see_the_users_prompt_and_candidates_share_their_seeds(tmp_path: Path) -> None:
    seen: list[tuple[int, str]] = []

    def score(video: Video, prompt: Prompt) -> float:
        seen.append((video.seed, prompt.text))
        return 0.5

    done = run(tmp_path, BALL, judges={"fake": FakeJudge(score=score)}, options=LoopOptions(rounds=1, seeds=2, run_seed=3))
    seeds = [noise_seed(3, BALL.id, 0), noise_seed(3, BALL.id, 1)]
    assert seen == [(seed, "a red ball") for seed in seeds * 2]
    assert [[video.seed for video in c.videos] for c in done.recorded] == [seeds, seeds]
    assert [[f.seed for f in c.feedback] for c in done.recorded] == [seeds, seeds]


def test_a_reward_is_the_mean_over_the_videos_that_have_one(tmp_path: Path) -> None:
    first, second = noise_seed(0, BALL.id, 0), noise_seed(0, BALL.id, 1)
    judge = FakeJudge(score=lambda video, prompt: {first: 0.2, second: 0.6}.get(video.seed))
    assert run(tmp_path, BALL, judges={"fake": judge}, options=LoopOptions(rounds=0, seeds=3)).recorded[
        0
    ].reward == pytest.approx(0.4)


def test_a_refused_text_is_recorded_and_asked_for_once_more(tmp_path: Path) -> None:
    rewriter = Watched(FakeRewriter(["a ball", "a red ball flies", "a ball again", "nothing", "a red ball sinks"]))
    locked = Prompt.of("a red ball", locked=["red"])
    done = run(tmp_path, locked, rewriter=rewriter, options=LoopOptions(rounds=3, patience=None))
    assert texts(done.trajectories[0]) == [
        "a red ball",
        "a ball",
        "a red ball flies",
        "a ball again",
        "nothing",
        "a red ball sinks",
    ]
    assert [c.round for c in done.recorded] == [0, 1, 1, 2, 2, 3]
    assert [c.error for c in done.recorded] == [
        None, "refused: lost the locked words: red", None,
        "refused: lost the locked words: red", "refused: lost the locked words: red", None,
    ]  # fmt: skip
    assert [len(c.videos) for c in done.recorded] == [1, 0, 1, 0, 0, 1]
    assert rewriter.shown[1][0].last == done.recorded[1], "the second try is written with the refusal in view"
    assert len({c.id for c in done.recorded}) == 6


def test_the_same_refused_text_twice_keeps_ids_unique(tmp_path: Path) -> None:
    done = run(tmp_path, BALL, rewriter=FakeRewriter(["a red ball"] * 4))
    assert [c.id.rpartition("-")[2] for c in done.recorded[1:]] == ["x1", "x2", "x1", "x2"]
    assert done.stops == {BALL.id: "rounds"}


def test_a_generators_limit_is_kept(tmp_path: Path) -> None:
    class Short:
        def generate(self, texts: Sequence[str], seeds: Sequence[int], paths: Sequence[str]) -> list[Video | Failure]:
            return FakeGenerator().generate(texts, seeds, paths)

        def tokens_over_limit(self, texts: Sequence[str]) -> list[int]:
            return [max(0, len(text.split()) - 4) for text in texts]

    done = run(tmp_path, BALL, generator=Short(), augmenter=Suffix(" rolls"), options=LoopOptions(rounds=1))
    assert [c.error for c in done.recorded if c.error] == ["refused: 1 tokens longer than the text encoder reads"] * 2


def test_an_augmentation_that_fails_leaves_the_users_prompt(tmp_path: Path) -> None:
    ball, cats = run(tmp_path, augmenter=Suffix(fail_on="ball"), options=LoopOptions(rounds=0)).trajectories
    assert [(c.origin, c.error) for c in ball.candidates] == [("user", None), ("rapo", "augmenter: no words")]
    assert [c.error for c in cats.candidates] == [None, None]
    same = run(tmp_path / "same", BALL, augmenter=Suffix(""), options=LoopOptions(rounds=0)).trajectories[0]
    assert same.candidates[1].error == f"refused: the same text as {same.candidates[0].id}"


@pytest.mark.parametrize(
    ("scores", "options", "rounds", "reason"),
    [
        ((0.5, 0.4, 0.6, 0.1, 0.1, 0.1), LoopOptions(rounds=9, patience=2), 4, "patience"),
        ((0.5,), LoopOptions(rounds=9, patience=1), 1, "patience"),
        ((None,), LoopOptions(rounds=9, patience=3), 3, "patience"),
        ((0.5, 0.7, 0.9), LoopOptions(rounds=9, good_enough=0.7), 1, "good_enough"),
        ((0.8,), LoopOptions(rounds=9, good_enough=0.7), 0, "good_enough"),
        ((0.5,), LoopOptions(rounds=3, patience=None), 3, "rounds"),
        ((0.5,), LoopOptions(rounds=0), 0, "rounds"),
    ],
)
def test_stops(tmp_path: Path, scores: tuple[float | None, ...], options: LoopOptions, rounds: int, reason: str) -> None:
    done = run(tmp_path, BALL, judges={"fake": FakeJudge(score=by_candidate(*scores))}, options=options)
    assert done.recorded[-1].round == rounds
    assert done.stops == {BALL.id: reason}


def test_refused_rounds_count_as_rounds_without_a_new_best(tmp_path: Path) -> None:
    done = run(tmp_path, BALL, rewriter=FakeRewriter([]), options=LoopOptions(rounds=9, patience=2))
    assert [c.error for c in done.recorded[1:]] == ["rewriter: the fake rewriter has only 0 texts"] * 4
    assert done.stops == {BALL.id: "patience"}


def test_the_budget_is_asked_before_texts_are_written_and_never_exceeded(tmp_path: Path) -> None:
    rewriter = Watched(FakeRewriter())

    def may_render(videos: int) -> bool:
        return len(journal(tmp_path)) + videos <= 5

    done = run(tmp_path, rewriter=rewriter, may_render=may_render, options=LoopOptions(rounds=9, patience=None))
    assert len(journal(tmp_path)) == 5
    assert [len(shown) for shown in rewriter.shown] == [2, 1], "in the second round only one video was left"
    assert done.stops == {BALL.id: "budget", CATS.id: "budget"}


def test_a_stop_ends_after_the_round_under_way(tmp_path: Path) -> None:
    done = run(tmp_path, stop_requested=lambda: len(journal(tmp_path)) > 2)
    assert [c.round for c in done.recorded] == [0, 0, 1, 1]
    assert done.stops == {BALL.id: "interrupted", CATS.id: "interrupted"}


def test_start_from_the_best_or_from_the_last(tmp_path: Path) -> None:
    judge = FakeJudge(score=by_candidate(0.9, 0.1))
    best, last = Watched(FakeRewriter()), Watched(FakeRewriter())
    kept = run(tmp_path, BALL, judges={"fake": judge}, rewriter=best).recorded
    chained = run(tmp_path, BALL, judges={"fake": judge}, rewriter=last, options=LoopOptions(rounds=2, start="last")).recorded
    assert [c.parent for c in kept] == [None, kept[0].id, kept[0].id]
    assert [c.parent for c in chained] == [None, kept[0].id, kept[1].id]
    assert [shown[0].best for shown in best.shown] == [kept[0], kept[0]]
    assert [shown[0].best for shown in last.shown] == [None, None]


def test_best_of_n_takes_fresh_seeds_for_the_same_text(tmp_path: Path) -> None:
    options = LoopOptions(rounds=2, seeds=2, patience=None, fresh_seeds=True)
    done = run(tmp_path, BALL, rewriter=RepeatPrompt(), options=options)
    assert texts(done.trajectories[0]) == ["a red ball"] * 3
    assert [video.seed for c in done.recorded for video in c.videos] == [noise_seed(0, BALL.id, n) for n in range(6)]
    assert len({c.id for c in done.recorded}) == 3


def test_a_video_that_fails_is_data_and_others_go_on(tmp_path: Path) -> None:
    done = run(tmp_path, generator=FakeGenerator(fail_on="ball, version 1"))
    ball, cats = done.trajectories
    assert [c.error for c in ball.candidates] == [None, "generator: the fake generator fails on 'ball, version 1'", None]
    assert ball.candidates[1].feedback[0].judge == "generator"
    assert ball.candidates[1].reward is None
    assert [c.error for c in cats.candidates] == [None] * 3


class Raising:
    """A part that raises in every method."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def generate(self, *columns: object) -> list[Video | Failure]:
        raise self.error

    judge = rewrite = augment = generate


def test_an_exception_is_a_failure_of_every_item(tmp_path: Path) -> None:
    part = Raising(RuntimeError("boom"))
    done = run(tmp_path, BALL, generator=part, rewriter=part, augmenter=part, options=LoopOptions(rounds=1))
    assert [c.error for c in done.recorded] == [
        "augmenter: RuntimeError: boom", "generator: RuntimeError: boom", *["rewriter: RuntimeError: boom"] * 2
    ]  # fmt: skip
    judged = run(tmp_path / "judge", BALL, judges={"fake": FakeJudge(), "raising": part}, options=LoopOptions(rounds=0)).recorded[
        0
    ]
    assert [(f.judge, f.error) for f in judged.feedback] == [("fake", None), ("raising", "RuntimeError: boom")]
    assert judged.reward is None


@pytest.mark.parametrize("error", [WeightsError("no weights"), KeyboardInterrupt(), MemoryError()])
def test_what_concerns_the_whole_run_is_raised(tmp_path: Path, error: BaseException) -> None:
    with pytest.raises(type(error)):
        run(tmp_path, generator=Raising(error))


def test_broken_contracts_are_named(tmp_path: Path) -> None:
    class Short:
        def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
            return [Reply(text="one")]

    class Nan:
        def combine(self, feedback: Mapping[str, Feedback]) -> float:
            return float("nan")

    class Named:
        def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
            return [replace(c, origin="user") for c in Suffix().augment(prompts) if isinstance(c, Candidate)]

    with pytest.raises(PartError, match=r"Nan\.combine returned nan"):
        run(tmp_path, reward=Nan())
    with pytest.raises(PartError, match=r"Short\.rewrite returned 1 answers for 2 items"):
        run(tmp_path, rewriter=Short())
    with pytest.raises(PartError, match="origin 'user'"):
        run(tmp_path, augmenter=Named())
    with pytest.raises(InputError, match="same id"):
        run(tmp_path, BALL, replace(CATS, id=BALL.id))


def test_texts_that_no_file_can_hold_are_made_writable(tmp_path: Path) -> None:
    done = run(tmp_path, BALL, rewriter=FakeRewriter(["a red ball \ud83d"]), options=LoopOptions(rounds=1))
    assert done.recorded[1].text == "a red ball ?"


def test_a_prompt_whose_text_changed_is_refused(tmp_path: Path) -> None:
    recorded = run(tmp_path, BALL).recorded
    with pytest.raises(RunFolderError, match="another text"):
        run(tmp_path, replace(CATS, id=BALL.id), history={BALL.id: recorded})


def test_judges_go_by_the_names_given_to_the_loop(tmp_path: Path) -> None:
    first, second = FakeJudge("same", lambda video, prompt: 0.2), FakeJudge("same", lambda video, prompt: 0.6)
    candidate = run(tmp_path, BALL, judges={"a": first, "b": second}, options=LoopOptions(rounds=0)).recorded[0]
    assert candidate.mean_scores() == {"a": 0.2, "b": 0.6}
    assert candidate.reward == pytest.approx(0.4)


def test_options_and_parts_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    for wrong in ({"rounds": -1}, {"seeds": 0}, {"patience": 0}, {"start": "worst"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            LoopOptions(**wrong)
    with pytest.raises(ValueError, match="no judge can be named 'generator'"):
        run(tmp_path, judges={"generator": FakeJudge()})
