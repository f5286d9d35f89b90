"""The verifier: true renders read right, one wrong attribute never accepted, spoilt videos left undecided, answers matched."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from rapo_lightning.shapes import verify_gates
from rapo_lightning.shapes.render import render
from rapo_lightning.shapes.scene import COLOURS, SHAPES, Item, Scene, held_out, mirrored
from rapo_lightning.shapes.verify import Reading, all_right, check, read
from rapo_lightning.shapes.verify_gates import DEGRADATIONS, counterfactuals, encoded, measure_degraded, measure_true, renders

Frames = npt.NDArray[np.uint8]
BALL = Item(shape="circle", colour="red", size="large", action="right", speed="slow")
BOX = Item(shape="square", colour="blue", size="small", action="still")
ALONE = Scene(items=(BALL,), place="sea", atmosphere="day")
PAIR = Scene(items=(BALL, BOX), place="snow", atmosphere="night", relation="above")
SHOWN = Reading(count=2, items=(BOX, BALL), relation="below", place="snow", atmosphere="night")


def answer(frames: Frames, scene: Scene) -> bool | None:
    return all_right(check(read(frames), scene))


def with_item(scene: Scene, **values: str | None) -> Scene:
    return replace(scene, items=(replace(scene.items[0], **values), *scene.items[1:]))  # type: ignore[arg-type]


def bare(frames: Frames) -> Frames:
    """The last frame's scenery, from the columns that a ball that moves to the right has left or not reached."""
    clear = np.ptp(frames.astype(int), axis=-1).max(axis=(0, 1)) < 60
    return np.repeat(np.median(frames[-1][:, clear], axis=1, keepdims=True), 64, axis=1).astype(np.uint8)


# --- the gates, small ---


def test_true_renders_are_read_right_and_no_change_is_accepted() -> None:
    lines = list(measure_true(renders(300, 11), 0))
    true = {line["attribute"]: line for line in lines if line["gate"] == "true renders"}
    changed = {line["attribute"]: line for line in lines if line["gate"] == "one attribute changed"}
    assert set(true) == {"all", *changed}
    assert true["all"] == {"gate": "true renders", "attribute": "all", "right": 300, "wrong": 0, "undecided": 0}
    assert all(line["wrong"] == line["undecided"] == 0 for line in true.values())
    assert all(line["accepted"] == 0 and int(str(line["tried"])) >= 50 for line in changed.values())


def test_moderate_degradation_leaves_nearly_all_decided_and_none_wrong() -> None:
    for line in measure_degraded(list(renders(40, 12)), 0):
        assert line["wrong"] == 0, line
        assert int(str(line["right"])) >= 38, line


def test_a_soft_and_trembling_video_is_still_read() -> None:
    import cv2

    rng = np.random.default_rng(0)
    soft = [cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in render(ALONE, 5)]
    assert answer(DEGRADATIONS["jitter of 1 pixel"](np.asarray(soft, np.uint8), rng), ALONE) is True


# --- spoilt videos: never right ---


@pytest.mark.parametrize("values", [{"shape": "square"}, {"shape": "cross"}, {"colour": "orange"}, {"size": "small"}])
@pytest.mark.parametrize("after", [8, 12])
def test_an_object_that_turns_into_another_is_not_accepted(values: dict[str, str], after: int) -> None:
    frames = render(ALONE, 5)
    frames[after:] = render(with_item(ALONE, **values), 5)[after:]
    assert answer(frames, ALONE) is not True
    assert answer(frames, with_item(ALONE, **values)) is not True


@pytest.mark.parametrize("gone", [slice(0, None, 3), slice(12, None), slice(0, 5)])
def test_an_object_that_flickers_or_vanishes_is_undecided(gone: slice) -> None:
    frames = render(ALONE, 5)
    frames[gone] = bare(frames)
    checks = check(read(frames), ALONE)
    assert checks["count"] is None
    assert checks["1.colour"] is None
    assert checks["place"] is True


