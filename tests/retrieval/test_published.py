"""The published graph_data folder: read exactly, written exactly, refused by file and row when it is broken."""

from __future__ import annotations

import errno
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.errors import InputError, PartError, StorageError
from rapo_lightning.retrieval.graph import NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.graph_data import folder as published
from rapo_lightning.retrieval.graph_data.folder import read_published, write_published
from tests.retrieval.published_folder import CAPTIONS, FILES, edit, publish

Edges = dict[tuple[str, str], int]


def edges(graph: RelationGraph, kind: str) -> Edges:
    found = graph.data["scene", "has", kind]
    names = zip(*found.edge_index.tolist()) if found.edge_index.numel() else ()
    scenes, others = graph.texts("scene"), graph.texts(kind)
    return {(scenes[a], others[b]): count for (a, b), count in zip(names, found.count.tolist())}


def together(column: int, captions: list = CAPTIONS) -> Edges:
    """In how many captions a place and a text of another column stand, counted the plain way."""
    found: Edges = {}
    for caption in captions:
        for pair in {(place, text) for place in caption[0] for text in caption[column]}:
            found[pair] = found.get(pair, 0) + 1
    return found


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    x = torch.from_numpy(np.random.default_rng(seed).normal(size=shape))
    return (x / x.norm(dim=-1, keepdim=True)).float()


def graph_of(captions: list[dict[str, list[str]]], width: int = 3) -> RelationGraph:
    """A graph whose captions hold these texts, by node type."""
    texts = {kind: list(dict.fromkeys(text for caption in captions for text in caption.get(kind, ()))) for kind in NODE_TYPES}
    where: dict[str, list[tuple[int, int]]] = {kind: [] for kind in NODE_TYPES}
    for number, caption in enumerate(captions):
        for kind, found in caption.items():
            where[kind] += [(texts[kind].index(text), number) for text in found]
    return RelationGraph.of(
        texts=texts,
        x={kind: unit(len(texts[kind]), width, seed=seed) for seed, kind in enumerate(NODE_TYPES)},
        occurrence={kind: torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).t() for kind, pairs in where.items()},
        captions=len(captions),
        encoder="tiny",
    )


def refused(folder: Path, *parts: str, **options: object) -> None:
    with pytest.raises(InputError) as error:
        read_published(folder, **options)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


def test_a_folder_is_read_with_its_texts_edges_counts_and_vectors(tmp_path: Path) -> None:
    vectors = publish(tmp_path / "g")
    notes: list[str] = []
    graph = read_published(tmp_path / "g", notes=notes)
    assert (graph.captions, graph.encoder, graph.dimension, notes) == (5, "all-MiniLM-L6-v2", 4, [])
    assert graph.texts("scene") == ["harbour", "dancing", "café <été> & co", "harbour "]
    assert graph.texts("subject") == []
    assert graph.x("subject").shape == (0, 4)
    assert graph.texts("action") == ["mending a net", "dancing", "clapping", "rowing a boat"]
    assert graph.texts("atmosphere")[-1] == "gulls\tand\nfoam"
    assert edges(graph, "atmosphere") == together(1)
    assert edges(graph, "action") == together(2)
    assert edges(graph, "action")["dancing", "dancing"] == 1
    assert edges(graph, "atmosphere")["harbour", "calm water"] == 3
    assert edges(graph, "subject") == {}
    assert graph.data["action"].occurrence.tolist()[1][:3] == [0, 2, 2]
    assert set(graph.neighbours(0)["action"][0].tolist()) == {0, 3}
    for kind, name in (("scene", "place"), ("atmosphere", "scenario_words"), ("action", "verb_words")):
        assert np.array_equal(graph.x(kind).numpy(), vectors[f"{name}_embed.json"])


