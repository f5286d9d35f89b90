"""One check a seam of `rapo_lightning.protocols`, to be called on any part: length, types, order, determinism, independence of
the batch, and failures as data. Each raises AssertionError with a sentence that says what the part did wrong.

    from tests.contracts import check_rewriter, a_trajectory

    def test_mine():
        check_rewriter(MyRewriter(), [a_trajectory("a red ball rolls"), a_trajectory("two cats sleep")])

A check needs at least two different inputs to tell one batch from another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from rapo_lightning.protocols import (
    Augmenter,
    Generator,
    Judge,
    LanguageModel,
    LimitsText,
    Placeable,
    Reward,
    Rewriter,
    Selection,
    TextEncoder,
)
from rapo_lightning.records import encode
from rapo_lightning.types import Candidate, Failure, Feedback, Message, Prompt, Reply, Trajectory, Video, candidate_id
from rapo_lightning.video import probe, read_frames

__all__ = [
    "a_candidate",
    "a_trajectory",
    "check_augmenter",
    "check_generator",
    "check_judge",
    "check_language_model",
    "check_limits_text",
    "check_placeable",
    "check_reward",
    "check_rewriter",
    "check_selection",
    "check_text_encoder",
]

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def a_candidate(text: str, *scores: float, round: int = 0, prompt_id: str = "p") -> Candidate:
    """A candidate with one video, scored by judges a, b, ... ; its reward is their mean, None without scores."""
    return Candidate(
        id=candidate_id(round, text),
        prompt_id=prompt_id,
        round=round,
        text=text,
        origin="rewrite" if round else "user",
        videos=(Video(path=f"{candidate_id(round, text)}.mp4", seed=0, frames=4, fps=8.0, height=32, width=32),),
        feedback=tuple(Feedback(judge=name, score=score, critique="dark") for name, score in zip("abcdefgh", scores)),
        reward=sum(scores) / len(scores) if scores else None,
    )


def a_trajectory(text: str, *scores: float) -> Trajectory:
    """The user's prompt, tried once; one rewrite per score given."""
    prompt = Prompt.of(text)
    tries = [a_candidate(text, 0.25, prompt_id=prompt.id)]
    tries += [a_candidate(f"{text}, try {n}", s, round=n, prompt_id=prompt.id) for n, s in enumerate(scores, start=1)]
    return Trajectory(prompt=prompt, candidates=tuple(tries), best=max(tries, key=lambda c: c.reward or 0.0))


def check_augmenter(augmenter: Augmenter, prompts: Sequence[Prompt]) -> None:
    """Candidates of round 0 without videos, or failures."""
    _check_batching(augmenter.augment, prompts)
    for prompt, answer in zip(prompts, augmenter.augment(prompts)):
        if isinstance(answer, Failure):
            continue
        assert isinstance(answer, Candidate), f"an answer is a {type(answer).__name__}"
        assert answer.prompt_id == prompt.id, "a candidate belongs to another prompt: is the order kept?"
        assert answer.round == 0, f"an augmentation is of round 0, not {answer.round}"
        assert not answer.videos, "an augmentation has no videos yet"
        assert answer.text.strip(), "an empty text is a failure, not a candidate"
        assert answer.origin in {"rapo", "refiner"}, f"an augmentation's origin is rapo or refiner, not {answer.origin}"


