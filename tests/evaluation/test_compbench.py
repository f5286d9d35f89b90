"""T2V-CompBench's scores against the paper's rules written out, and its judged categories on a scripted judge."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.errors import ClipError
from evaluation.judge.frames import View
from evaluation.metrics import compbench_logic as logic
from evaluation.metrics.compbench import ActionBinding, ConsistentAttribute, DynamicAttributeBinding, ObjectInteractions
from evaluation.metrics.judged import JudgedMetric
from evaluation.video.record import Record
from tests.evaluation.scripted import Scripted
from tests.evaluation.videos import clip_of

CLIP = clip_of(31, 12, 18, 2)
RATINGS = {"AA": 5, "AB": 4.5, "BA": 4.5, "BB": 4, "AC": 3.5, "CA": 3.5, "AD": 3, "DA": 3, "BC": 2.8, "CB": 2.8, "BD": 2.5,
           "DB": 2.5, "CC": 2, "CD": 1.5, "DC": 1.5, "DD": 1}  # fmt: skip


def scored(metric: JudgedMetric, **auxiliary: Any) -> Any:
    metric.update(CLIP, Record(index=0, prompt="a cat and a dog", auxiliary_info=auxiliary))
    return metric.scores[0]


@pytest.mark.parametrize("letters", RATINGS)
def test_consistent_attributes(letters: str) -> None:
    def says(text: str, view: View | None) -> dict[str, float]:
        assert view is not None
        assert view.frames_THWC.shape == (1, 36, 36, 3)
        letter = letters[0] if '"a red cat"' in text else letters[1]
        return {other: 0.4 if other == letter else 0.1 for other in "ABCD"}

    found = scored(ConsistentAttribute(Scripted(says)), phrases="a red cat; a blue dog")
    assert found.value == pytest.approx((RATINGS[letters] - 1) / 4)
    assert found.details["letters"] == list(letters)


def test_ratings() -> None:
    for rating in range(6):
        judge = Scripted(lambda text, view, rating=rating: f"{rating}.")  # type: ignore[misc]
        metric = ActionBinding(judge)
        phrases = {"phrase_0": ["a cat?", "a cat {runs}?"], "phrase_1": ["a dog?", "a dog sleeps?"]}
        assert scored(metric, **phrases).value == pytest.approx(rating / 5)
        assert "both a cat {runs} and a dog sleeps are shown" in judge.asked[0][0]
        if rating:
            assert scored(ObjectInteractions(judge)).value == pytest.approx((rating - 1) / 4)
    with pytest.raises(ClipError) as caught:
        scored(ObjectInteractions(Scripted(lambda text, view: "0")))
    assert caught.value.code == "bad_reply"


@pytest.mark.parametrize(
    ("metric", "auxiliary"),
    [(ConsistentAttribute, {"phrases": "a red cat"}), (ConsistentAttribute, {}), (ActionBinding, {"phrase_0": ["a", "b"]}),
     (ActionBinding, {"phrase_0": ["a", "b"], "phrase_1": "c"}), (DynamicAttributeBinding, {"state 0": "a", "state 1": " "})],
)  # fmt: skip
def test_what_is_not_given_is_an_error(metric: type[JudgedMetric], auxiliary: dict[str, Any]) -> None:
    with pytest.raises(ClipError) as caught:
        scored(metric(Scripted(lambda text, view: "1")), **auxiliary)
    assert caught.value.code == "no_prompt"


@pytest.mark.parametrize("matching", [14, 12, 11, 0])
def test_a_change_needs_both_ends_and_what_lies_between(matching: int) -> None:
    wanted = [int(30 * i / 15) for i in range(16)]
    between: list[float] = []

    def says(text: str, view: View | None) -> str:
        assert view is not None
        assert view.picture
        place = next(index for index in wanted if (CLIP.frames_THWC[index] == view.frames_THWC[0]).all())
        if "yes or no" in text:
            between.append(place)
            assert '"green" or "brown"' in text
            return "yes" if len(between) <= matching else "no"
        return {("green", 0): "5", ("brown", 0): "2", ("green", 30): "1", ("brown", 30): "4"}[
            "green" if '"green"' in text else "brown", place
        ]

    found = scored(DynamicAttributeBinding(Scripted(says)), **{"state 0": "green", "state 1": "brown"})
    a, b, c, d = 5 / 5, 2 / 5, 1 / 5, 4 / 5
    assert between == wanted[1:15]
    assert found.value == pytest.approx((0.5 * a * (1 - b) + 0.5 * (1 - c) * d) * (matching > 0.8 * 14))
    assert found.details["ratings"] == [5, 2, 1, 4]


def test_detected_categories() -> None:
    assert [logic.spatial_frame(found, right, overlap) for found, right, overlap in
            ((0, False, 0), (1, False, 0), (2, False, 0.3), (2, True, 0), (2, True, 0.25), (2, True, 1))] == pytest.approx(
        [0, 0.2, 0.4, 1, 0.85, 0.4])  # fmt: skip
    assert logic.spatial([0.0, 0.2, 1.0]) == pytest.approx(0.4)
    assert logic.numeracy({"cat": 3}, {"cat": 3, "dog": 1}) == 1
    assert logic.numeracy({"cat": 3, "dog": 2}, {"cat": 3, "dog": 1}) == 0.5
    assert logic.numeracy({"cat": 3, "dog": 2}, {}) == 0
    assert [logic.motion(moved, 100) for moved in (None, -5, 0, 25, 100, 300)] == pytest.approx([0, 0.2, 0.2, 0.4, 1, 1])
