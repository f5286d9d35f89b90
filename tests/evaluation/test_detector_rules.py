"""VBench's rules for objects, places, colors and scenes, on given answers, against plain versions; and a user's own detectors."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from evaluation.detection import Captioner, Detection, Detector, Region, RegionCaptioner, iou
from evaluation.errors import ClipError
from evaluation.metrics.base import VideoMetric
from evaluation.metrics.color import Color, color_frames, colored_object
from evaluation.metrics.multiple_objects import MultipleObjects
from evaluation.metrics.object_class import ObjectClass
from evaluation.metrics.scene import Scene, scene
from evaluation.metrics.spatial_relationship import SpatialRelationship, position_score, spatial_relationship
from evaluation.video.clip import Clip, Record

LABELS = ("cat", "dog", "traffic light", "person")
RELATIONS = ("on the left of", "on the right of", "on the top of", "on the bottom of")


class Scripted:
    """A user's own detector and captioner: its answers by the grey of a frame, which here is the frame's number."""

    def __init__(self, answers: dict[int, Any], prompted: bool = False) -> None:
        self.answers, self.prompted = answers, prompted
        self.settings = {"threshold": 0.5}
        self.asked: list[tuple[int, tuple[str, ...]]] = []

    def detect(self, frames_TCHW: Tensor, labels: Sequence[str]) -> list[list[Detection]]:
        return self.describe(frames_TCHW, labels)

    def describe(self, frames_TCHW: Tensor, labels: Sequence[str] = ()) -> Any:
        numbers = [int(number) for number in frames_TCHW[:, 0, 0, 0].tolist()]
        self.asked += [(number, tuple(labels)) for number in numbers]
        return [self.answers.get(number, []) for number in numbers]

    def caption(self, frames_TCHW: Tensor) -> list[str]:
        return [str(answer) for answer in self.describe(frames_TCHW)]


def numbered(frames: int, height: int = 4, width: int = 6) -> Clip:
    pixels = np.broadcast_to(np.arange(frames, dtype=np.uint8)[:, None, None, None], (frames, height, width, 3))
    return Clip(frames_THWC=pixels.copy(), fps=8.0, sha256="", path="numbered.mp4")


def chosen(frames: int) -> list[int]:
    """The middles of 16 parts, the last one repeated, by hand."""
    parts = min(16, frames)
    edges = [int(frames * part / parts) for part in range(parts + 1)]
    middles = [(edges[part] + edges[part + 1] - 1) // 2 for part in range(parts)]
    return middles + middles[-1:] * (16 - parts)


def thing(label: str, *box: float) -> Detection:
    left, top, right, bottom = box or (0, 0, 10, 10)
    return Detection(label=label, box=(left, top, right, bottom))


def part(label: str, caption: str) -> Region:
    return Region(label=label, box=(0, 0, 1, 1), caption=caption)


def random_objects(dice: random.Random, most: int = 5) -> list[Detection]:
    found = []
    for _ in range(dice.randrange(most)):
        x, y, w, h = dice.randrange(80), dice.randrange(60), dice.randrange(1, 60), dice.randrange(1, 60)
        found.append(thing(dice.choice(LABELS), x, y, x + w, y + h))
    return found


def ask(metric: VideoMetric, clip: Clip, auxiliary: dict[str, Any], prompt: str = "a prompt") -> Any:
    metric.update(clip, Record(index=0, prompt=prompt, auxiliary_info=auxiliary))
    return metric.scores[0]


@pytest.mark.parametrize("frames", [3, 16, 37, 81])
@pytest.mark.parametrize("batch", [1, 5, 16])
def test_one_and_two_objects(frames: int, batch: int) -> None:
    dice = random.Random(frames)
    answers = {number: random_objects(dice) for number in range(frames)}
    clip, detector = numbered(frames), Scripted(answers)
    for label in LABELS:
        one = ask(ObjectClass(detector, batch=batch), clip, {"object_class": {"object": label}})
        hits = sum(label in {item.label for item in answers[number]} for number in chosen(frames))
        assert (one.value, one.total, one.count) == (hits / 16, hits, 16)
        assert one.details == {"success_frame_count": hits, "frame_count": 16, "settings": {"threshold": 0.5}}
        for other in LABELS:
            two = ask(MultipleObjects(detector, batch=batch), clip, {"multiple_objects": {"object": f"{label} and {other} "}})
            both = [{item.label for item in answers[number]} for number in chosen(frames)]
            hits = sum(label in seen and other in seen for seen in both)
            assert (two.value, two.total, two.count) == (hits / 16, hits, 16)
            assert (two.details["success_frame_count"], two.details["frame_count"]) == (hits, 16)
    assert [number for number, _ in detector.asked] == chosen(frames), "once for all metrics, the right frames in order"


def test_a_class_is_the_whole_name_and_a_frame_counts_once() -> None:
    answers = {0: [thing("cat"), thing("cat")], 1: [thing("catfish")], 2: [thing("Cat")], 3: []}
    score = ask(ObjectClass(Scripted(answers)), numbered(4), {"object_class": {"object": "cat"}})
    assert (score.total, score.count) == (1, 16)
    assert score.value == 1 / 16


def test_the_set_is_micro_averaged() -> None:
    answers = {number: [thing("cat")] if number < 4 else [] for number in range(16)}
    metric = ObjectClass(Scripted(answers))
    for index, label in enumerate(("cat", "dog", "cat")):
        metric.update(numbered(16), Record(index=index, auxiliary_info={"object_class": {"object": label}}))
    assert metric.compute() == 8 / 48


def test_a_prompted_detector_is_asked_for_what_is_wanted_once_each() -> None:
    detector = Scripted({0: [thing("cat")]}, prompted=True)
    clip = numbered(2)
    for wanted in ("cat and dog", "dog and cat", "cat and cat"):
        for _ in range(2):
            ask(MultipleObjects(detector), clip, {"multiple_objects": {"object": wanted}})
    assert [labels for _, labels in detector.asked[::16]] == [("cat", "dog"), ("dog", "cat"), ("cat",)]
    assert len(detector.asked) == 48


def place_by_hand(relation: str, a: Sequence[float], b: Sequence[float], fixed: bool) -> float:
    dx, dy = (b[0] + b[2] - a[0] - a[2]) / 2, (b[1] + b[3] - a[1] - a[3]) / 2
    if relation.split()[2] in ("left", "right"):
        good = abs(dx) > abs(dy) and (not fixed or (dx > 0) == (relation == "on the left of"))
    else:
        good = abs(dy) > abs(dx) and (not fixed or (dy > 0) == (relation == "on the top of"))
    grid = np.zeros((2, 140, 160), dtype=bool)
    for plane, box in zip(grid, (a, b)):
        plane[int(box[1]) : int(box[3]), int(box[0]) : int(box[2])] = True
    overlap = np.logical_and(*grid).sum() / np.logical_or(*grid).sum()
    return 0.0 if not good else 1.0 if overlap < 0.1 else 0.1 / overlap


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("relation", RELATIONS)
def test_places_by_random_boxes(relation: str, fixed: bool) -> None:
    dice = random.Random(7)
    frames = [random_objects(dice, 7) for _ in range(60)]
    expected = []
    for frame in frames:
        best = 0.0
        for i, first in enumerate(frame):
            for j, second in enumerate(frame):
                mixed = (first.label, second.label) == ("cat", "dog")
                if i != j and (mixed if fixed else {first.label, second.label} <= {"cat", "dog"}):
                    best = max(best, place_by_hand(relation, first.box, second.box, fixed))
        expected.append(best)
    assert spatial_relationship(frames, "cat", "dog", relation, fixed) == pytest.approx(expected, abs=1e-12)
    assert 0 < sum(expected) < 60
    answers = dict(enumerate(frames))
    auxiliary = {"object_a": "cat", "object_b": "dog", "relationship": relation}
    metric = SpatialRelationship(Scripted(answers), fixed=fixed)
    score = ask(metric, numbered(60), {"spatial_relationship": {"spatial_relationship": auxiliary}})
    values = [expected[number] for number in chosen(60)]
    assert score.details["frame_results"] == pytest.approx(values, abs=1e-12)
    assert (score.value, score.total, score.count) == pytest.approx((np.mean(values), sum(values), 16), abs=1e-12)
    assert metric.id == "spatial_relationship.custom" + ".fixed" * fixed


def test_quirks_of_places() -> None:
    left, right, near = (0, 0, 10, 10), (50, 5, 60, 15), (5, 0, 15, 10)
    assert [position_score(relation, left, right) for relation in RELATIONS] == [1, 1, 0, 0], "left is as good as right"
    assert [position_score(relation, left, right, fixed=True) for relation in RELATIONS] == [1, 0, 0, 0]
    assert [position_score(relation, right, left, fixed=True) for relation in RELATIONS] == [0, 1, 0, 0]
    assert position_score("on the left of", left, near) == pytest.approx(0.1 / (50 / 150))
    assert position_score("left of", left, right) == 1
    assert position_score("inside", left, right) == 0
    assert position_score("on the left of", left, (20, 20, 30, 30)) == 0, "neither across nor down prevails"
    twice = [[thing("cat", *left), thing("cat", *right)]]
    assert spatial_relationship(twice, "cat", "dog", "on the left of") == [1], "two boxes of one class"
    assert spatial_relationship(twice, "cat", "dog", "on the left of", fixed=True) == [0]
    assert spatial_relationship([[thing("cat", *left)]], "cat", "cat", "on the left of") == [0], "one box is no pair"
    assert iou((3, 3, 3, 3), (3, 3, 3, 3)) == 0


def test_spatial_relationship_of_a_set() -> None:
    answers = {number: [thing("cat"), thing("dog", 20, 0, 30, 10)] if number < 8 else [] for number in range(16)}
    auxiliary = {"object_a": "cat", "object_b": "dog", "relationship": "on the left of"}
    metric = SpatialRelationship(Scripted(answers), reduction="multi")
    metric.update(numbered(16), Record(index=0, auxiliary_info={"spatial_relationship": auxiliary}))
    metric.update(numbered(8), Record(index=1, auxiliary_info={"spatial_relationship": auxiliary}))
    assert metric.compute() == 0.75
    for wrong in ({**auxiliary, "relationship": "inside"}, {**auxiliary, "relationship": " "}, {"object_a": "cat"}, "cat", None):
        with pytest.raises(ClipError) as caught:
            metric.update(numbered(8), Record(index=2, auxiliary_info={"spatial_relationship": wrong}))
        assert caught.value.code == "no_prompt"
    with pytest.raises(ClipError, match="'on the' is none of on the right of"):
        ask(
            SpatialRelationship(Scripted({}), fixed=True),
            numbered(8),
            {"spatial_relationship": {**auxiliary, "relationship": "on the"}},
        )


def color_by_hand(frames: list[list[Region]], wanted: str, color: str, fixed: bool) -> tuple[int, int]:
    colors = ["white", "red", "pink", "blue", "silver", "purple", "orange", "green", "gray", "yellow", "black", "grey"]
    named, right = 0, 0
    for frame in frames:
        about = []
        for region in frame:
            label = region.label if fixed else frame[0].label
            if label == wanted:
                about.append(region.caption.split() if fixed else region.caption)
        named += any(word in text for text in about for word in colors)
        right += any(color in text for text in about)
    return named, right


@pytest.mark.parametrize("fixed", [False, True])
def test_colors_by_random_captions(fixed: bool) -> None:
    dice = random.Random(3)
    words = ["red", "covered", "blue", "a", "green", "greenish", "grey", "old", "cat"]
    frames = [
        [part(dice.choice(LABELS), " ".join(dice.choices(words, k=3))) for _ in range(dice.randrange(4))] for _ in range(80)
    ]
    for color in ("red", "green", "white"):
        expected = color_by_hand(frames, "cat", color, fixed)
        assert color_frames(frames, "cat", color, fixed) == expected
        assert expected[0] > expected[1]
        metric = Color(Scripted(dict(enumerate(frames))), fixed=fixed)
        named, right = color_by_hand([frames[number] for number in chosen(80)], "cat", color, fixed)
        score = ask(metric, numbered(80), {"color": {"color": color}}, f"a {color} cat")
        assert (score.value, score.count) == (right / named, 1)
        assert score.details["cur_success_frame_rate"] == right / named
        assert metric.id == "color.custom" + ".fixed" * fixed


def test_quirks_of_colors() -> None:
    frame = [[part("sky", "a blue sky"), part("car", "a red car")], [part("car", "a covered car"), part("sky", "a red sky")]]
    assert color_frames(frame, "car", "red") == (1, 1), "the first class speaks for all; a color within a word"
    assert color_frames(frame, "car", "red", fixed=True) == (1, 1)
    assert color_frames(frame[:1], "car", "red") == (0, 0)
    assert color_frames(frame[1:], "car", "red", fixed=True) == (0, 0)
    assert color_frames(frame[:1], "sky", "red") == (1, 1)
    assert color_frames(frame[:1], "sky", "red", fixed=True) == (1, 0)
    assert color_frames([[part("car", "a brown car")]], "car", "brown") == (0, 1), "brown is none of the colors"
    assert color_frames([[part("car", "a brown car")]], "car", "brown", fixed=True) == (1, 1)
    assert colored_object("a red car", "red") == "car"
    assert colored_object("an orange umbrella", "orange") == "umbrella"
    assert colored_object("a pink panda bear", "pink") == "pandbear", "within words, too"


def test_a_video_whose_color_is_never_named_leaves_the_mean() -> None:
    metric = Color(Scripted({0: [part("car", "a red car")], 1: [part("car", "a blue car")], 2: [part("car", "a car")]}))
    for index, prompt in enumerate(("a red car", "a red bus", "a red car")):
        clip = numbered(3) if index < 2 else numbered(2)
        metric.update(clip, Record(index=index, prompt=prompt, auxiliary_info={"color": "red"}))
    assert metric.scores[0].value == 1 / 2, "the other 14 of the 16 frames name no color"
    assert metric.scores[2].value == 1 / 16
    assert (metric.scores[1].value, metric.scores[1].count) == (None, 0)
    assert metric.scores[1].details["object_frames"] == 0
    assert metric.compute() == pytest.approx((metric.scores[0].value + metric.scores[2].value) / 2)
    alone = Color(Scripted({}))
    assert ask(alone, numbered(2), {"color": {"color": "red"}}, "a red car").value is None
    assert alone.compute() is None
    for prompt, auxiliary in (("", {"color": "red"}), ("a red", {"color": "red"}), ("a red car", {"color": 3}), ("a car", {})):
        with pytest.raises(ClipError) as caught:
            ask(alone, numbered(2), auxiliary, prompt)
        assert caught.value.code == "no_prompt"


@pytest.mark.parametrize("fixed", [False, True])
@pytest.mark.parametrize("frames", [5, 40])
def test_scenes(frames: int, fixed: bool) -> None:
    dice = random.Random(frames)
    words = ["alley", "valley", "ski", "skiing", "slope", "a", "park", "parking", "lot,"]
    texts = [" ".join(dice.choices(words, k=5)) for _ in range(frames)]
    for wanted in ("alley", "ski slope", "park", "parking lot"):
        seen = []
        for text in texts:
            tokens = [token.strip(",") for token in text.split()]
            seen.append(all(word in (tokens if fixed else text) for word in wanted.split()))
        assert scene(texts, wanted, fixed) == seen
        metric = Scene(Scripted(dict(enumerate(texts))), fixed=fixed)
        score = ask(metric, numbered(frames), {"scene": {"scene": {"scene": wanted}}})
        hits = sum(seen[number] for number in chosen(frames))
        assert (score.value, score.total, score.count) == (hits / 16, hits, 16)
        assert (score.details["success_frame_count"], score.details["frame_count"]) == (hits, 16)
        assert score.details["captions"] == [texts[number] for number in chosen(frames)]
        assert metric.id == "scene.custom" + ".fixed" * fixed
    assert scene(["a green valley", "an alley."], "alley") == [True, True]
    assert scene(["a green valley", "an alley."], "alley", fixed=True) == [False, True]


def test_names_and_what_has_no_quirks() -> None:
    for cls, dimension in ((ObjectClass, "object_class"), (MultipleObjects, "multiple_objects")):
        assert cls(Scripted({}), fixed=True).id == f"{dimension}.custom", "nothing to mend"
    assert Scene(Scripted({}), name="scene.tag2text", fixed=True).id == "scene.tag2text.fixed"
    assert not Scene(Scripted({})).exact
    assert Scene(Scripted({})).provenance == {"threshold": 0.5, "backbone": "Scripted"}
    for protocol in (Detector, RegionCaptioner, Captioner):
        assert isinstance(Scripted({}), protocol)
        assert not isinstance(object(), protocol)


def test_what_cannot_be_asked_is_an_error() -> None:
    wrong: list[tuple[VideoMetric, dict[str, Any]]] = [
        (ObjectClass(Scripted({})), {}),
        (ObjectClass(Scripted({})), {"object_class": {"object": " "}}),
        (ObjectClass(Scripted({})), {"object_class": {"color": "red"}}),
        (MultipleObjects(Scripted({})), {"multiple_objects": {"object": "cat"}}),
        (MultipleObjects(Scripted({})), {"multiple_objects": {"object": "cat and dog and bird"}}),
        (MultipleObjects(Scripted({})), {"multiple_objects": {"object": "cat and "}}),
        (Scene(Scripted({})), {"scene": {"scene": {}}}),
    ]
    for metric, auxiliary in wrong:
        with pytest.raises(ClipError) as caught:
            ask(metric, numbered(2), auxiliary)
        assert caught.value.code == "no_prompt"
        assert not metric.scores


def test_a_detector_that_answers_too_little_is_an_error() -> None:
    class Short(Scripted):
        def detect(self, frames_TCHW: Tensor, labels: Sequence[str]) -> list[list[Detection]]:
            return super().detect(frames_TCHW, labels)[:-1]

    with pytest.raises(ClipError, match=re.escape("7 answers to 8 frames")) as caught:
        ask(ObjectClass(Short({})), numbered(2), {"object_class": {"object": "cat"}})
    assert caught.value.code == "bad_reply"