def check_generator(generator: Generator, folder: Path, texts: Sequence[str], *, tolerance: float = 2.0) -> None:
    """Videos whole on disk where they were asked for, the same in any batch.

    Args:
        generator: the part.
        folder: an empty folder to render into.
        texts: two or more that it can render.
        tolerance: mean difference, in grey levels of 255, that drift may cause.
    """
    assert generator.generate([], [], []) == [], "no texts must give no videos"
    seeds = list(range(7, 7 + len(texts)))

    def render(order: Sequence[int], name: str) -> dict[int, np.ndarray]:
        paths = [str(folder / name / "deep" / f"{i}.mp4") for i in order]
        videos = generator.generate([texts[i] for i in order], [seeds[i] for i in order], paths)
        assert len(videos) == len(order), f"{len(videos)} videos for {len(order)} texts"
        for i, path, video in zip(order, paths, videos):
            assert isinstance(video, Video), f"{texts[i]!r} was not rendered: {video}"
            assert (video.path, video.seed) == (path, seeds[i]), "a video names another path or seed: is the order kept?"
            assert probe(path) == (video.frames, video.fps, video.height, video.width), f"{video} does not describe its file"
        present = sorted(str(path) for path in (folder / name).rglob("*") if path.is_file())
        assert present == sorted(paths), f"files that were not asked for, or too few: {present}"
        return {i: read_frames(path).astype(np.float32) for i, path in zip(order, paths)}

    together = render(range(len(texts)), "together")
    for name, others in {
        "again": render(range(len(texts)), "again"),
        "reversed": render(range(len(texts))[::-1], "reversed"),
        "alone": {i: render([i], f"alone{i}")[i] for i in range(len(texts))},
    }.items():
        for i, frames in together.items():
            difference = float(np.abs(frames - others[i]).mean())
            assert difference <= tolerance, f"{texts[i]!r} rendered {name} differs by {difference:.2f} grey levels"


def check_judge(judge: Judge, videos: Sequence[Video], prompts: Sequence[Prompt], *, tolerance: float = 1e-3) -> None:
    """Feedback under one name, the same in any batch, plain JSON; a video that is missing costs the others nothing."""
    assert judge.judge([], []) == [], "no videos must give no feedback"
    items = list(zip(videos, prompts))

    def judged(pairs: Sequence[tuple[Video, Prompt]]) -> list[Feedback]:
        return judge.judge([video for video, _ in pairs], [prompt for _, prompt in pairs])

    def close(a: Feedback, b: Feedback) -> bool:
        both = a.score is not None and b.score is not None
        return a.judge == b.judge and (abs((a.score or 0) - (b.score or 0)) <= tolerance if both else a.score == b.score)

    answers = _check_batching(judged, items, equal=close)
    for answer in answers:
        assert isinstance(answer, Feedback), f"an answer is a {type(answer).__name__}"
        encode(answer)
    assert len({answer.judge for answer in answers}) == 1, "a judge speaks under one name"
    missing = replace(videos[0], path=str(Path(videos[0].path).with_name("missing.mp4")))
    first, *others = judged([(missing, prompts[0]), *items])
    assert first.error is not None, "a video that is missing was scored"
    assert all(map(close, others, answers)), "a video that is missing changed the others' feedback"


def check_reward(reward: Reward, judges: Sequence[str]) -> None:
    """A number in [0, 1] that does not depend on the order of the judges, or None."""
    for scores in ([0.0] * len(judges), [1.0] * len(judges), [i / len(judges) for i in range(len(judges))]):
        feedback = {name: Feedback(judge=name, score=score) for name, score in zip(judges, scores)}
        value = reward.combine(feedback)
        assert value is not None, f"no reward for {feedback}"
        assert 0.0 <= value <= 1.0, f"a reward of {value} lies outside [0, 1]"
        assert reward.combine(dict(reversed(feedback.items()))) == value, "the order of the judges changed the reward"
    unscored = {name: Feedback(judge=name, error="down") for name in judges}
    assert reward.combine(unscored) is None, "a reward without any score"


def check_selection(selection: Selection) -> None:
    """A scored candidate's index, ties to the earlier; None when none is scored."""
    assert selection.select([]) is None, "chosen from nothing"
    assert selection.select([a_candidate("x"), a_candidate("y", round=1)]) is None, "an unscored candidate was chosen"
    low, high = a_candidate("x", 0.2, 0.3), a_candidate("y", 0.8, 0.9, round=1)
    assert selection.select([a_candidate("w"), low, high]) == 2, "a candidate better on every metric was not chosen"
    assert selection.select([high, low]) == 0, "a candidate better on every metric was not chosen"
    assert selection.select([low, high, replace(high, id="r2-same", round=2)]) == 1, "a tie did not go to the earlier"


