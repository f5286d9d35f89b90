"""What runs teach: gains above noise, the losers as preferences, every prompt without a lesson counted with its reason."""

from __future__ import annotations

import pytest

from rapo_lightning.tuning.pairs import Gain, gain, pairs_of
from rapo_lightning.types import Candidate, Feedback, Origin, Prompt, PromptPair, Trajectory


def candidate(text: str, *rewards: float, origin: Origin = "rewrite", prompt: str = "p") -> Candidate:
    feedback = tuple(Feedback(judge="alignment", score=reward, seed=seed) for seed, reward in enumerate(rewards))
    mean = sum(rewards) / len(rewards) if rewards else None
    return Candidate(id=f"r0-{text}", prompt_id=prompt, round=0, text=text, origin=origin, feedback=feedback, reward=mean)


def trajectory(*tried: Candidate, text: str = "a red ball", best: int | None = -1, **context: object) -> Trajectory:
    return Trajectory(prompt=Prompt.of(text, id="p", **context), candidates=tried, best=None if best is None else tried[best])


RAW = candidate("a red ball", 0.2, origin="user")
GOOD = candidate("a large red ball rolls", 0.9)


def test_the_best_wording_and_the_losers() -> None:
    middle, bad = candidate("a red ball rolls", 0.6), candidate("a blue ball", 0.1)
    made = pairs_of([trajectory(RAW, middle, bad, GOOD)], margin=0.1)
    assert made.pairs == [PromptPair(prompt="a red ball", completion=GOOD.text, gain=0.7)]
    assert [(one.completion, one.rejected, one.gain) for one in made.preferences] == [
        (GOOD.text, "a blue ball", 0.8),
        (GOOD.text, "a red ball", 0.7),
        (GOOD.text, "a red ball rolls", 0.3),
    ]
    assert made.none == {}
    assert made.losers == {}
    one = pairs_of([trajectory(RAW, middle, bad, GOOD)], margin=0.1, losers=1)
    assert (len(one.preferences), one.losers) == (1, {"more than 1 of a prompt": 2})
    far = pairs_of([trajectory(RAW, middle, candidate("a BLUE  ball", 0.2), bad, candidate("x"), GOOD)], margin=0.5)
    assert len(far.preferences) == 2
    assert far.losers == {"gain within the margin": 1, "the text of another": 1, "not scored": 1}


@pytest.mark.parametrize(
    ("tried", "reason"),
    [
        (trajectory(RAW, best=0), "the user's own words were best"),
        (trajectory(RAW, candidate("A  red ball", 0.9)), "the user's own words were best"),
        (trajectory(RAW, candidate("a ball", 0.25)), "gain within the margin"),
        (trajectory(RAW, best=None), "not scored"),
        (trajectory(candidate("a red ball", origin="user"), GOOD), "not scored"),
        (trajectory(GOOD), "not scored"),
        (trajectory(RAW, GOOD, locked=["Fido"]), "the best text lost what the user fixed"),
        (trajectory(RAW, GOOD, text='a ball that says "go"'), "the best text lost what the user fixed"),
    ],
)
def test_what_teaches_nothing_is_counted(tried: Trajectory, reason: str) -> None:
    made = pairs_of([tried], margin=0.1)
    assert (made.pairs, made.preferences, made.none) == ([], [], {reason: 1})


def test_gains_are_measured_on_shared_seeds() -> None:
    better, worse = candidate("b", 0.9, 0.5, 0.7), candidate("w", 0.8, 0.4, 0.6)
    found = gain(better, worse)
    assert found is not None
    assert (found.mean, found.error) == pytest.approx((0.1, 0.0), abs=1e-9)
    one = gain(candidate("b", 0.9), candidate("w", 0.8))
    assert one is not None
    assert one.error is None
    assert gain(candidate("b"), worse) is None


def test_a_gain_within_seed_noise_teaches_nothing() -> None:
    noisy = candidate("a large ball", 0.9, 0.1, 0.9, 0.1)
    made = pairs_of([trajectory(candidate("a red ball", 0.1, 0.4, 0.2, 0.5, origin="user"), noisy)], margin=0.1)
    assert made.none == {"gain within seed noise": 1}
    assert Gain(mean=0.2, error=0.05).beats(0.1, 2.0)
    assert not Gain(mean=0.2, error=0.15).beats(0.1, 2.0)
    assert not Gain(mean=0.1, error=None).beats(0.1, 2.0)


def test_of_a_prompt_in_several_runs_the_largest_gain_teaches() -> None:
    other = candidate("a big red ball", 0.7)
    made = pairs_of([trajectory(RAW, other), trajectory(RAW, GOOD), trajectory(RAW, other, text="A red  ball")], margin=0.1)
    assert [pair.completion for pair in made.pairs] == [GOOD.text]
    assert made.none == {"the prompt teaches in another run": 2}
