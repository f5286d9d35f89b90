"""Retrieval: what plain loops would find, whatever the graph, batch and engine; a graph of another encoder is refused."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rapo_lightning.errors import InputError
from rapo_lightning.language import FakeTextEncoder
from rapo_lightning.retrieval import retrieve
from rapo_lightning.retrieval.exact import UNIT
from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.identity import same_encoder
from rapo_lightning.retrieval.retrieve import Retriever
from rapo_lightning.types import Modifier, Retrieved

Answer = tuple[tuple[str, str, str, float], ...]


class Drawn:
    """Encodes the text "3" as its vector 3."""

    name = "drawn"

    def __init__(self, vectors: torch.Tensor) -> None:
        self.vectors = vectors

    def encode(self, texts: Sequence[str]) -> torch.Tensor:
        return self.vectors[[int(text) for text in texts]]


def random_graph(seed: int, captions: int, nodes: int, dimension: int, equal_texts: bool) -> tuple[RelationGraph, Drawn]:
    """Nodes whose vectors come from a small pool, so that many tie; texts may repeat within a kind."""
    generator = torch.Generator().manual_seed(seed)

    def below(high: int, size: tuple[int, ...]) -> torch.Tensor:
        return torch.randint(high, size, generator=generator)

    pool = torch.nn.functional.normalize(torch.randn(12, dimension, generator=generator), dim=1)
    counts = {kind: int(below(nodes + 1, (1,))) for kind in NODE_TYPES}
    edges = {kind: int(below(3 * captions + 1, (1,))) if counts[kind] and captions else 0 for kind in NODE_TYPES}
    graph = RelationGraph.of(
        texts={kind: [f"{kind} {i // 2 if equal_texts else i}" for i in range(counts[kind])] for kind in NODE_TYPES},
        x={kind: pool[below(12, (counts[kind],))] for kind in NODE_TYPES},
        occurrence={
            kind: torch.stack([below(max(1, counts[kind]), (edges[kind],)), below(max(1, captions), (edges[kind],))])
            for kind in NODE_TYPES
        },
        captions=captions,
        encoder="drawn",
    )
    return graph, Drawn(pool)


def cosine(a: torch.Tensor, b: torch.Tensor) -> Fraction:
    return sum((Fraction(round(Fraction(x) * Fraction(y) * UNIT), UNIT) for x, y in zip(a.tolist(), b.tolist())), Fraction(0))


def by_loops(
    graph: RelationGraph,
    query: torch.Tensor,
    scenes: int,
    modifiers: int,
    threshold: float,
    per_kind: int | None,
    scene_too: bool,
) -> Answer:
    near = sorted(range(len(graph.texts("scene"))), key=lambda i: (-cosine(query, graph.x("scene")[i]), i))[:scenes]
    found: dict[tuple[str, str], tuple[Fraction, int, int, str]] = {}
    for number, kind in enumerate(NODE_TYPES):
        for scene in near:
            linked = [scene] if kind == "scene" else graph.neighbours(scene)[kind][0].tolist()
            if kind == "scene" and not scene_too:
                continue
            for node in linked:
                node = graph.texts(kind).index(graph.texts(kind)[node])
                value = cosine(query, graph.x(kind)[node])
                if value >= Fraction(threshold):
                    found.setdefault((kind, graph.texts(kind)[node]), (value, number, node, graph.texts("scene")[scene]))
    ranked = sorted(found.items(), key=lambda item: (-item[1][0], item[1][1], item[1][2]))
    if per_kind is not None:
        ranked = [item for item in ranked if [i for i in ranked if i[0][0] == item[0][0]].index(item) < per_kind]
    return tuple((text, kind, scene, float(value)) for (kind, text), (value, _, _, scene) in ranked[:modifiers])


def plain(found: tuple[Retrieved, ...]) -> Answer:
    return tuple((r.modifier.text, r.modifier.kind, r.scene, r.similarity) for r in found)


@given(
    seed=st.integers(0, 10**6),
    captions=st.integers(0, 12),
    nodes=st.sampled_from([0, 3, 15]),
    equal_texts=st.booleans(),
    scenes=st.integers(0, 5),
    modifiers=st.integers(0, 12),
    threshold=st.sampled_from([-1.0, 0.0, 0.3, 1.0]),
    per_kind=st.sampled_from([None, 0, 1, 2]),
    scene_too=st.booleans(),
    engine=st.sampled_from(["torch", "faiss"]),
)
@settings(max_examples=150, deadline=None)
def test_what_is_found_is_what_plain_loops_find(
    seed: int,
    captions: int,
    nodes: int,
    equal_texts: bool,
    scenes: int,
    modifiers: int,
    threshold: float,
    per_kind: int | None,
    scene_too: bool,
    engine: str,
) -> None:
    graph, encoder = random_graph(seed, captions, nodes, 6, equal_texts)
    found = Retriever(
        graph,
        encoder,
        scenes=scenes,
        modifiers=modifiers,
        threshold=threshold,
        per_kind=per_kind,
        kinds=NODE_TYPES if scene_too else KINDS,
        engine=engine,
    ).retrieve(list("01234"))
    for answer, query in zip(found, encoder.vectors, strict=False):
        expected = by_loops(graph, query, scenes, modifiers, threshold, per_kind, scene_too)
        assert [row[:3] for row in plain(answer)] == [row[:3] for row in expected]
        assert [row[3] for row in plain(answer)] == pytest.approx([min(1.0, row[3]) for row in expected], abs=6e-8)


def test_batches_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    graph, encoder = random_graph(3, 40, 60, 16, False)
    retriever = Retriever(graph, encoder, threshold=-1.0, modifiers=20)
    texts = [str(i % 12) for i in range(30)]
    together = retriever.retrieve(texts)
    assert together == [retriever.retrieve([text])[0] for text in texts]
    assert max(map(len, together)) > 5
    monkeypatch.setattr(retrieve, "_PROMPTS", 7)
    monkeypatch.setattr(retrieve, "_PAIRS", {"cpu": 3})
    assert Retriever(graph, encoder, threshold=-1.0, modifiers=20).retrieve(texts) == together
    assert retriever.retrieve([]) == []


def words_graph(captions: Sequence[tuple[str, str, str, str]], encoder: FakeTextEncoder) -> RelationGraph:
    """A graph of captions, each a scene, a subject, an action and an atmosphere."""
    texts: dict[str, list[str]] = {
        kind: list(dict.fromkeys(phrases)) for kind, phrases in zip(NODE_TYPES, zip(*captions, strict=True), strict=True)
    }
    where = {
        kind: torch.tensor([[texts[kind].index(caption[place]) for caption in captions], list(range(len(captions)))])
        for place, kind in enumerate(NODE_TYPES)
    }
    x = {kind: encoder.encode(texts[kind]) for kind in NODE_TYPES}
    return RelationGraph.of(texts=texts, x=x, occurrence=where, captions=len(captions), encoder=encoder.name)


CAPTIONS = [
    ("calm sea", "old boat", "boat drifts on the sea", "golden evening light"),
    ("calm sea", "grey gull", "gull dives in the sea", "cold morning"),
    ("busy street", "yellow taxi", "taxi waits on the street", "neon night"),
]


def test_a_prompt_is_given_the_scene_it_names_and_what_is_said_of_it() -> None:
    encoder = FakeTextEncoder(dimension=512)
    retriever = Retriever(words_graph(CAPTIONS, encoder), encoder, scenes=1, modifiers=3, threshold=0.3)
    scenes = retriever.scenes(["a boat on the calm sea", "one taxi in the busy street"], 2)
    assert [[text for text, _ in found] for found in scenes] == [["calm sea", "busy street"], ["busy street", "calm sea"]]
    assert scenes[0][0][1] > 0.5 > scenes[0][1][1]
    assert len(retriever.scenes(["a boat"])[0]) == 1
    first, second = retriever.retrieve(["a boat on the calm sea", "one taxi in the busy street"])
    assert first[0].modifier == Modifier(text="boat drifts on the sea", kind="action")
    assert {found.modifier.text for found in first[1:]} == {"calm sea", "gull dives in the sea"}
    assert {found.scene for found in first} == {"calm sea"}
    assert [found.similarity for found in first] == sorted((found.similarity for found in first), reverse=True)
    assert [found.modifier.text for found in second] == ["busy street", "taxi waits on the street"]


def test_no_neighbour_of_a_scene_with_thousands_is_left_out() -> None:
    encoder = FakeTextEncoder(dimension=64)
    captions = [("room", f"person {i}", f"act {i}", "light") for i in range(3000)]
    captions[2345] = ("room", "a red cat", "sleeps", "light")
    found = Retriever(words_graph(captions, encoder), encoder, modifiers=1).retrieve(["a red cat"])
    assert plain(found[0]) == (("a red cat", "subject", "room", pytest.approx(1)),)


def test_an_empty_graph_and_scenes_without_modifiers_find_nothing() -> None:
    encoder = FakeTextEncoder(dimension=8)
    none = {kind: torch.zeros(2, 0, dtype=torch.long) for kind in NODE_TYPES}
    empty = RelationGraph.of(
        texts={kind: [] for kind in NODE_TYPES},
        x={kind: torch.zeros(0, 8) for kind in NODE_TYPES},
        occurrence=none,
        captions=0,
        encoder=encoder.name,
    )
    assert Retriever(empty, encoder).retrieve(["a", "b"]) == [(), ()]
    assert Retriever(empty, encoder).scenes(["a"], 4) == [[]]
    bare = RelationGraph.of(
        texts={kind: ["sea"] if kind == "scene" else [] for kind in NODE_TYPES},
        x={kind: encoder.encode(["sea"] if kind == "scene" else []) for kind in NODE_TYPES},
        occurrence=none,
        captions=0,
        encoder=encoder.name,
    )
    assert Retriever(bare, encoder, kinds=KINDS, threshold=-1).retrieve(["sea"]) == [()]
    assert plain(Retriever(bare, encoder).retrieve(["sea"])[0]) == (("sea", "scene", "sea", pytest.approx(1)),)


def test_a_graph_of_another_encoder_is_refused_by_name() -> None:
    graph = words_graph(CAPTIONS, FakeTextEncoder(dimension=8))
    with pytest.raises(InputError, match=r"made with the encoder fake-8 \(8 dimensions\), not with fake-9"):
        Retriever(graph, FakeTextEncoder(dimension=9)).retrieve(["a"])
    graph.encoder = "fake-9"  # the name is right, the vectors are not
    with pytest.raises(InputError, match="by 'fake-9', have 8 numbers, those by 'fake-9' 9"):
        Retriever(graph, FakeTextEncoder(dimension=9)).retrieve(["a"])
    graph.encoder = "fake-8"
    assert Retriever(graph, FakeTextEncoder(dimension=8)).retrieve(["calm sea"])[0]


def test_names_of_one_encoder() -> None:
    assert same_encoder("sentence-transformers/all-MiniLM-L6-v2", "all-minilm-l6-v2")
    assert same_encoder("a/b", "A/B")
    assert not same_encoder("a/b", "c/b")
    assert not same_encoder("all-MiniLM-L6-v2", "all-MiniLM-L12-v2")


def test_embeddings_that_are_no_directions_are_refused_by_row() -> None:
    encoder = FakeTextEncoder(dimension=8)
    for kind in ("scene", *KINDS):
        graph = words_graph(CAPTIONS, encoder)
        graph.data[kind].x[1] = float("nan")
        with pytest.raises(InputError, match=f"{kind} embeddings: row 1 has the length nan"):
            Retriever(graph, encoder).retrieve(["a"])


def test_settings_that_make_no_sense_are_refused() -> None:
    graph, encoder = words_graph(CAPTIONS, FakeTextEncoder(dimension=8)), FakeTextEncoder(dimension=8)
    for wrong in ({"scenes": -1}, {"modifiers": -1}, {"per_kind": -1}, {"threshold": 1.5}):
        with pytest.raises(ValueError, match=r"cannot be negative|a cosine lies"):
            Retriever(graph, encoder, **wrong)
    with pytest.raises(ValueError, match="must be one of torch, faiss"):
        Retriever(graph, encoder, engine="annoy").retrieve(["a"])  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_finds_the_same() -> None:
    graph, encoder = random_graph(5, 400, 300, 64, False)
    texts = [str(i) for i in range(12)]
    expected = Retriever(graph, encoder, threshold=-1.0).retrieve(texts)
    assert Retriever(graph, encoder, threshold=-1.0).to("cuda").retrieve(texts) == expected