def check_rewriter(rewriter: Rewriter, trajectories: Sequence[Trajectory]) -> None:
    """Non-empty prompts without blanks around them, or failures; the same in any batch."""
    for answer in _check_batching(rewriter.rewrite, trajectories):
        assert isinstance(answer, Reply | Failure), f"an answer is a {type(answer).__name__}"
        if isinstance(answer, Reply):
            assert answer.text, "an empty text is a failure, not a reply"
            assert answer.text == answer.text.strip(), f"blanks around {answer.text!r}"
            assert answer.tokens >= 0, f"{answer.tokens} tokens"


def check_language_model(model: LanguageModel, conversations: Sequence[Sequence[Message]], *, max_new_tokens: int = 16) -> None:
    """Greedy answers are the same in any batch, sampled ones the same for the same seed; the limit of tokens is kept."""

    def greedy(items: Sequence[Sequence[Message]]) -> list[Reply | Failure]:
        return model.chat(items, max_new_tokens=max_new_tokens)

    answers = _check_batching(greedy, conversations)
    sampled = [model.chat(conversations, max_new_tokens=max_new_tokens, temperature=1.0, seed=3) for _ in range(2)]
    assert sampled[0] == sampled[1], "the same seed gave other samples"
    for answer in [*answers, *sampled[0]]:
        assert isinstance(answer, Reply | Failure), f"an answer is a {type(answer).__name__}"
        if isinstance(answer, Reply):
            assert 0 <= answer.tokens <= max_new_tokens, f"{answer.tokens} tokens where {max_new_tokens} were allowed"


def check_text_encoder(encoder: TextEncoder, texts: Sequence[str], *, tolerance: float = 1e-4) -> None:
    """float32 rows of length 1, shape (N, D), the same in any batch."""
    import torch

    rows_ND = encoder.encode(texts)
    assert rows_ND.dtype == torch.float32, f"embeddings are {rows_ND.dtype}"
    assert rows_ND.ndim == 2, f"embeddings have the shape {tuple(rows_ND.shape)}"
    assert len(rows_ND) == len(texts), f"{len(rows_ND)} embeddings for {len(texts)} texts"
    assert torch.allclose(rows_ND.norm(dim=1), torch.ones(len(texts)).to(rows_ND.device), atol=1e-4), "rows are not of length 1"
    alone_ND = torch.cat([encoder.encode([text]) for text in texts])
    assert (rows_ND - alone_ND).abs().max() <= tolerance, "an embedding depends on its batch"
    assert encoder.encode([]).shape == (0, rows_ND.shape[1]), "no texts must give an array of shape (0, D)"


def check_limits_text(part: LimitsText) -> None:
    """Counts of tokens too many: 0 for a short text, more for a longer one."""
    texts = ["a ball", "a red ball " * 10_000, "a red ball " * 20_000]
    short, long, longer = part.tokens_over_limit(texts)
    assert short == 0, f"{texts[0]!r} exceeds the limit by {short}"
    assert 0 < long < longer, f"30,000 words exceed the limit by {long}, 60,000 by {longer}"
    assert part.tokens_over_limit(texts[::-1]) == [longer, long, short], "the order is not kept"
    assert part.tokens_over_limit([]) == [], "no texts must give no counts"


def check_placeable(part: Placeable, check: Callable[[], None], device: str = "cpu") -> None:
    """The part keeps its contract (``check``) after it was placed, and again when placed once more."""
    for _ in range(2):
        part.to(device)
        check()


def _check_batching(
    call: Callable[[Sequence[Item]], Sequence[Answer]],
    items: Sequence[Item],
    equal: Callable[[Answer, Answer], bool] = lambda a, b: a == b,
) -> list[Answer]:
    """The answers to ``items``, after the checks that hold for every seam."""
    assert len(items) >= 2, "give the check two or more items"
    before = json.dumps(list(items), default=repr)
    assert list(call([])) == [], "no items must give no answers"
    answers = list(call(items))
    assert len(answers) == len(items), f"{len(answers)} answers for {len(items)} items"
    assert all(map(equal, call(items), answers)), "asked again, the part answered otherwise"
    assert all(map(equal, reversed(list(call(items[::-1]))), answers)), "the order of the batch changed the answers"
    for item, answer in zip(items, answers):
        [alone] = call([item])
        assert equal(alone, answer), f"alone, the part answered {alone} in place of {answer}"
    assert json.dumps(list(items), default=repr) == before, "the part changed its inputs"
    return answers
