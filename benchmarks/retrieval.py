"""Retrieval from a relation graph of random unit vectors: queries a second, against the plainly written way.

    OMP_NUM_THREADS=1 python -m benchmarks.retrieval --threads 1
    python -m benchmarks.retrieval --device cuda

Prints one JSON line a figure. CPU: the published size (77,500 scenes), where the naive way holds embeddings as lists of floats,
makes them a tensor for each query, normalises all again, sorts, and looks neighbours up in a dictionary. GPU: 1 M scenes, with
and without encoding the prompts by a MiniLM-sized model. Sets of scenes and modifiers are compared before a ratio is printed.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.encoding import encode_one, naive_encoder, our_encoder
from benchmarks.minilm import end_in_time, fastest, phrases, save_encoder, tell

PUBLISHED = {"scene": 77_500, "subject": 0, "action": 81_000, "atmosphere": 54_600}
DIMENSION = 384


def main() -> None:
    """Time both sides, in turns, in one process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads on a CPU")
    parser.add_argument("--scenes", type=int, default=1_000_000, help="on a GPU")
    parser.add_argument("--small", action="store_true", help="a small graph: shows that it runs, measures nothing")
    options = parser.parse_args()
    end_in_time()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    import torch

    if options.device == "cuda":
        on_gpu(5000 if options.small else options.scenes, small=options.small)
    else:
        torch.set_num_threads(options.threads)
        counts = {kind: count // (50 if options.small else 1) for kind, count in PUBLISHED.items()}
        on_cpu(counts, small=options.small)


class Given:
    """An encoder for which the text "3" has the vector 3: it costs nothing, so retrieval alone is timed."""

    name = "given"

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def encode(self, texts: Sequence[str]) -> Any:
        """The rows (N, D) of these numbers."""
        import torch

        return self.rows[torch.tensor([int(text) for text in texts])]


def near(rows: Any, count: int, distance: float) -> Any:
    """Unit vectors about random ones of ``rows``; their cosine is about 1 / (1 + distance^2)^0.5."""
    import torch

    if not count:
        return torch.zeros(0, rows.shape[1])
    noise = torch.nn.functional.normalize(torch.randn(count, rows.shape[1]), dim=1)
    return torch.nn.functional.normalize(rows[torch.randint(len(rows), (count,))] + distance * noise, dim=1)


def make_graph(counts: dict[str, int]) -> Any:
    """A graph with as many captions as scenes, each with a scene, two actions and an atmosphere like it, and some by chance."""
    import torch

    from rapo_lightning.retrieval.graph import NODE_TYPES, RelationGraph

    torch.manual_seed(0)
    captions = counts["scene"]
    scenes = torch.nn.functional.normalize(torch.randn(captions, DIMENSION), dim=1)
    x, occurrence = {"scene": scenes}, {"scene": torch.arange(captions).repeat(2, 1)}
    for kind in NODE_TYPES[1:]:
        about = torch.randint(captions, (counts[kind],))
        noise = torch.nn.functional.normalize(torch.randn(counts[kind], DIMENSION), dim=1)
        x[kind] = torch.nn.functional.normalize(scenes[about] + 0.7 * noise, dim=1)
        chance = torch.randint(captions, (counts[kind],))
        nodes = torch.arange(counts[kind]).repeat(2)
        occurrence[kind] = torch.stack([nodes, torch.cat([about, chance])])
    texts = {kind: [f"{kind} {number}" for number in range(counts[kind])] for kind in NODE_TYPES}
    return RelationGraph.of(texts=texts, x=x, occurrence=occurrence, captions=captions, encoder="given")


def on_cpu(counts: dict[str, int], *, small: bool) -> None:
    """Seconds a query at the published size; what encoding adds is measured apart and added to both sides."""
    from rapo_lightning.retrieval.graph import KINDS
    from rapo_lightning.retrieval.index import VectorIndex
    from rapo_lightning.retrieval.retrieve import Retriever

    graph = make_graph(counts)
    given = Given(near(graph.x("scene"), 256, 0.5))
    lists = {kind: graph.x(kind).tolist() for kind in counts}
    linked = {
        scene: [(kind, node) for kind, (nodes, _) in graph.neighbours(scene).items() for node in nodes.tolist()]
        for scene in range(counts["scene"])
    }
    texts = [str(number) for number in range(256)]
    retriever = Retriever(graph, given, kinds=KINDS)
    found = retriever.retrieve(texts)
    few = range(4)
    for query, plain in zip(few, [naive(lists, linked, given.rows[query]) for query in few], strict=True):
        ours = {(one.modifier.kind, int(one.modifier.text.split()[1])) for one in found[query]}
        assert ours == plain, f"query {query}: {ours} against {plain}"
    best = fastest(
        {
            "naive": lambda: naive(lists, linked, given.rows[0]),
            "ours": lambda: retriever.retrieve(texts),
            "one": lambda: retriever.retrieve(texts[:1]),
        },
        rounds=4,
    )
    faiss = VectorIndex(graph.x("scene"), engine="faiss")
    faiss.search(given.rows[:1], 3)
    best |= fastest({"faiss": lambda: faiss.search(given.rows, 3), "search": lambda: retriever.scenes(texts)}, rounds=3)
    with tempfile.TemporaryDirectory() as folder:
        model = save_encoder(Path(folder), small=small)
        plain_encoder, encoder, prompts = naive_encoder(model, "cpu"), our_encoder(model, "cpu"), phrases(256, longest=12)
        best |= fastest(
            {
                "encode one": lambda: [encode_one(plain_encoder, prompt) for prompt in prompts[:16]],
                "encode": lambda: encoder.encode(prompts),
            },
            rounds=4,
        )
    encoding = {"naive": best["encode one"] / 16, "ours": best["encode"] / 256}
    tell(
        "retrieval",
        "seconds a query",
        "cpu",
        scenes=counts["scene"],
        naive=best["naive"],
        ours=best["ours"] / len(texts),
        ratio=best["naive"] / best["ours"] * len(texts),
        goal=1000,
        naive_with_encoding=best["naive"] + encoding["naive"],
        ours_with_encoding=best["ours"] / len(texts) + encoding["ours"],
        ratio_with_encoding=(best["naive"] + encoding["naive"]) / (best["ours"] / len(texts) + encoding["ours"]),
        batch=len(texts),
        ours_one_by_one=best["one"],
        ratio_one_by_one=best["naive"] / best["one"],
        search_alone=best["search"] / len(texts),
        faiss_alone=best["faiss"] / len(texts),
        same_sets=len(few),
        modifiers_found=sum(map(len, found)) / len(texts),
        **{"class": "B"},
    )


def naive(lists: dict[str, Any], linked: dict[int, Any], query: Any) -> set[tuple[str, int]]:
    """Kinds and indices of one prompt's modifiers, by everyday code."""
    import torch

    scenes = torch.tensor(lists["scene"])
    cosines = torch.nn.functional.cosine_similarity(query[None], scenes)
    top = torch.argsort(cosines, descending=True)[:3].tolist()
    scored = {}
    for scene in top:
        for kind, node in linked[scene]:
            vector = torch.tensor(lists[kind][node])
            scored[kind, node] = torch.nn.functional.cosine_similarity(query, vector, dim=0).item()
    kept = sorted((name for name, value in scored.items() if value >= 0.6), key=lambda name: -scored[name])
    return set(kept[:5])


def on_gpu(count: int, *, small: bool) -> None:
    """Queries a second: the search alone, with encoding, and whole retrieval with its Python objects."""
    import torch

    from rapo_lightning.language import SentenceEncoder
    from rapo_lightning.retrieval.graph import KINDS
    from rapo_lightning.retrieval.index import VectorIndex
    from rapo_lightning.retrieval.retrieve import Retriever

    graph = make_graph({"scene": count, "subject": 0, "action": count // 10, "atmosphere": count // 20})
    queries = near(graph.x("scene"), 4096 if small else 65_536, 0.5)
    index = VectorIndex(graph.x("scene").cuda())
    asked, vectors = queries.cuda(), graph.x("scene").cuda()
    found, rows = index.search(asked, 3)
    same(vectors, asked, found, rows)
    on_cpu_too = VectorIndex(graph.x("scene")).search(queries[:16], 3)
    assert torch.equal(on_cpu_too[1], rows[:16].cpu()), "the CPU finds others"
    assert torch.equal(on_cpu_too[0], found[:16].cpu()), "the CPU's similarities differ"
    block, halves = asked[:256], vectors.half().split(250_000)
    best = fastest(
        {
            "ours": lambda: index.search(asked, 3),
            "float32": lambda: [(block @ some.T).topk(3) for some in vectors.split(250_000)],
            "float16": lambda: [(block.half() @ some.T).topk(3) for some in halves],
            "one": lambda: index.search(asked[:1], 3),
        },
        rounds=4,
        settle=torch.cuda.synchronize,
    )
    rate = len(asked) / best["ours"]
    shared = {"scenes": count, "class": "B"}
    tell(
        "retrieval",
        "queries/s, search alone",
        "cuda",
        ours=rate,
        matmul_and_topk=len(block) / best["float32"],
        ratio=rate * best["float32"] / len(block),
        matmul_and_topk_float16=len(block) / best["float16"],
        seconds_of_one=best["one"],
        goal=400_000,
        **shared,
    )
    with tempfile.TemporaryDirectory() as folder:
        encoder = SentenceEncoder(str(save_encoder(Path(folder), small=small))).to("cuda")
        prompts = list(dict.fromkeys(phrases(5000 if small else 330_000, longest=12)))
        encoder.encode(prompts[:20_000])
        if encoder.dimension == DIMENSION:
            encoded = encoder.encode(prompts[:512]).cuda()
            same(vectors, encoded, *index.search(encoded, 3))
            calls = {"both": lambda: index.search(encoder.encode(prompts), 3), "encoding": lambda: encoder.encode(prompts)}
            best |= fastest(calls, rounds=3, settle=torch.cuda.synchronize)
            both, alone = (len(prompts) / best[name] for name in ("both", "encoding"))
            sizes = {"prompts": len(prompts), "goal": 100_000}
            tell("retrieval", "queries/s with encoding", "cuda", ours=both, encoding=alone, **sizes, **shared)
    texts = [str(number) for number in range(len(queries))]
    retriever = Retriever(graph, Given(queries), kinds=KINDS).to("cuda")
    few = Retriever(graph, Given(queries), kinds=KINDS).retrieve(texts[:16])
    assert retriever.retrieve(texts)[:16] == few, "the CPU's modifiers differ"
    best |= fastest({"retrieve": lambda: retriever.retrieve(texts)}, rounds=2, settle=torch.cuda.synchronize)
    whole = len(texts) / best["retrieve"]
    tell("retrieval", "queries/s, modifiers as Python objects, without encoding", "cuda", ours=whole, **shared)


def same(vectors: Any, queries: Any, found: Any, rows: Any) -> None:
    """Some answers must be those of float64, and each similarity its vector's."""
    import torch

    some = queries[:32].double()
    wanted, index = torch.cat([some @ part.double().T for part in vectors.split(100_000)], dim=1).topk(3)
    assert torch.equal(index, rows[:32]), "the search finds others than float64 does"
    assert (wanted - found[:32]).abs().max() < 1e-6, "a similarity is off"


if __name__ == "__main__":
    main()
