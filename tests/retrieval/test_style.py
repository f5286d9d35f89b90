"""The style of captions: its figures against a plain reckoning, what a language model is told, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval import style as room
from rapo_lightning.retrieval.style import StyleProfile, profile

CAPTIONS = ["A man is walking a dog.", "A man is reading by the window, alone.", "Snow falls.", "A man is walking home"]


@given(st.lists(st.integers(1, 60), min_size=1, max_size=80))
def test_lengths_are_those_of_numpy(lengths: list[int]) -> None:
    found = profile(" ".join(["word"] * length) for length in lengths)
    expected = [int(np.percentile(lengths, percent, method="inverted_cdf")) for percent in (5, 95)]
    assert [found.words_low, found.words_high] == expected
    assert found.mean_words == pytest.approx(np.mean(lengths))
    assert found.captions == len(lengths)


def test_openers_and_words() -> None:
    found = profile([*CAPTIONS, "  "])
    assert found.openers == ("a man is walking",)
    assert found.words == ("man", "walking")
    assert found.captions == 4, "a caption without a word was counted"
    assert profile(reversed(CAPTIONS)) == found
    assert profile(["a man is here", "a man was there", "the sea"]).openers == ("a man",)


def test_what_is_told() -> None:
    told = profile(CAPTIONS).describe()
    assert (
        told == 'Captions of 2 to 8 words, 5 on average. They often begin with "a man is walking". Frequent words: man, walking.'
    )
    assert profile(CAPTIONS, description=" Like  a diary. ").describe() == "Like a diary."


def test_signs_count_as_words() -> None:
    assert profile(["一只猫在睡觉。"]).words_high == 6


def test_memory_is_bounded_and_what_is_frequent_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_COUNTED", 40)
    seen = []
    count = room._count
    monkeypatch.setattr(room, "_count", lambda counter, texts: (count(counter, texts), seen.append(len(counter))))
    found = profile(f"a man sees name{'x' * (i % 700)}q at dawn" for i in range(2000))
    assert max(seen) <= 40
    assert found.words[:3] == ("dawn", "man", "sees")


def test_round_trip() -> None:
    found = profile(CAPTIONS, description="plain")
    assert StyleProfile.of(json.loads(json.dumps(found.values()))) == found


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"words_low": "5"}, "words_low"),
        ({"words_low": True}, "words_low"),
        ({"words_low": 99}, "cannot be"),
        ({"openers": [1]}, "openers"),
        ({"captions": None}, "captions"),
        ({"colour": "red"}, "unknown keys: colour"),
    ],
)
def test_bad_values_are_refused(change: dict[str, object], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        StyleProfile.of({**profile(CAPTIONS).values(), **change})


def test_missing_values_and_no_captions() -> None:
    with pytest.raises(ValueError, match="missing: words_high, mean_words"):
        StyleProfile.of({"words_low": 3})
    with pytest.raises(ValueError, match="not a JSON object"):
        StyleProfile.of([])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no caption"):
        profile([" "])
