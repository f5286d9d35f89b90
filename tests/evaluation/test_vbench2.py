"""VBench-2.0's twelve judged dimensions: the rules against the suite's own, written out, and what is asked about which frames."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from evaluation.errors import ClipError
from evaluation.judge.frames import View
from evaluation.metrics import vbench2
from evaluation.metrics import vbench2_logic as logic
from evaluation.metrics.judged import JudgedMetric
from evaluation.video.record import Record
from tests.evaluation.scripted import Scripted
from tests.evaluation.videos import clip_of

CLIP = clip_of(20, 16, 24, 1)


def run(
    kind: Callable[..., JudgedMetric], says: Callable[[str, View | None], str], given: Any = None, prompt: str = "a prompt"
) -> Any:
    metric = kind(Scripted(says))
    info = {} if given is None else {metric.dimension: given}  # type: ignore[attr-defined]
    metric.update(CLIP, Record(index=0, prompt=prompt, auxiliary_info=info))
    return metric


def value(metric: JudgedMetric) -> float | None:
    assert metric.compute() == metric.scores[0].value
    return metric.scores[0].value


def asked(metric: JudgedMetric) -> list[tuple[str, View | None]]:
    judge = metric.judge
    assert isinstance(judge, Scripted)
    return judge.asked


def answers(*said: bool) -> Callable[[str, View | None], str]:
    """Yes or no by the number in the question."""
    return lambda text, view: "Yes" if said[int(text[-2])] else "No"


def questions(count: int) -> list[str]:
    return [f"Is it {number}?" for number in range(count)]


@pytest.mark.parametrize("said", list(itertools.product([True, False], repeat=3)))
def test_all_yes(said: tuple[bool, ...]) -> None:
    for kind in (vbench2.DynamicAttribute, vbench2.MotionRationality):
        metric = run(kind, answers(*said), questions(3))
        assert value(metric) == (1.0 if said == (True, True, True) else 0.0)
        assert [text.splitlines()[-1] for text, _ in asked(metric)] == questions(3)
        view = asked(metric)[0][1]
        assert view is not None
        assert len(view.frames_THWC) == 64
        assert view.seconds == tuple(int(19 * i / 63) / 8 for i in range(64))


@pytest.mark.parametrize("said", [*itertools.product([True, False], repeat=2), (True,), (False,)])
def test_the_first_of_two_says_whether_the_video_counts(said: tuple[bool, ...]) -> None:
    wanted = float(said[0]) if len(said) == 1 else (float(said[1]) if said[0] else None)
    for kind in (vbench2.Mechanics, vbench2.Material, vbench2.Thermotics):
        assert value(run(kind, answers(*said), questions(len(said)))) == wanted


@pytest.mark.parametrize("said", list(itertools.product([True, False], repeat=3)))
def test_clothes(said: tuple[bool, ...]) -> None:
    words = ("exactly one", "same person", "clothes")
    metric = run(vbench2.HumanClothes, lambda text, view: "yes" if said[[w in text for w in words].index(True)] else "no")
    assert value(metric) == (None if not said[0] else float(said[1] and said[2]))


@pytest.mark.parametrize("judge", list(itertools.product([True, False], repeat=2)))
@pytest.mark.parametrize("said", list(itertools.product([True, False], repeat=3)))
def test_composition(said: tuple[bool, ...], judge: tuple[bool, bool]) -> None:
    for alone in (True, False):

        def says(text: str, view: View | None, alone: bool = alone) -> str:
            return "Yes" if (alone if "only one creature" in text else said[int(text[-2])]) else "No"

        metric = run(vbench2.Composition, says, {"question": questions(3), "judge": list(judge)})
        if judge[0] and not alone:
            wanted = 1 / 3
        elif judge[1]:
            wanted = float(sum(said) == 3)
        else:
            wanted = sum(said) / 3
        assert value(metric) == pytest.approx(wanted)
        assert len(asked(metric)) == 3 + judge[0]


@pytest.mark.parametrize("said", list(itertools.product([True, False], repeat=2)))
def test_a_spatial_change_is_asked_of_the_first_half_and_the_end(said: tuple[bool, ...]) -> None:
    metric = run(vbench2.DynamicSpatialRelationship, answers(*said), questions(2))
    assert value(metric) == float(all(said))
    first, last = (view for _, view in asked(metric))
    assert first is not None
    assert last is not None
    assert (len(first.frames_THWC), first.picture) == (32, False)
    assert (len(last.frames_THWC), last.picture) == (1, True)
    assert (last.frames_THWC[0] == CLIP.frames_THWC[-1]).all()


@pytest.mark.parametrize(("said", "wanted"), [("YYYY", 1), ("YYNY", 0.5), ("NYYY", 0), ("YYYN", 0.75)])
@pytest.mark.parametrize("kind", [vbench2.ComplexPlot, vbench2.ComplexLandscape])
def test_a_story_counts_up_to_its_first_gap(kind: Callable[..., JudgedMetric], said: str, wanted: float) -> None:
    plots = [f"plot {number}" for number in range(4)]
    told = "Sure:\n1. told 0;\n2. told 1; 3. told 2\n4. told 3."

    def says(text: str, view: View | None) -> str:
        if view is not None:
            assert "4 sentences" in text
            return told
        number = next(number for number in range(4) if f"plot {number}" in text)
        assert f"told {number}" in text
        return "Yes. It is so." if said[number] == "Y" else "No."

    metric = run(kind, says, plots)
    assert value(metric) == wanted
    assert all(text.count("told ") == 1 for text, view in asked(metric) if view is None)
    told = "Much happens: told 0, told 1, told 2 and told 3."
    metric = run(kind, says, plots)
    assert value(metric) == wanted
    assert all(told in text for text, view in asked(metric) if view is None)


@pytest.mark.parametrize("said", list(itertools.product([True, False], repeat=2)))
def test_people_must_do_it_and_be_more_than_one(said: tuple[bool, ...]) -> None:
    def says(text: str, view: View | None) -> str:
        if view is not None:
            return "two people hug" if "one sentence" in text else "much {wanted} detail"
        if "more than one person" in text:
            assert "much {wanted} detail" in text
            return "yes" if said[1] else "no"
        assert "two people hug" in text
        assert "They hug." in text
        return "yes" if said[0] else "no"

    assert value(run(vbench2.HumanInteraction, says, prompt="They hug.")) == float(all(said))


@pytest.mark.parametrize("said", list(itertools.product([True, False], repeat=2)))
def test_two_motions_in_order(said: tuple[bool, ...]) -> None:
    def says(text: str, view: View | None) -> str:
        if view is not None:
            return "1. runs; 2. jumps."
        assert ("run" in text) == ("runs" in text)
        return "yes" if said["leap" in text] else "no"

    assert value(run(vbench2.MotionOrderUnderstanding, says, ["run", "leap"])) == float(all(said))
    assert value(run(vbench2.MotionOrderUnderstanding, lambda text, view: "It runs.", ["run", "leap"])) is None


@pytest.mark.parametrize(
    ("kind", "given"),
    [(vbench2.Mechanics, None), (vbench2.Mechanics, []), (vbench2.Material, "text"), (vbench2.ComplexPlot, [1]),
     (vbench2.DynamicSpatialRelationship, ["one"]), (vbench2.Composition, {"question": [], "judge": [True, True]}),
     (vbench2.Composition, ["a"]), (vbench2.Composition, {"question": ["a"]})],
)  # fmt: skip
def test_what_is_not_given_is_an_error(kind: Callable[..., JudgedMetric], given: Any) -> None:
    with pytest.raises(ClipError) as caught:
        run(kind, lambda text, view: "yes", given)
    assert caught.value.code == "no_prompt"


def test_a_reply_that_is_neither_is_an_error() -> None:
    for kind, given in ((vbench2.Mechanics, ["?"]), (vbench2.ComplexPlot, ["a"]), (vbench2.HumanInteraction, None)):
        with pytest.raises(ClipError) as caught:
            run(kind, lambda text, view: "Perhaps.", given)
        assert caught.value.code == "bad_reply"
    with pytest.raises(ClipError, match="says nothing"):
        run(vbench2.ComplexPlot, lambda text, view: " ", ["a"])


def test_the_total_is_the_mean_of_five_means() -> None:
    values = {name: 0.01 * number for number, name in enumerate(n for names in logic.CATEGORIES.values() for n in names)}
    assert len(values) == 18
    found = logic.total2({name.title().replace("_", " "): value for name, value in values.items()} | {"other": 5.0})
    wanted = {
        "creativity": (0 + 0.01) / 2, "commonsense": (0.02 + 0.03) / 2, "controllability": sum(range(4, 11)) / 700,
        "human_fidelity": (0.11 + 0.12 + 0.13) / 3, "physics": (0.14 + 0.15 + 0.16 + 0.17) / 4,
    }  # fmt: skip
    assert found.categories == pytest.approx(wanted)
    assert found.total == pytest.approx(sum(wanted.values()) / 5)
    assert (found.missing, found.proxies) == ((), ())
    fewer: dict[str, float | None] = {**values, "mechanics": None, "diversity": None}
    found = logic.total2(fewer)
    assert (found.total, found.missing) == (None, ("diversity", "mechanics"))
    assert found.categories["creativity"] is None
    assert found.categories["commonsense"] == pytest.approx(0.025)
    with pytest.raises(ValueError, match=r"mechanics\.vlm: another judge"):
        logic.total2({**fewer, "mechanics.vlm": 0.15})
    found = logic.total2({**fewer, "mechanics.vlm": 0.15, "diversity.vlm": 0.01, "material.vlm": 0.9}, allow_proxy=True)
    assert found.total == pytest.approx(sum(wanted.values()) / 5)
    assert found.proxies == ("mechanics.vlm", "diversity.vlm")
    with pytest.raises(ValueError, match="two proxies"):
        logic.total2({"mechanics.vlm": 0.1, "mechanics.raft": 0.1}, allow_proxy=True)
    with pytest.raises(ValueError, match="finite"):
        logic.total2({"mechanics": float("nan")})


def test_numbered_lists() -> None:
    assert logic.numbered("1. a b\n2. c; 3) d 4.5 m.") == ["a b", "c", "d 4.5 m."]
    assert logic.numbered("In 2024. it was") == []
    assert logic.numbered("nothing") == []
