"""A graph that grows renews its captions' style: as if all had been counted at once, and never against a person's will."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rapo_lightning.errors import InputError
from rapo_lightning.language import FakeTextEncoder
from rapo_lightning.retrieval import growing, style
from rapo_lightning.retrieval.store import load_graph, save_graph
from rapo_lightning.retrieval.style import StyleCount, profile
from rapo_lightning.retrieval.style_files import load_style, save_style
from rapo_lightning.types import CaptionPhrases

ENCODER = FakeTextEncoder()
CAPTIONS = [f"A man is walking dog {'x' * (n % 5)} by the {['river', 'sea', 'hill'][n % 3]}" for n in range(40)]
CAPTIONS += [f"Slowly the camera turns {'left' * (n % 2)}" for n in range(30)]


def phrases(captions: Sequence[str]) -> list[CaptionPhrases]:
    return [CaptionPhrases(caption=f"{text} {n}", scenes=("sea",), actions=("a",)) for n, text in enumerate(captions)]


def texts(captions: Sequence[CaptionPhrases]) -> list[str]:
    return [caption.caption for caption in captions]


def grow(folder: Path, captions: Sequence[CaptionPhrases], **options: int) -> None:
    growing.add(folder, captions, ENCODER, **options)  # type: ignore[arg-type]


def edit(folder: Path, **changes: object) -> None:
    """As a person would."""
    path = folder / "style.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    growing.create(tmp_path / "g", ENCODER)
    return tmp_path / "g"


@pytest.mark.parametrize("batch", [1, 7, 100])
def test_a_style_that_grew_is_that_of_all_captions(graph: Path, batch: int) -> None:
    captions = phrases(CAPTIONS)
    for first in range(0, len(captions), 25):
        grow(graph, captions[first : first + 25], batch=batch)
        assert load_style(graph) == profile(texts(captions[: first + 25]))
    grow(graph, captions)
    assert load_style(graph) == profile(texts(captions)), "known captions are not counted again"


def test_what_is_kept_of_a_count_has_a_limit_and_loses_nothing_frequent(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "_KEPT", 50)
    rare = [f"name{'x' * (n % 100)}{'y' * (n // 100)}q walks home" for n in range(300)]
    captions = phrases([text for pair in zip(rare, CAPTIONS * 5) for text in pair])
    for first in range(0, len(captions), 10):
        grow(graph, captions[first : first + 10])
    values = json.loads((graph / "style.json").read_text())["counted"]
    assert max(map(len, (values["words"], *values["openers"].values()))) <= 50
    found, whole = load_style(graph), profile(texts(captions))
    assert found is not None
    assert replace(found, words=()) == replace(whole, words=())
    assert set(found.words[:8]) == set(whole.words[:8])


def test_what_becomes_frequent_little_by_little_is_not_forgotten_each_time(graph: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(style, "_KEPT", 20)
    common = [f"{letter * 9} walks" for letter in "abcdefghijklmnopqrstuvwxyz"]
    captions = phrases([*common * 20, *["zebras sleep long here"] * 200])
    grow(graph, captions[:520])
    for first in range(520, len(captions), 5):
        grow(graph, captions[first : first + 5])
    found = load_style(graph)
    assert found is not None
    assert found.words[:4] == ("walks", "long", "sleep", "zebras")


def test_a_persons_description_stays(graph: Path) -> None:
    captions = phrases(CAPTIONS)
    grow(graph, captions[:30])
    edit(graph, description="Like a diary.")
    grow(graph, captions[30:])
    assert load_style(graph) == replace(profile(texts(captions)), description="Like a diary.")


def test_figures_that_a_person_changed_stay(graph: Path) -> None:
    captions = phrases(CAPTIONS)
    grow(graph, captions[:30])
    edit(graph, words_high=99, description="Like a diary.")
    mine = replace(profile(texts(captions[:30])), words_high=99, description="Like a diary.")
    for first in (30, 50):
        grow(graph, captions[first : first + 20])
        assert load_style(graph) == mine
    counted = json.loads((graph / "style.json").read_text())["counted"]
    assert StyleCount.of(counted).profile() == profile(texts(captions)), "all were counted meanwhile"


def test_a_graph_whose_captions_were_not_counted_keeps_the_style_it_has(graph: Path, tmp_path: Path) -> None:
    grow(graph, phrases(CAPTIONS[:30]))
    save_graph(load_graph(graph), tmp_path / "converted")
    grow(tmp_path / "converted", phrases(CAPTIONS[30:]))
    assert load_style(tmp_path / "converted") is None
    save_style(tmp_path / "converted", profile(CAPTIONS))
    grow(tmp_path / "converted", [CaptionPhrases(caption="one more", scenes=("sea",), actions=("a",))])
    assert load_style(tmp_path / "converted") == profile(CAPTIONS)


def test_captions_without_a_word_make_no_style(graph: Path) -> None:
    grow(graph, [CaptionPhrases(caption=" ", scenes=("sea",), actions=("a",))])
    assert load_style(graph) is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"words_low": 1, "words_high": 2, "mean_words": 1, "counted": 3}'])
def test_a_file_that_cannot_be_used_is_named_before_anything_is_added(graph: Path, content: str) -> None:
    grow(graph, phrases(CAPTIONS[:30]))
    (graph / "style.json").write_text(content)
    with pytest.raises(InputError, match=r"style\.json"):
        grow(graph, phrases(CAPTIONS))
    with pytest.raises(InputError, match=r"style\.json"):
        load_style(graph)
    assert load_graph(graph).captions == 30


def test_a_count_comes_back() -> None:
    count = StyleCount()
    for caption in CAPTIONS:
        count.add(caption)
    again = StyleCount.of(json.loads(json.dumps(count.values())))
    assert (again.profile(), again.captions) == (count.profile(), 70)


@pytest.mark.parametrize("where", ["append", "settle"])
@pytest.mark.parametrize("batches", [0, 1, 3])
def test_a_kill_between_graph_and_style_loses_no_caption(
    graph: Path, monkeypatch: pytest.MonkeyPatch, where: str, batches: int
) -> None:
    captions = phrases(CAPTIONS)
    done = []

    class Killed(BaseException):
        """What nothing catches."""

    home = growing if where == "append" else growing.GrowingStyle
    real = getattr(home, where)

    def kill(*given: object, **named: object) -> object:
        done.append(1)
        if len(done) == batches + 1 + (where == "settle"):  # one more when the style is opened
            raise Killed
        return real(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(home, where, kill)
        with pytest.raises(Killed):
            grow(graph, captions, batch=10)
    grow(graph, captions, batch=10)
    assert load_graph(graph).captions == len(captions)
    assert load_style(graph) == profile(texts(captions))
    assert not list(graph.glob(".style-*"))
