"""Building and adding to a graph folder: against the plain way that encodes each phrase by itself and rewrites everything.

    python -m benchmarks.graph_growth --threads 2
    python -m benchmarks.graph_growth --captions 1000000 --only memory

Three figures, one JSON line each: ``build`` of a 2,000 row table with a MiniLM-sized random encoder; ``add`` of 20 captions to
graphs of 100,000 and of 200,000 vectors, in turns, the least, mean and greatest of many additions, as some of them merge
segments; ``memory``: the most that building a large graph takes beyond the start.
The naive sides are timed on a part and said to scale with it. Vectors are compared before a ratio is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.minilm import fastest, phrases, save_encoder, tell

ROWS, PLAIN_ROWS = 2000, 12
ADDITIONS = 64  # eight small segments become one, and eight of those
DIMENSION = 384


class Quick:
    """An encoder that costs next to nothing: a text's vector is drawn from its hash. So that only the graph is timed."""

    name = "quick"

    def __init__(self, dimension: int = DIMENSION) -> None:
        self.dimension = dimension

    def encode(self, texts: Sequence[str]) -> Any:
        import torch

        from rapo_lightning.retrieval.phrases import hash_keys

        seeds = hash_keys(texts).view(np.uint64)
        columns = np.arange(1, self.dimension + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        bits = (seeds[:, None] ^ columns) * np.uint64(0xBF58476D1CE4E5B9)
        return torch.nn.functional.normalize(torch.from_numpy((bits >> np.uint64(40)).astype(np.float32) - 2**23), dim=1)


def captions(count: int, *, seed: int, distinct: int) -> Iterator[Any]:
    """Captions with 7 phrases each, about ``distinct`` different ones in all, made as they are asked for."""
    from rapo_lightning.types import CaptionPhrases

    known = phrases(distinct, seed=seed, longest=6)
    rng = np.random.default_rng(seed)
    for first in range(0, count, 4096):
        drawn = (distinct * rng.random((min(4096, count - first), 7)) ** 1.5).astype(np.int64).tolist()
        for number, row in enumerate(drawn, start=first):
            said = [known[i] for i in row]
            yield CaptionPhrases(
                caption=f"{seed} {number}",
                scenes=(said[0],),
                subjects=tuple(said[1:3]),
                actions=tuple(said[3:5]),
                atmosphere=tuple(said[5:]),
            )


def plain_build(rows: Sequence[Any], encode: Any) -> dict[str, list[float]]:
    """One encode call a phrase, known or not, vectors as lists of numbers, everything dumped at the end."""
    vectors = {}
    for row in rows:
        for phrase in (*row.scenes, *row.subjects, *row.actions, *row.atmosphere):
            vectors[phrase] = encode(phrase).tolist()
    json.dumps(vectors, indent=4)
    return vectors


def build(folder: Path, small: bool) -> None:
    """A table of captions to a graph, with a real encoder."""
    from sentence_transformers import SentenceTransformer

    from rapo_lightning.language import SentenceEncoder
    from rapo_lightning.retrieval import growing
    from rapo_lightning.retrieval.store import load_graph
    from rapo_lightning.types import ModelReference

    model = save_encoder(folder, small=small)
    count = 40 if small else ROWS
    rows = list(captions(count, seed=1, distinct=2 * count))
    encoder = SentenceEncoder(ModelReference(str(model)))
    plain = SentenceTransformer(str(model), device="cpu")
    part = rows[:PLAIN_ROWS]
    kept: dict[str, Any] = {}

    def ours() -> None:
        shutil.rmtree(folder / "graph", ignore_errors=True)
        growing.create(folder / "graph", encoder)
        growing.add(folder / "graph", rows, encoder)

    def naive() -> None:
        kept.update(plain_build(part, lambda text: plain.encode(text, normalize_embeddings=True, show_progress_bar=False)))

    best = fastest({"ours": ours, "naive": naive}, rounds=2)
    graph = load_graph(folder / "graph")
    mine = {
        text: row for kind in ("scene", "subject", "action", "atmosphere") for text, row in zip(graph.texts(kind), graph.x(kind))
    }
    difference = max(float(np.abs(mine[text].numpy() - np.array(row)).max()) for text, row in kept.items())
    assert difference <= 1e-6, difference
    scaled = best["naive"] * count / len(part)
    sizes = {"rows": count, "vectors": sum(len(graph.texts(kind)) for kind in ("scene", "subject", "action", "atmosphere"))}
    tell("graph_growth", "seconds of a build", "cpu", naive=scaled, ours=best["ours"], ratio=scaled / best["ours"], goal=10,
         greatest_difference=difference, naive_timed_on_rows=len(part), **sizes)  # fmt: skip


def add(folder: Path, small: bool) -> None:
    """Twenty captions to graphs of one size and of twice that size."""
    from rapo_lightning.retrieval import growing
    from rapo_lightning.retrieval.store import read_manifest

    encoder = Quick()
    sizes = {"small": 2_000 if small else 20_000, "large": 4_000 if small else 40_000}
    for name, count in sizes.items():
        growing.create(folder / name, encoder)
        growing.add(folder / name, captions(count, seed=3, distinct=count * 10), encoder)
    fresh = iter(range(1000))

    seconds: dict[str, list[float]] = {name: [] for name in sizes}
    for _ in range(8 if small else ADDITIONS):
        for name in sizes:
            some = list(captions(20, seed=100 + next(fresh), distinct=400))
            began = time.perf_counter()
            growing.add(folder / name, some, encoder)
            seconds[name].append(time.perf_counter() - began)
    least, mean, most = ({name: f(own) for name, own in seconds.items()} for f in (min, statistics.mean, max))
    vectors = {name: sum(read_manifest(folder / name).nodes.values()) for name in sizes}
    part = 2_000
    rows = encoder.encode([str(number) for number in range(part)]).tolist()
    began = time.perf_counter()
    json.loads(json.dumps(rows, indent=4))
    naive = (time.perf_counter() - began) * vectors["large"] / part
    tell("graph_growth", "seconds to add 20 captions", "cpu", naive=naive, ours=mean["large"], ratio=naive / mean["large"],
         goal=100, least=least["large"], greatest=most["large"], twice_the_size=mean["large"] / mean["small"],
         twice_the_size_by_the_least=least["large"] / least["small"], additions=len(seconds["large"]), vectors=vectors,
         naive_timed_on_vectors=part, naive_is="reading and writing all vectors as indented JSON")  # fmt: skip


def memory(folder: Path, count: int) -> None:
    """A large graph, and the most memory that building it took."""
    from rapo_lightning.retrieval import growing
    from rapo_lightning.retrieval.store import read_manifest

    encoder = Quick()
    growing.create(folder / "many", encoder)
    growing.add(folder / "many", captions(2_000, seed=8, distinct=20_000), encoder)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    began = time.perf_counter()
    growing.add(folder / "many", captions(count, seed=9, distinct=count), encoder)
    seconds = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    manifest = read_manifest(folder / "many")
    size = sum(size for part in manifest.segments for size in part.files.values())
    tell("graph_growth", "gigabytes beyond the start to build a large graph", "cpu", ours=after - before, seconds=seconds,
         captions=manifest.captions, vectors=sum(manifest.nodes.values()), segments=len(manifest.segments),
         gigabytes_on_disk=size / 1e9)  # fmt: skip


def main() -> None:
    """Each figure in its own folder, deleted afterwards."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="torch's threads")
    parser.add_argument("--captions", type=int, default=200_000, help="of the large graph; a million takes 3 GB of disk")
    parser.add_argument("--only", choices=("build", "add", "memory"))
    parser.add_argument("--small", action="store_true", help="sizes that show that it runs and measure nothing")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        if options.only in (None, "memory"):
            memory(Path(folder), 5_000 if options.small else options.captions)
        if options.only in (None, "add"):
            add(Path(folder), options.small)
        if options.only in (None, "build"):
            build(Path(folder), options.small)


if __name__ == "__main__":
    main()