def test_what_was_read_is_written_to_the_byte(tmp_path: Path) -> None:
    publish(tmp_path / "a")
    write_published(read_published(tmp_path / "a"), tmp_path / "b")
    assert sorted(path.name for path in (tmp_path / "b").iterdir()) == sorted(FILES)
    for name in FILES[:10]:
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / name).read_bytes(), name
    write_published(read_published(tmp_path / "b"), tmp_path / "c")
    for name in FILES:
        assert (tmp_path / "c" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_nodes_come_in_the_order_of_their_indices_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    vectors = publish(tmp_path / "g")
    whole = read_published(tmp_path / "g")
    for name in ("place_to_idx.json", "place_in_sentence.json"):
        found = json.loads((tmp_path / "g" / name).read_text())
        (tmp_path / "g" / name).write_text(json.dumps(dict(sorted(found.items()))))
    graph = read_published(tmp_path / "g")
    assert graph.texts("scene") == whole.texts("scene") != sorted(whole.texts("scene"))
    assert np.array_equal(graph.x("scene").numpy(), vectors["place_embed.json"])
    assert torch.equal(graph.data["scene"].occurrence, whole.data["scene"].occurrence)


TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=3)
POOL = st.lists(st.sampled_from(["a", "b", "c", "d", "a ", "é\n"]) | TEXT, max_size=3)
TWO_KINDS = st.lists(st.fixed_dictionaries({"scene": POOL, "action": POOL, "atmosphere": POOL}), max_size=6)


@settings(max_examples=60, deadline=None)
@given(TWO_KINDS)
def test_a_graph_without_subjects_survives_the_folder(captions: list[dict[str, list[str]]]) -> None:
    graph = graph_of(captions)
    with tempfile.TemporaryDirectory() as parent:
        write_published(graph, Path(parent) / "g")
        again = read_published(Path(parent) / "g", encoder_name="tiny")
    assert again.captions == graph.captions
    for kind in NODE_TYPES:
        assert again.texts(kind) == graph.texts(kind)
        assert torch.equal(again.x(kind), graph.x(kind)) or not graph.texts(kind)
        order = torch.argsort(graph.data[kind].occurrence[0], stable=True)
        assert torch.equal(again.data[kind].occurrence, graph.data[kind].occurrence[:, order])
    for kind in NODE_TYPES[1:]:
        assert torch.equal(again.data["scene", "has", kind].edge_index, graph.data["scene", "has", kind].edge_index)
        assert torch.equal(again.data["scene", "has", kind].count, graph.data["scene", "has", kind].count)


def test_subjects_and_atmospheres_become_scenarios_in_the_order_of_the_captions(tmp_path: Path) -> None:
    graph = graph_of(
        [
            {"scene": ["hall"], "atmosphere": ["dim"], "subject": ["a man"], "action": ["waiting"]},
            {"scene": ["hall", "quay"], "atmosphere": ["fog"], "subject": ["dim", "a dog"], "action": ["running"]},
            {"scene": ["quay"], "atmosphere": ["dim"], "subject": ["dim"], "action": ["waiting"]},
        ]
    )
    write_published(graph, tmp_path / "g")
    again = read_published(tmp_path / "g")
    assert again.texts("atmosphere") == ["a man", "dim", "a dog", "fog"]
    assert json.loads((tmp_path / "g/scenario_in_sentence.json").read_text())["dim"] == [0, 1, 2]
    assert edges(again, "atmosphere")["hall", "dim"] == 2
    assert edges(again, "atmosphere")["quay", "dim"] == 2
    assert edges(again, "action") == edges(graph, "action")
    assert torch.equal(again.x("atmosphere")[0], graph.x("subject")[0])
    # Its first place is the first caption, where it is an atmosphere.
    assert torch.equal(again.x("atmosphere")[1], graph.x("atmosphere")[0])


