"""A graph that grows: the same graph whatever the batches, only what is new is encoded, nothing half-written, damage is named."""

from __future__ import annotations

import json
import resource
import signal
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.errors import InputError, PartError, StorageError
from rapo_lightning.retrieval import segments
from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.growing import add, create
from rapo_lightning.retrieval.phrases import hash_keys, key
from rapo_lightning.retrieval.retrieve import Retriever
from rapo_lightning.retrieval.store import load_graph, read_manifest, save_graph
from rapo_lightning.types import CaptionPhrases


class Letters:
    """An encoder that counts what it is asked for; a text's vector comes from its bytes."""

    def __init__(self, dimension: int = 8, salt: int = 0) -> None:
        self.name = f"models/letters-{salt}"
        self.dimension = dimension
        self.salt = salt
        self.asked: list[str] = []

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        self.asked += texts
        seeds = [abs(hash_keys([text])[0]) % 2**31 + self.salt for text in texts]
        rows = [np.random.default_rng(seed).normal(size=self.dimension) for seed in seeds]
        x = torch.tensor(np.array(rows).reshape(-1, self.dimension), dtype=torch.float32)
        return torch.nn.functional.normalize(x, dim=1)


def caption(number: int, scenes: str, actions: str = "", subjects: str = "", atmosphere: str = "") -> CaptionPhrases:
    def split(text: str) -> tuple[str, ...]:
        return tuple(part for part in text.split(",") if part)

    return CaptionPhrases(
        caption=f"caption {number}",
        scenes=split(scenes),
        actions=split(actions),
        subjects=split(subjects),
        atmosphere=split(atmosphere),
    )


def some_captions(count: int, seed: int = 0) -> list[CaptionPhrases]:
    rng = np.random.default_rng(seed)

    def some(letter: str, most: int) -> str:
        return ",".join(f"{letter}{rng.integers(12)}" for _ in range(rng.integers(0, most)))

    return [caption(seed * 10_000 + n, some("s", 3), some("a", 4), some("u", 3), some("m", 3)) for n in range(count)]


def built(folder: Path, captions: Sequence[CaptionPhrases], batch: int = 1000) -> RelationGraph:
    create(folder, Letters())
    add(folder, captions, Letters(), batch=batch)
    return load_graph(folder)


def edges(graph: RelationGraph) -> dict[tuple[str, str, str], int]:
    found = {}
    for kind in KINDS:
        edge = graph.data["scene", "has", kind]
        for (scene, other), count in zip(edge.edge_index.T.tolist(), edge.count.tolist(), strict=True):
            found[graph.texts("scene")[scene], kind, graph.texts(kind)[other]] = count
    return found