@pytest.mark.parametrize("shift", [9, 14, 24])
def test_a_doubled_object_is_not_accepted(shift: int) -> None:
    scene = with_item(ALONE, action="still", speed=None)
    frames = render(scene, 2)
    copy = np.roll(frames, shift, axis=2)
    frames = np.where((np.ptp(copy.astype(int), axis=-1) > 60)[..., None], copy, frames)
    assert answer(frames, scene) is not True


def test_an_object_that_leaps_is_undecided() -> None:
    scene = with_item(ALONE, action="still", speed=None)
    frames = render(scene, 2)
    frames[8:] = np.roll(frames[8:], 12, axis=2)
    assert check(read(frames), scene)["1.action"] is None


def test_a_place_that_changes_is_undecided() -> None:
    frames = render(ALONE, 5)
    frames[9:] = render(replace(ALONE, atmosphere="night"), 5)[9:]
    checks = check(read(frames), ALONE)
    assert checks["atmosphere"] is None
    assert checks["1.colour"] is True


def test_a_washed_out_object_is_undecided() -> None:
    frames = render(ALONE, 5)
    faint = (0.4 * frames + 0.6 * bare(frames)).astype(np.uint8)
    assert answer(faint, ALONE) is None


def test_specks_are_no_objects_and_an_empty_scene_has_none() -> None:
    frames = render(ALONE, 5)
    empty = np.repeat(bare(frames)[None], 17, axis=0)
    frames[:, 2:5, 30:33] = (250, 20, 20)
    assert answer(frames, ALONE) is True
    checks = check(read(empty), ALONE)
    assert checks["count"] is checks["1.shape"] is checks["1.speed"] is False
    assert checks["place"] is checks["atmosphere"] is True


def test_three_objects_are_counted_but_not_read() -> None:
    frames = np.repeat(bare(render(ALONE, 5))[None], 17, axis=0)
    for column in (6, 26, 46):
        frames[:, 20:32, column : column + 12] = (226, 38, 44)
    reading = read(frames)
    assert (reading.count, reading.items) == (3, ())
    assert check(reading, ALONE) == {
        "count": False, "1.shape": None, "1.colour": None, "1.size": None, "1.action": None, "1.speed": None,
        "place": True, "atmosphere": True,
    }  # fmt: skip


def test_objects_that_touch_are_told_apart_by_colour() -> None:
    frames = np.repeat(bare(render(ALONE, 5))[None], 17, axis=0)
    frames[:, 20:32, 20:32] = (226, 38, 44)
    frames[:, 24:42, 32:50] = (250, 138, 24)
    reading = read(encoded(frames))
    assert reading.count == 2
    assert reading.relation in ("left of", "right of")
    assert {(item.shape, item.colour, item.size, item.action) for item in reading.items} == {
        ("square", "red", "small", "still"),
        ("square", "orange", "large", "still"),
    }


def test_a_frame_full_of_colour_shows_no_object_and_no_place() -> None:
    full = np.full((17, 64, 64, 3), (226, 38, 44), np.uint8)
    assert read(full) == Reading(count=None)


def test_an_object_that_another_touches_at_first_is_measured_alone() -> None:
    frames = np.repeat(bare(render(ALONE, 5))[None], 17, axis=0)
    frames[:, 20:40, 8:28] = (226, 38, 44)
    for number in range(17):
        frames[number, 30:42, 28 + number : 40 + number] = (250, 138, 24)
    actions = {item.colour: (item.shape, item.size, item.action) for item in read(encoded(frames)).items}
    assert actions == {"red": ("square", "large", "still"), "orange": ("square", "small", "right")}


@pytest.mark.parametrize("shape", [(8, 64, 64, 3), (17, 64, 64), (17, 32, 64, 3)])
def test_frames_of_another_kind_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="needs uint8"):
        read(np.zeros(shape, np.uint8))
    with pytest.raises(ValueError, match="float32"):
        read(np.zeros((17, 64, 64, 3), np.float32))  # type: ignore[arg-type]