def test_vectors_come_out_of_length_1_and_those_that_are_stay_as_they_are(tmp_path: Path) -> None:
    vectors = publish(tmp_path / "g")
    long = vectors["place_embed.json"].copy()
    long[1] *= 7
    (tmp_path / "g/place_embed.json").write_text(json.dumps(long.tolist()))
    notes: list[str] = []
    x = read_published(tmp_path / "g", notes=notes).x("scene").numpy()
    assert np.array_equal(x[[0, 2, 3]], vectors["place_embed.json"][[0, 2, 3]])
    assert np.allclose(x[1], vectors["place_embed.json"][1], atol=1e-7)
    assert abs(np.linalg.norm(x[1].astype(np.float64)) - 1) < 1e-7
    assert len(notes) == 1
    assert "place_embed.json: 1 of 4 vectors" in notes[0]


BOTH = [(["a", "b"], ["x"], ["a", "b"]), (["c"], ["x"], ["d"])]


def test_an_edge_that_fits_both_ways_round_is_kept_both_ways(tmp_path: Path) -> None:
    publish(tmp_path / "g", BOTH)
    assert edges(read_published(tmp_path / "g"), "action") == together(2, BOTH)
    for word in ("place", "scenario", "verb"):
        (tmp_path / f"g/{word}_in_sentence.json").unlink()
    edit(tmp_path / "g/graph_place_verb.graphml", '<edge source="b" target="a" />', "")
    assert edges(read_published(tmp_path / "g"), "action") == dict.fromkeys(together(2, BOTH), 1)


@pytest.mark.parametrize("end", ["a", "b"])
def test_captions_say_which_way_round_an_edge_is_read(tmp_path: Path, end: str) -> None:
    captions = [(["a"], ["x"], ["b"]), (["b"], ["x"], ["c"]), (["d"], ["x"], ["a"])]
    publish(tmp_path / "g", captions)
    other = {"a": "b", "b": "a"}[end]
    edit(tmp_path / "g/graph_place_verb.graphml", 'source="a" target="b"', f'source="{end}" target="{other}"')
    notes: list[str] = []
    assert edges(read_published(tmp_path / "g", notes=notes), "action") == together(2, captions)
    assert len(notes) == 1
    assert "1 edges fit both ways round" in notes[0]
    assert "'a' - 'b'" in notes[0]


def test_edges_are_those_of_the_graphml_and_differences_are_noted(tmp_path: Path) -> None:
    publish(tmp_path / "g")
    edit(tmp_path / "g/graph_place_verb.graphml", 'source="dancing" target="clapping"', 'source="clapping" target="harbour "')
    notes: list[str] = []
    graph = read_published(tmp_path / "g", notes=notes)
    expected = together(2)
    del expected["dancing", "clapping"]
    assert edges(graph, "action") == expected | {("harbour ", "clapping"): 1}
    assert graph.data["scene", "has", "action"].edge_index[0].diff().min() >= 0
    assert [("no caption explains" in note, "are no edges" in note) for note in notes] == [(True, False), (False, True)]
    assert "'harbour ' - 'clapping'" in notes[0]
    assert "'dancing' - 'clapping'" in notes[1]
    write_published(graph, tmp_path / "h")
    assert edges(read_published(tmp_path / "h"), "action") == edges(graph, "action")


def test_without_the_files_of_captions_every_edge_counts_1(tmp_path: Path) -> None:
    publish(tmp_path / "g")
    names = [name for name in FILES if "in_sentence" in name]
    for name in names:
        (tmp_path / "g" / name).unlink()
    notes: list[str] = []
    graph = read_published(tmp_path / "g", notes=notes)
    assert edges(graph, "action") == dict.fromkeys(together(2), 1)
    assert graph.data["action"].occurrence.shape == (2, 0)
    assert graph.captions == 5
    assert len(notes) == 1
    write_published(graph, tmp_path / "h")
    assert sorted(path.name for path in (tmp_path / "h").iterdir()) == sorted(set(FILES) - set(names))
    assert edges(read_published(tmp_path / "h"), "atmosphere") == dict.fromkeys(together(1), 1)


