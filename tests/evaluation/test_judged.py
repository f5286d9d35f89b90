"""Judged metrics on a scripted judge: what is asked about which frames, and what becomes of the answers."""

from __future__ import annotations

from typing import Any

import pytest

from evaluation.catalog.table import CATALOG, load
from evaluation.errors import ClipError, WeightsError
from evaluation.judge.base import BatchJudge, Judge
from evaluation.judge.frames import FramePolicy, View
from evaluation.judge.question import Question
from evaluation.metrics.judged import Judged, JudgedMetric
from evaluation.metrics.vbench_vqa import ColorVqa, SceneVqa
from evaluation.metrics.videophy import (
    VideoPhy2Joint,
    VideoPhy2Physics,
    VideoPhy2Rule,
    VideoPhy2Semantics,
    VideoPhyPhysics,
    VideoPhySemantics,
)
from evaluation.metrics.vqascore import VqaScore
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.record import Record
from tests.evaluation.scripted import Scripted
from tests.evaluation.videos import clip_of


def record_of(index: int = 0, **auxiliary: Any) -> Record:
    return Record(index=index, video=f"{index}.mp4", prompt="a {red} fox", auxiliary_info=auxiliary)


def scored(metric: JudgedMetric, *, index: int = 0, record: Record | None = None) -> Any:
    metric.update(clip_of(9, 20, 30, index), record or record_of(index))
    return metric.scores[index]


def code(metric: JudgedMetric, record: Record) -> str:
    with pytest.raises(ClipError) as caught:
        metric.update(clip_of(9, 20, 30, record.index), record)
    return caught.value.code


def test_a_question_of_ones_own() -> None:
    judge = Scripted(lambda text, view: {"1": 0.1, "2": 0.2, "3": 0.1}, lambda text, view: "2, because")
    question = Question(
        id="style",
        question="{{style}} of {prompt}: {style.name} x{count}?",
        reply="likert(1,3)",
        frames={"n": 3, "max_side": 15},
        system="Look.",
        prefix="Score: ",
    )
    metric = Judged(question, judge)
    clip = clip_of(9, 20, 30, 0)
    metric.update(clip, record_of(style={"name": "{prompt}"}, count=2))
    assert metric.scores[0].value == pytest.approx((0.1 + 0.4 + 0.3) / 0.4)
    assert metric.scores[0].details == {"score": metric.scores[0].value, "hard": 2.0}
    assert {text for text, _ in judge.asked} == {"{style} of a {red} fox: {prompt} x2?"}
    assert all(view is not None and view.frames_THWC.shape == (3, 10, 15, 3) for _, view in judge.asked)
    assert judge.more[0] == {"system": "Look.", "prefix": "Score: "}
    assert (metric.id, metric.range, metric.exact) == ("style", (1.0, 3.0), False)
    unit = Judged(Question(id="u", question="?", reply="likert(1,3)", unit=True, value="hard"), judge)
    assert (scored(unit).value, unit.range) == (0.5, (0.0, 1.0))
    assert scored(unit, index=1).details["score"] is None
    assert unit.compute() == 0.5
    assert code(metric, record_of(style={"name": " "}, count=2)) == "no_prompt"
    assert code(metric, record_of(count=2)) == "no_prompt"
    judge.replies = lambda text, view: "9"
    assert code(unit, record_of(2)) == "bad_reply"
    assert unit.compute() == 0.5


def test_answers_are_kept_a_judge_and_never_mixed_up() -> None:
    clip, record = clip_of(9, 20, 30, 0), record_of()
    for number in range(60):
        share = (number + 1) / 100
        metric = VqaScore(Scripted(lambda text, view, share=share: {"Yes": share}))  # type: ignore[misc]
        metric.update(clip, record)
        assert metric.scores[0].value == pytest.approx(share)


def test_what_decides_a_judged_value_is_told() -> None:
    judge = Scripted(lambda text, view: "yes")
    first = Judged(Question(id="a", question="x?"), judge).provenance
    assert (first["backbone"], first["judge"], first["frames"]) == ("scripted@1", "scripted@1", "ends(4)")
    assert first["words"] != Judged(Question(id="a", question="y?"), judge).provenance["words"]
    assert first["words"] != Judged(Question(id="a", question="x?", value="hard"), judge).provenance["words"]
    assert VqaScore(judge).provenance["words"] != VideoPhySemantics(judge).provenance["words"]
    assert (VqaScore(judge).id, ColorVqa(judge).id) == ("vqascore", "color.vqa")
    other = ColorVqa(judge, policy=FramePolicy(n=2))
    assert (other.id, other.provenance["frames"]) == ("color.vqa[ends(2)]", "ends(2)")
    assert isinstance(judge, Judge)
    assert not isinstance(judge, BatchJudge)