def plain_edges(captions: Sequence[CaptionPhrases]) -> dict[tuple[str, str, str], int]:
    """The same, counted the plain way."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for one in captions:
        lists = {"subject": one.subjects, "action": one.actions, "atmosphere": one.atmosphere}
        if any(lists.values()):
            counts.update((s, kind, p) for s in set(one.scenes) for kind, phrases in lists.items() for p in set(phrases))
    return dict(counts)


def test_nodes_edges_and_counts_are_those_counted_by_hand(tmp_path: Path) -> None:
    captions = some_captions(200)
    graph = built(tmp_path / "g", captions)
    assert edges(graph) == plain_edges(captions)
    kept = [c for c in captions if c.scenes and (c.subjects or c.actions or c.atmosphere)]
    assert graph.captions == len(kept)
    firsts = list(dict.fromkeys(scene for c in kept for scene in c.scenes))
    assert graph.texts("scene") == firsts
    assert torch.equal(graph.x("scene"), Letters().encode(firsts))


@pytest.mark.parametrize("batch", [1, 7, 64])
def test_batches_do_not_change_the_graph(tmp_path: Path, batch: int) -> None:
    captions = some_captions(120)
    whole, parts = built(tmp_path / "whole", captions), built(tmp_path / "parts", captions, batch)
    assert edges(parts) == edges(whole)
    for kind in NODE_TYPES:
        assert parts.texts(kind) == whole.texts(kind)
        assert torch.equal(parts.x(kind), whole.x(kind))
        assert torch.equal(parts.data[kind].occurrence, whole.data[kind].occurrence)


def test_adding_encodes_only_what_is_new(tmp_path: Path) -> None:
    create(tmp_path, Letters())
    add(tmp_path, [caption(0, "a calm sea", "waves roll", "a boat")], Letters())
    encoder = Letters()
    added = add(tmp_path, [caption(1, "A  calm SEA", "waves roll,a gull cries", "a gull cries")], encoder)
    assert encoder.asked[1:] == ["a gull cries"]  # the first is the probe; a phrase of two kinds is encoded once
    assert added.nodes == {"scene": 0, "subject": 1, "action": 1, "atmosphere": 0}
    assert edges(load_graph(tmp_path))["a calm sea", "action", "waves roll"] == 2


def test_known_and_empty_captions_are_counted_not_added(tmp_path: Path) -> None:
    create(tmp_path, Letters())
    one, again = caption(1, "sea", "roll"), CaptionPhrases(caption=" Caption  1", scenes=("land",), actions=("stand",))
    bare, homeless = caption(2, "sea"), caption(3, "", "roll")
    added = add(tmp_path, [one, one, bare, homeless], Letters())
    assert (added.captions, added.duplicates, added.empty) == (1, 1, 2)
    assert add(tmp_path, [again], Letters()).duplicates == 1
    assert load_graph(tmp_path).texts("scene") == ["sea"]


def test_small_segments_are_merged_and_nothing_changes(tmp_path: Path) -> None:
    captions = some_captions(40)
    whole = built(tmp_path / "whole", captions)
    create(tmp_path / "grown", Letters())
    for one in captions:
        add(tmp_path / "grown", [one], Letters())
    assert len(read_manifest(tmp_path / "grown").segments) < 8
    assert len(list((tmp_path / "grown" / "segments").iterdir())) == len(read_manifest(tmp_path / "grown").segments)
    grown = load_graph(tmp_path / "grown")
    assert edges(grown) == edges(whole)
    assert grown.texts("action") == whole.texts("action")
    assert torch.equal(grown.x("action"), whole.x("action"))


def test_a_failure_on_the_way_leaves_the_old_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = edges(built(tmp_path, some_captions(30)))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(segments.os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        add(tmp_path, some_captions(30, seed=1), Letters())
    monkeypatch.undo()
    assert edges(load_graph(tmp_path)) == before
    add(tmp_path, some_captions(30, seed=1), Letters())
    assert edges(load_graph(tmp_path)) == plain_edges(some_captions(30) + some_captions(30, seed=1))


def test_a_full_disk_leaves_no_debris(tmp_path: Path) -> None:
    """Safetensors writes by itself and has an error of its own."""
    before = edges(built(tmp_path, some_captions(30)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(StorageError, match=r"segments.*cannot be written"):
            add(tmp_path, some_captions(300, seed=1), Letters())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert len(list((tmp_path / "segments").iterdir())) == 1
    assert edges(load_graph(tmp_path)) == before


def test_what_a_kill_left_is_cleared_and_no_other_folder_is_touched(tmp_path: Path) -> None:
    built(tmp_path / "g", some_captions(30))
    stray = tmp_path / "g" / "segments" / "0123456789ab"
    stray.mkdir()
    add(tmp_path / "g", some_captions(30, seed=1), Letters())
    assert not stray.exists()
    (tmp_path / "victim").mkdir()
    text = (tmp_path / "g" / "graph.json").read_text()
    name = read_manifest(tmp_path / "g").segments[0].name
    (tmp_path / "g" / "graph.json").write_text(text.replace(name, "../../victim"))
    with pytest.raises(InputError, match=r"graph\.json"):
        add(tmp_path / "g", some_captions(3, seed=2), Letters())
    assert (tmp_path / "victim").is_dir()


def test_an_encoder_of_nonsense_is_refused(tmp_path: Path) -> None:
    create(tmp_path, Letters())
    broken = Letters()
    plain = broken.encode
    broken.encode = lambda texts: plain(texts) if len(texts) == 1 else plain(texts) * float("nan")  # type: ignore[method-assign]
    with pytest.raises(PartError, match="finite"):
        add(tmp_path, [caption(1, "sea,land", "roll")], broken)
    assert load_graph(tmp_path).captions == 0


def test_another_encoder_is_refused_by_name(tmp_path: Path) -> None:
    create(tmp_path, Letters())
    with pytest.raises(InputError, match=r"letters-0 \(8 dimensions\), not with models/letters-0 \(9 dimensions\)"):
        add(tmp_path, [caption(1, "sea", "roll")], Letters(9))
    with pytest.raises(InputError, match=r"letters-0.*letters-5"):
        add(tmp_path, [caption(1, "sea", "roll")], Letters(salt=5))
    moved = Letters()
    moved.name = "elsewhere/renamed"
    add(tmp_path, [caption(1, "sea", "roll")], moved)  # the same vectors under another name
    graph = load_graph(tmp_path)
    assert Retriever(graph, moved, threshold=-1).retrieve(["sea"])[0]
    with pytest.raises(InputError, match="gives other vectors"):
        Retriever(graph, Letters(salt=5)).retrieve(["sea"])


@pytest.mark.parametrize("name", ["nodes.jsonl", "tensors.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_damaged_folder_is_named(tmp_path: Path, name: str, damage: str) -> None:
    built(tmp_path, some_captions(30))
    (file,) = tmp_path.glob(f"segments/*/{name}")
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-10])
    with pytest.raises(InputError, match=f"{name}: .*damaged"):
        load_graph(tmp_path)


@pytest.mark.parametrize("kind", NODE_TYPES)
def test_a_text_that_was_changed_is_named(tmp_path: Path, kind: str) -> None:
    built(tmp_path, some_captions(60), batch=20)
    file = next(file for file in sorted(tmp_path.glob("segments/*/nodes.jsonl")) if f'{{"{kind}"' in file.read_text())
    line = next(line for line in file.read_text().splitlines() if line.startswith(f'{{"{kind}"'))
    text = next(iter(json.loads(line).values()))
    file.write_text(file.read_text().replace(f'"{text}"}}', f'"{text[:-1]}_"}}', 1))
    with pytest.raises(InputError, match=rf"nodes\.jsonl: the {kind} '{text[:-1]}_' was another text.* damaged"):
        load_graph(tmp_path)


def test_what_is_no_graph_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="rapo graph build"):
        load_graph(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no relation graph here"):
        load_graph(tmp_path)
    for text in ("{", "[]", '{"schema": "relation_graph/9"}', '{"schema": "relation_graph/1", "segments": [{"name": 1}]}'):
        (tmp_path / "graph.json").write_text(text)
        with pytest.raises(InputError, match=r"graph\.json"):
            load_graph(tmp_path)


def test_one_process_adds_at_a_time(tmp_path: Path) -> None:
    create(tmp_path, Letters())
    with FileLock(tmp_path / ".lock"), pytest.raises(InputError, match="another process"):
        add(tmp_path, [caption(1, "sea", "roll")], Letters())


def test_a_graph_is_saved_and_loaded_whole(tmp_path: Path) -> None:
    graph = built(tmp_path / "a", some_captions(60))
    save_graph(graph, tmp_path / "b")
    again = load_graph(tmp_path / "b")
    assert edges(again) == edges(graph)
    assert (again.captions, again.encoder, again.dimension) == (graph.captions, graph.encoder, graph.dimension)
    with pytest.raises(InputError, match="not empty"):
        save_graph(graph, tmp_path / "b")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_edges_that_no_caption_tells_are_kept(tmp_path: Path) -> None:
    graph = built(tmp_path / "a", some_captions(60))
    edge = graph.data["scene", "has", "action"]
    stray = edges(graph)
    first = next(key for key in stray if key[1] == "action")
    edge.count[0] += 2  # more than the captions tell
    edge.edge_index, edge.count = edge.edge_index[:, :-1], edge.count[:-1]  # and one of theirs left out
    wanted = edges(graph)
    assert wanted != stray
    assert wanted[first] == stray[first] + 2
    save_graph(graph, tmp_path / "b")
    assert edges(load_graph(tmp_path / "b")) == wanted
    for number in range(10):  # small segments are merged on the way
        add(tmp_path / "b", [caption(90_000 + number, "s0", "a0")], Letters())
    grown = edges(load_graph(tmp_path / "b"))
    assert {key: count for key, count in grown.items() if key != ("s0", "action", "a0")} == {
        key: count for key, count in wanted.items() if key != ("s0", "action", "a0")
    }


def test_an_empty_graph_is_a_graph(tmp_path: Path) -> None:
    create(tmp_path, Letters())
    graph = load_graph(tmp_path)
    assert (graph.captions, graph.dimension, graph.texts("scene")) == (0, 8, [])


def test_texts_of_all_kinds_of_letters_come_back(tmp_path: Path) -> None:
    odd = 'a "quoted, sea", 海\u2028\ud800 ünïcode'
    create(tmp_path, Letters())
    add(tmp_path, [CaptionPhrases(caption="c", scenes=(odd,), actions=("x\ty",))], Letters())
    graph = load_graph(tmp_path)
    assert (graph.texts("scene"), graph.texts("action")) == ([" ".join(odd.split())], ["x y"])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=12), max_size=30))
def test_equal_keys_have_equal_hashes_and_others_have_not(texts: list[str]) -> None:
    hashes = hash_keys(texts)
    assert len(set(hashes.tolist())) == len({key(text) for text in texts})
    found = segments.find(hashes, np.sort(hashes))
    assert (np.sort(hashes)[found] == hashes).all()
    assert (segments.find(hashes + 1, np.sort(hashes)) >= 0).tolist() == [h + 1 in hashes.tolist() for h in hashes.tolist()]


def test_the_manifest_says_what_is_there(tmp_path: Path) -> None:
    built(tmp_path, some_captions(50))
    values = json.loads((tmp_path / "graph.json").read_text())
    manifest = read_manifest(tmp_path)
    assert values["schema"] == "relation_graph/1"
    assert manifest.nodes == {kind: len(load_graph(tmp_path).texts(kind)) for kind in NODE_TYPES}