# --- checking a reading ---


def test_two_objects_are_matched_in_the_order_that_agrees_best() -> None:
    assert set(check(SHOWN, PAIR).values()) == {True}
    assert set(check(SHOWN, mirrored(PAIR)).values()) == {True}
    assert list(check(SHOWN, PAIR)) == list(PAIR.attributes())


def test_one_wrong_attribute_is_wrong_alone() -> None:
    checks = check(SHOWN, replace(PAIR, relation="below"))
    assert [key for key, value in checks.items() if value is False] == ["relation"]
    checks = check(SHOWN, with_item(PAIR, colour="green"))
    assert [key for key, value in checks.items() if value is False] == ["1.colour"]


def test_only_what_is_stated_is_checked() -> None:
    stated = Scene(items=(Item(shape="circle", colour="red"), Item(shape="square", colour="blue")))
    assert set(check(SHOWN, stated)) == {"count", "1.shape", "1.colour", "2.shape", "2.colour"}
    assert all_right(check(SHOWN, stated)) is True


def test_what_is_said_of_a_missing_object_is_wrong() -> None:
    shown = Reading(count=1, items=(BOX,), place="snow", atmosphere="night")
    checks = check(shown, PAIR)
    assert checks["count"] is checks["relation"] is checks["1.shape"] is False
    assert checks["2.shape"] is checks["place"] is True


def test_one_of_two_objects_can_be_the_one_stated() -> None:
    checks = check(SHOWN, Scene(items=(BALL,)))
    assert checks.pop("count") is False
    assert set(checks.values()) == {True}


def test_an_undecided_value_is_neither_right_nor_wrong() -> None:
    shown = replace(SHOWN, items=(BOX, replace(BALL, speed=None)), place=None)
    checks = check(shown, PAIR)
    assert checks["1.speed"] is checks["place"] is None
    assert all_right(checks) is None
    assert all_right(check(shown, replace(PAIR, relation="below"))) is False


def test_a_stated_speed_is_wrong_of_what_does_not_travel() -> None:
    shown = Reading(count=1, items=(replace(BALL, action="grow", speed=None),))
    checks = check(shown, ALONE)
    assert checks["1.action"] is checks["1.speed"] is False


def test_of_an_unclear_number_of_objects_nothing_is_known() -> None:
    checks = check(Reading(count=None, place="snow", atmosphere="day"), PAIR)
    assert {checks[key] for key in checks if key not in ("place", "atmosphere")} == {None}
    assert (checks["place"], checks["atmosphere"]) == (True, False)


# --- the measuring command ---


def test_counterfactuals_change_one_attribute_and_stay_valid() -> None:
    rng = np.random.default_rng(0)
    for scene, _ in renders(60, 3):
        for name, other in counterfactuals(scene, rng).items():
            before, after = scene.attributes(), other.attributes()
            assert after[name] != before[name]
            if name != "count":
                differ = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
                assert differ <= {name, name.replace("action", "speed")}
            for field, values in (("shape", SHAPES), ("colour", COLOURS)):
                found = [getattr(item, field) for item in other.items]
                assert len(set(found)) == len(found)
                assert set(found) <= set(values)
            assert (other.relation is None) == (len(other.items) == 1)


def test_renders_are_half_of_each_split() -> None:
    scenes = [scene for scene, _ in renders(9, 0)]
    assert [any(map(held_out, scene.items)) for scene in scenes] == [False] * 5 + [True] * 4


def test_encoding_changes_little() -> None:
    frames = render(PAIR, 1)
    again = encoded(frames)
    assert again.shape == frames.shape
    assert np.abs(again.astype(int) - frames).mean() < 3


def test_the_command_prints_json_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["verify_gates", "--renders", "4", "--degraded", "1"])
    verify_gates.main()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["by"] for line in lines if line["gate"] == "degraded"] == list(DEGRADATIONS)
    assert lines[0] == {"gate": "true renders", "attribute": "all", "right": 4, "wrong": 0, "undecided": 0}