def test_aliases_are_merged_when_asked_for(tmp_path: Path) -> None:
    captions = [
        (["Quay"], ["x"], ["run"]),
        (["hall"], ["y"], ["run"]),
        ([" quay "], ["x"], ["run", "sit"]),
        (["Quay", "quay"], ["x"], ["sit"]),
    ]
    vectors = publish(tmp_path / "g", captions)["place_embed.json"]
    assert len(read_published(tmp_path / "g").texts("scene")) == 4
    notes: list[str] = []
    graph = read_published(tmp_path / "g", merge_aliases=True, notes=notes)
    assert graph.texts("scene") == ["Quay", "hall"]
    assert np.array_equal(graph.x("scene").numpy(), vectors[:2])
    assert graph.data["scene"].occurrence.tolist() == [[0, 0, 0, 1], [0, 2, 3, 1]]
    assert edges(graph, "action") == {("Quay", "run"): 2, ("hall", "run"): 1, ("Quay", "sit"): 2}
    assert len(notes) == 1
    assert "place_to_idx.json: 2 texts" in notes[0]


class Encoder:
    """A vector that follows from the text alone."""

    width = 4

    def encode(self, texts: list[str]) -> torch.Tensor:
        return torch.cat([unit(1, self.width, seed=sum(map(ord, text))) for text in texts] or [torch.empty(0, self.width)])


class Half(Encoder):
    def encode(self, texts: list[str]) -> torch.Tensor:
        return super().encode(texts[::2])


class Wide(Encoder):
    width = 5


def test_missing_files_are_named_all_at_once(tmp_path: Path) -> None:
    publish(tmp_path / "g")
    for name in ("graph_place_scene.graphml", "verb_in_sentence.json", "verb_to_idx.json", "place_embed.json"):
        (tmp_path / "g" / name).unlink()
    names = ("graph_place_scene.graphml", "verb_in_sentence.json", "verb_to_idx.json")
    refused(tmp_path / "g", *names, "place_embed.json", "sentence encoder")
    with pytest.raises(InputError) as error:
        read_published(tmp_path / "g", encoder=Encoder())
    assert all(name in str(error.value) for name in names)
    assert "place_embed.json" not in str(error.value)
    refused(tmp_path / "nowhere", "no such folder")


def test_missing_embeddings_are_made_anew(tmp_path: Path) -> None:
    vectors = publish(tmp_path / "g")
    (tmp_path / "g/verb_words_embed.json").unlink()
    notes: list[str] = []
    graph = read_published(tmp_path / "g", encoder=Encoder(), notes=notes)
    assert torch.equal(graph.x("action"), Encoder().encode(graph.texts("action")))
    assert np.array_equal(graph.x("scene").numpy(), vectors["place_embed.json"])
    assert len(notes) == 1
    assert "verb_words_embed.json" in notes[0]
    refused(tmp_path / "g", "different lengths", "5 in verb_words_embed.json", encoder=Wide())
    with pytest.raises(PartError, match="for 4 texts"):
        read_published(tmp_path / "g", encoder=Half())


BROKEN = [
    ("place_to_idx.json", '"harbour": 0', '"harbour": 1', ["'dancing' has the index 1"]),
    ("place_to_idx.json", '"harbour": 0', '"harbour": 4', ["'harbour' has the index 4"]),
    ("place_to_idx.json", '"harbour": 0', '"harbour": "0"', ["'harbour' has the index '0'"]),
    ("place_to_idx.json", '"harbour": 0', '"harbour": true', ["'harbour' has the index True"]),
    ("place_to_idx.json", '"harbour": 0,', "", ["3 texts, but p_idx of data_info.json is 4"]),
    ("place_to_idx.json", '"harbour ": 3', '"harbour": 3', ["'harbour' stands twice"]),
    ("place_to_idx.json", '"dancing"', '"\\ud800"', ["half a character"]),
    ("place_to_idx.json", "\n}", "", [":5:", "cut off"]),
    ("data_info.json", '"v_idx": 4', '"v_idx": 4.0', ["v_idx is 4.0"]),
    ("data_info.json", '"v_idx": 4', '"w": 4', ["v_idx is 'missing'"]),
    ("data_info.json", '"valid_sentence": 5', '"valid_sentence": 4', ["_in_sentence.json", "captions from 0 to 3"]),
    ("data_info.json", '"valid_sentence": 5', '"valid_sentence": -5', ["valid_sentence is -5"]),
    ("verb_in_sentence.json", '"clapping"', '"clapping "', ["'clapping' stands either here or"]),
    ("verb_in_sentence.json", "        1\n", "        NaN\n", ["'dancing': not a list of captions"]),
    (
        "graph_place_verb.graphml",
        'source="dancing" target="cl',
        'source="rowing a boat" target="cl',
        ["'rowing a boat' - 'clapping' joins no place"],
    ),
    ("graph_place_verb.graphml", '<node id="clapping" />', '<node id="clapping" /><node id="no" />', ["node 'no'"]),
    ("graph_place_verb.graphml", "</graphml>", "", ["graph_place_verb.graphml:2:", "cut off"]),
]


