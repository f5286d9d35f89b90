"""PhyGenBench's stages: bins and sums written out, and the whole on a scripted judge and a tiny CLIP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch.nn import functional as F

from evaluation.backbones.clip import OpenAIClip
from evaluation.errors import ClipError
from evaluation.judge.frames import View
from evaluation.metrics.phygenbench import PhyGenBench, binned, in_order, overall
from evaluation.video import resize
from evaluation.video.record import Record
from tests.evaluation import tiny
from tests.evaluation.scripted import Scripted
from tests.evaluation.videos import clip_of

CLIP = clip_of(40, 24, 24, 3)
DESCRIPTIONS = {f"Description{number}": f"fantasy {number}" for number in range(1, 5)}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> OpenAIClip:
    return OpenAIClip(tiny.clip_folder(tmp_path_factory.mktemp("clip")), text=True)


def test_bins_orders_and_rounding() -> None:
    assert [binned(share) for share in (0, 0.2499, 0.25, 0.5, 0.7499, 0.75, 1)] == [0, 0, 1, 2, 2, 3, 3]
    assert in_order([[(0.4, True), (0.5, True)], [(0.9, False)], [(1.0, True)]]) == 2
    assert in_order([[(0.4, True)], [(0.499, True)], [(1.0, False)]]) == 0
    assert [overall(stages) for stages in ([0, 1, 1], [3, 3, 1], [2, 3, 3], [1, 2, 2], [0, 0, 1])] == [1, 2, 3, 2, 0]


def nearest(backbone: OpenAIClip, text: str) -> list[int]:
    """Which of the 32 frames CLIP finds most like the text; in the video's own numbers."""
    places = [int(39 * i / 31) for i in range(32)]
    images = F.normalize(backbone.images(resize.clip_f(CLIP.frames_TCHW[places])), dim=-1)
    scores = images @ F.normalize(backbone.texts(text), dim=-1)[0]
    best = int(scores.argmax())
    return [best, *places]


def test_the_three_stages(backbone: OpenAIClip) -> None:
    key = "the ball at its highest"
    best, *places = nearest(backbone, key)
    frame = {index: CLIP.frames_THWC[place] for index, place in enumerate(places)}
    likely = {key: {index: 0.05 + 0.02 * index for index in range(32)}, "it falls": {}, "it rises": {}}
    shown: list[tuple[str, list[int]]] = []

    def numbers(view: View | None) -> list[int]:
        assert view is not None
        return [next(index for index, own in frame.items() if (own == picture).all()) for picture in view.frames_THWC]

    def says(text: str, view: View | None) -> dict[str, float]:
        if text.startswith("A video"):
            assert "law: gravity pulls" in text.replace("law of physics: ", "law: ")
            return {"A": 0.1, "B": 0.2, "C": 0.5, "D": 0.2}
        asked = next(name for name in (*likely, "all is wet") if f'"{name}"' in text)
        share = likely.get(asked, {}).get(numbers(view)[0], {"it falls": 0.6, "it rises": 0.2, "all is wet": 0.4}.get(asked, 0.0))
        return {"Yes": share, "No": 1 - share}

    def replies(text: str, view: View | None) -> str:
        if "in this order" in text:
            shown.append((text.split("order: ")[1].split(" Answer")[0], numbers(view)))
            return "no" if "second" in text else "yes"
        return "yes"

    metric = PhyGenBench(Scripted(says, replies), backbone)
    multi = {"Description1": "first", "Description2": "second", "Description3": "third", "Retrieval Prompt": "Middle Frame"}
    single: list[dict[str, str]] = [
        {"Retrieval Prompt": key, "Statement": "it falls", "Antonym": "it rises"},
        {"Retrieval Prompt": "Last Frame", "Statement": "all is wet", "Antonym": "all is dry"},
    ]
    info = {"single": single, "multi": multi, "video": DESCRIPTIONS, "physical_laws": "gravity pulls"}
    metric.update(CLIP, Record(index=0, prompt="a ball", auxiliary_info=info))
    # single: .6/(.6+.2) = .75 and .4, .575 in the middle; order: yes, no, yes; choice: C.
    assert metric.scores[0].details == {"single": 2, "order": 2, "video": 2}
    assert metric.scores[0].value == 2.0
    assert shown == [("first", [0, 16]), ("second", [16, 31]), ("third", [0, 16, 31])]
    shown.clear()
    third = multi.pop("Description3")  # as the suite's own files are
    explicit = PhyGenBench(Scripted(says, replies), backbone)
    explicit.update(CLIP, Record(index=0, prompt="a ball", auxiliary_info={**info, "explicit_caption": third}))
    assert explicit.scores[0] == metric.scores[0]
    multi["Description3"] = third
    shown.clear()
    near = [index for index in (best - 1, best, best + 1) if 0 <= index < 32]
    likely[key] = {index: 0.6 if index == best else 0.3 for index in range(32)}
    multi["Retrieval Prompt"] = key
    metric.update(CLIP, Record(index=1, prompt="a ball", auxiliary_info=info))
    assert metric.scores[1].details["order"] == 2
    assert shown == [
        *(("first", [0, index]) for index in near if index <= best),
        *(("second", [index, 31]) for index in near if index >= best),
        ("third", [0, best, 31]),
    ]
    likely[key] = dict.fromkeys(range(32), 0.3)  # no frame is surely the key frame, so order cannot be told
    other = PhyGenBench(Scripted(says, replies), backbone)
    other.update(CLIP, Record(index=2, prompt="a ball", auxiliary_info=info))
    assert other.scores[2].details["order"] == 1


@pytest.mark.parametrize(
    "without", ["single", "multi", "video", "Description3", "Statement"],
)  # fmt: skip
def test_what_is_not_given_is_an_error(backbone: OpenAIClip, without: str, tmp_path: Path) -> None:
    info: dict[str, Any] = {
        "single": [{"Retrieval Prompt": "Last Frame", "Statement": "wet", "Antonym": "dry"}],
        "multi": {**DESCRIPTIONS, "Retrieval Prompt": "Middle Frame"},
        "video": dict(DESCRIPTIONS),
    }
    info.pop(without, None)
    info.get("video", {}).pop(without, None)
    info.get("single", [{}])[0].pop(without, None)
    judge = Scripted(lambda text, view: dict.fromkeys(("A", "B", "C", "D", "Yes", "No"), 0.25), lambda text, view: "yes")
    with pytest.raises(ClipError) as caught:
        PhyGenBench(judge, backbone).update(CLIP, Record(index=0, prompt="a ball", auxiliary_info=info))
    assert caught.value.code == "no_prompt"