@pytest.mark.parametrize(
    "wrong",
    [{"id": " "}, {"question": ""}, {"question": "a {b"}, {"question": "}"}, {"reply": "words"}, {"value": "soft"},
     {"frames": {"n": 0}}, {"frames": {"many": 2}}],
)  # fmt: skip
def test_wrong_questions(wrong: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Question(**{"id": "a", "question": "b", **wrong})


def test_vqascore_is_the_probability_of_yes() -> None:
    judge = Scripted(lambda text, view: {"Yes": 0.3, "No": 0.1})
    metric = VqaScore(judge)
    assert scored(metric).value == pytest.approx(0.3)
    assert judge.asked[0][0] == 'Does this figure show "a {red} fox"? Please answer Yes or No.'
    judge.says = lambda text, view: {"No": 0.5}
    assert code(metric, record_of(1)) == "bad_reply"
    assert code(metric, Record(index=2)) == "no_prompt"


def test_videophy() -> None:
    judge = Scripted(
        lambda text, view: {"yes": 0.2, "Yes": 0.4, "no": 0.2} if "caption" in text else {"Yes": 0.1, "No": 0.3},
        lambda t, v: "No",
    )
    assert scored(VideoPhySemantics(judge)).value == pytest.approx(0.75)
    physics = scored(VideoPhyPhysics(judge))
    assert (physics.value, physics.details["hard"]) == (pytest.approx(0.25), 0.0)
    assert '"a {red} fox"' in judge.asked[0][0]


def test_videophy2_asks_once_for_three_metrics() -> None:
    digits = {str(digit): 0.1 * digit for digit in range(1, 6)}
    rating = {"caption": "4", "physics": "4"}
    judge = Scripted(lambda text, view: digits, lambda text, view: rating["caption" if "caption" in text else "physics"])
    clip = clip_of(9, 20, 30, 0)
    metrics = [VideoPhy2Semantics(judge), VideoPhy2Physics(judge), VideoPhy2Joint(judge)]
    for metric in metrics:
        metric.update(clip, record_of())
    assert len(judge.asked) == 4  # probabilities and a reply, twice
    assert [metric.scores[0].value for metric in metrics] == [pytest.approx(55 / 15), pytest.approx(55 / 15), 1.0]
    rating["physics"] = "3"
    assert scored(metrics[2], index=1).details == {"sa": 4.0, "pc": 3.0}
    assert metrics[2].compute() == 0.5


def test_videophy2_rules() -> None:
    answers = {"one": "1", "two": "0", "three": "2", "{four}": "1"}
    judge = Scripted(lambda text, view: next(digit for rule, digit in answers.items() if f'"{rule}"' in text))
    metric = VideoPhy2Rule(judge)
    found = scored(metric, record=record_of(rules=list(answers)))
    assert (found.value, found.details) == (pytest.approx(2 / 3), {"answers": [1, 0, 2, 1]})
    assert scored(metric, index=1, record=record_of(1, rules=["three"])).value is None
    assert metric.compute() == pytest.approx(2 / 3)
    assert code(metric, record_of(2, rules=[])) == "no_prompt"


def brightness(view: View | None) -> float:
    assert view is not None
    assert view.picture
    return float(view.frames_THWC.mean())


def test_color_counts_frames_with_the_object_in_any_color() -> None:
    clip = clip_of(40, 20, 30, 0)
    edges = [int(40 * i / 16) for i in range(17)]
    means = [float(clip.frames_THWC[(edges[i] + edges[i + 1] - 1) // 2].mean()) for i in range(16)]
    ranks = {mean: rank for rank, mean in enumerate(sorted(means))}
    colors = ["Red.", "red and blue", "blue", "covered", "green"]

    def says(text: str, view: View | None) -> str:
        rank = ranks[brightness(view)]
        if "answer yes" in text.lower():
            assert "Is fox seen" in text
            return "yes" if rank < 10 else "no"
        return colors[rank % 5]

    judge = Scripted(says)
    metric = ColorVqa(judge)
    record = Record(index=0, prompt="a red fox", auxiliary_info={"color": {"color": "red"}})
    metric.update(clip, record)
    # Of ten frames with a fox two name no color; red is named in four of the other eight.
    assert metric.scores[0].value == pytest.approx(4 / 8)
    assert metric.scores[0].details["cur_success_frame_rate"] == 0.5
    assert sum(frame is None for frame in metric.scores[0].details["frames"]) == 6
    metric = ColorVqa(Scripted(lambda text, view: "no"))
    metric.update(clip, record)
    assert metric.scores[0].value is None
    assert metric.compute() is None
    assert code(metric, record_of(3)) == "no_prompt"
    assert code(metric, Record(index=4, prompt="red", auxiliary_info={"color": "red"})) == "no_prompt"


def test_scene_counts_frames_over_the_set() -> None:
    answers = iter(["yes"] * 4 + ["no"] * 12 + ["yes"] * 16)
    judge = Scripted(lambda text, view: next(answers))
    metric = SceneVqa(judge)
    for index in range(2):
        scored(metric, index=index, record=record_of(index, scene={"scene": {"scene": "alley"}}))
    assert metric.scores[0].value == 0.25
    assert metric.scores[0].details == {"success_frame_count": 4, "frame_count": 16}
    assert metric.compute() == 20 / 32
    assert "alley" in judge.asked[0][0]
    assert code(metric, record_of(5)) == "no_prompt"


def test_every_judged_metric_is_built_with_a_judge_and_refused_without() -> None:
    names = [name for name, entry in CATALOG.items() if "judge" in entry.needs]
    assert len(names) == 26
    towers = Towers({})
    for name in names:
        metric_class = load(name)
        assert metric_class.id == name
        assert not metric_class.exact
        with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
            metric_class.build(towers, Options())
        if not CATALOG[name].weights:
            built = metric_class.build(towers, Options(judge=Scripted(lambda text, view: "yes")))
            assert isinstance(built, JudgedMetric)
            assert len(built.provenance["words"]) == 12