@pytest.mark.parametrize(("name", "old", "new", "told"), BROKEN)
def test_a_broken_file_is_refused_by_its_place(tmp_path: Path, name: str, old: str, new: str, told: list[str]) -> None:
    publish(tmp_path / "g")
    edit(tmp_path / "g" / name, old, new)
    refused(tmp_path / "g", str(tmp_path / "g" / ("" if "in_sentence" in told[0] else name)), *told)


def test_what_is_no_text_and_no_object_is_refused(tmp_path: Path) -> None:
    publish(tmp_path / "g")
    path = tmp_path / "g/verb_to_idx.json"
    for content, told in ((b'{"\xff": 0}', "not UTF-8"), (b"[1]", "no JSON object"), (b"[" * 200_000, ""), (b"", ":1:")):
        path.write_bytes(content)
        refused(tmp_path / "g", "verb_to_idx.json", told)


def test_a_file_of_another_folder_is_noted_or_refused(tmp_path: Path) -> None:
    publish(tmp_path / "g")
    edit(tmp_path / "g/data_info.json", '"p_idx"', '"made": 2024, "p_idx"')
    notes: list[str] = []
    read_published(tmp_path / "g", notes=notes)
    assert len(notes) == 1
    assert notes[0].endswith("not used: made")


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path / "g")
    graph = read_published(tmp_path / "g")
    before = sorted((tmp_path / "g").iterdir())
    with pytest.raises(InputError, match="no empty folder"):
        write_published(graph, tmp_path / "g")
    with pytest.raises(InputError, match="no empty folder"):
        write_published(graph, tmp_path / "g/data_info.json")
    assert sorted((tmp_path / "g").iterdir()) == before

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(published, "write_graphml", full)
        with pytest.raises(StorageError, match="No space left"):
            write_published(graph, tmp_path / "h")
    assert list(tmp_path.iterdir()) == [tmp_path / "g"]
    (tmp_path / "h").mkdir()
    write_published(graph, tmp_path / "h")
    write_published(graph, tmp_path / "new/folder")
    assert len(list((tmp_path / "h").iterdir())) == len(list((tmp_path / "new/folder").iterdir())) == 12
    assert sorted(path.name for path in tmp_path.iterdir()) == ["g", "h", "new"]


def test_what_the_published_form_cannot_hold_is_refused(tmp_path: Path) -> None:
    control = graph_of([{"scene": ["a"], "action": ["b\x00"]}])
    twice = graph_of([{"scene": ["a"], "action": ["b", "c"]}])
    twice.data["action"].text[1] = "b"
    nan, zero = (graph_of([{"scene": ["a", "b"]}]) for _ in range(2))
    nan.data["scene"].x[1, 0] = torch.nan
    zero.data["scene"].x[1] = 0
    for graph, told in ((control, "XML cannot hold"), (twice, "stands twice"), (nan, "row 1"), (zero, "row 1")):
        with pytest.raises(InputError, match=told):
            write_published(graph, tmp_path / "g")
    assert list(tmp_path.iterdir()) == []
