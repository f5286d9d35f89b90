"""From prompts to the scenes of a relation graph that are most like them, and what the training captions say of these scenes.

RAPO++ section 3.1: the top scenes by cosine, then all that is linked to them, ranked by its own cosine to the prompt (the
published code draws neighbours at random; here none is left out). Vectorised over prompts. Of equal
embeddings no answer depends on its batch; an encoder's last bits may, so that a modifier may come or go 1e-7 about the threshold.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple, cast, final

import torch
from torch import Tensor

from rapo_lightning.errors import InputError
from rapo_lightning.protocols import Placeable, TextEncoder
from rapo_lightning.retrieval.exact import UNIT, check_lengths, drift, full_precision, scores, similarities
from rapo_lightning.retrieval.graph import NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.identity import check_encoder, encoder_name
from rapo_lightning.retrieval.index import Engine, VectorIndex
from rapo_lightning.types import Kind, Modifier, Retrieved

__all__ = ["Retriever"]

#: Prompts at once, and products of a prompt and a modifier (each D numbers) at once.
_PROMPTS = 4096
_PAIRS = {"cpu": 2**10, "cuda": 2**18}


@final
class Retriever:
    """Finds scenes and modifiers for prompts.

    Args:
        graph: the relation graph; its embeddings may lie in main memory, or memory-mapped, whatever device computes.
        encoder: what encodes the prompts; it must be the one that encoded the graph.
        scenes: how many scenes a prompt is given.
        modifiers: how many modifiers, at most.
        threshold: the least cosine similarity of a modifier to the prompt (the published code's is 0.6).
        per_kind: how many modifiers of one kind, at most; None sets no such limit.
        kinds: which kinds of modifiers; "scene" means the scenes' own phrases, which are modifiers in the published code, too.
        engine: of the search for scenes, see `VectorIndex`.

    Raises:
        InputError: at the first text: another encoder made the graph's embeddings; both are named.
    """

    def __init__(
        self,
        graph: RelationGraph,
        encoder: TextEncoder,
        *,
        scenes: int = 3,
        modifiers: int = 5,
        threshold: float = 0.6,
        per_kind: int | None = None,
        kinds: Sequence[str] = NODE_TYPES,
        engine: Engine = "torch",
    ) -> None:
        if min(scenes, modifiers, 0 if per_kind is None else per_kind) < 0:
            raise ValueError(f"scenes ({scenes}), modifiers ({modifiers}) and per_kind ({per_kind}) cannot be negative")
        if not -1 <= threshold <= 1:
            raise ValueError(f"threshold is {threshold}; a cosine lies in [-1, 1]")
        if not kinds or set(kinds) - set(NODE_TYPES):
            raise ValueError(f"kinds are some of {', '.join(NODE_TYPES)}, not {', '.join(kinds) or 'none'}")
        self._graph = graph
        self._encoder = encoder
        self._scenes = scenes
        self._modifiers = modifiers
        self._threshold = threshold
        self._per_kind = per_kind
        self._kinds: tuple[Kind, ...] = tuple(cast(Kind, kind) for kind in NODE_TYPES if kind in kinds)
        self._engine: Engine = engine
        self._device = torch.device("cpu")
        self._index: VectorIndex | None = None
        self._first_of: dict[str, Tensor | None] = {}

    def to(self, device: torch.device | str) -> Retriever:
        """Search on this device from now on, and let the encoder follow. Embeddings move there when memory suffices."""
        self._device = torch.device("cpu") if torch.device(device).type == "mps" else torch.device(device)
        self._index = None
        if isinstance(self._encoder, Placeable):
            self._encoder.to(device)
        return self

    def scenes(self, texts: Sequence[str], k: int | None = None) -> list[list[tuple[str, float]]]:
        """For each text the ``k`` most similar scenes (else as many as was set), best first, with their cosine similarities."""
        found, rows = self._ready().search(self._encode(texts), self._scenes if k is None else k)
        names = self._graph.data["scene"].text
        return [
            [(names[row], value) for row, value in zip(*pair, strict=True)]
            for pair in zip(rows.tolist(), found.tolist(), strict=True)
        ]

    def retrieve(self, texts: Sequence[str]) -> list[tuple[Retrieved, ...]]:
        """For each text its modifiers, most similar first; ties by the order of `NODE_TYPES`, then by the lower index.

        A phrase that several scenes share stands once a kind, with the best of these scenes. None may reach the threshold.
        """
        self._ready()
        queries = self._encode(texts)
        return [found for some in queries.split(_PROMPTS) for found in self._some(some)] if len(texts) else []

    def _some(self, queries: Tensor) -> list[tuple[Retrieved, ...]]:
        queries = queries.to(self._device)
        _, scenes = self._ready().ranked(queries, self._scenes)
        with torch.inference_mode(), full_precision(self._device):
            parts = [self._of_kind(kind, queries, scenes) for kind in self._kinds]
            kinds = torch.cat([torch.full_like(part.node, number) for number, part in enumerate(parts)])
            pairs = _Pairs(*(torch.cat(columns) for columns in zip(*parts, strict=True)))
            order, place = _ranked(pairs.query, pairs.score)
            order = order[place < self._modifiers]
            columns = [column[order].tolist() for column in (pairs.query, kinds, pairs.node, similarities(pairs.score))]
            origins = scenes[pairs.query[order], pairs.rank[order]].tolist()
        answers: list[list[Retrieved]] = [[] for _ in range(len(queries))]
        names = self._graph.data["scene"].text
        for query, number, node, similarity, origin in zip(*columns, origins, strict=True):
            kind = self._kinds[number]
            modifier = Modifier(text=self._graph.data[kind].text[node], kind=kind)
            answers[query].append(Retrieved(modifier=modifier, scene=names[origin], similarity=similarity))
        return [tuple(answer) for answer in answers]

    def _of_kind(self, kind: str, queries: Tensor, scenes: Tensor) -> _Pairs:
        """What of one kind is linked to the scenes (Q, K) and reaches the threshold, each once, by prompt and index."""
        pairs = _unique(self._linked(kind, scenes), len(self._graph.x(kind)))
        # Float32 settles most: what it puts below the threshold, or behind enough others, by more than its error.
        vectors, margin = self._graph.x(kind), drift(self._graph.dimension)
        fast = torch.empty(len(pairs.query), device=queries.device)
        step = _PAIRS.get(self._device.type, 2**14)
        for first in range(0, len(fast), step):
            rows = pairs.node[first : first + step]
            theirs = vectors.index_select(0, rows.to(vectors.device)).to(queries.device)
            fast[first : first + step] = (queries[pairs.query[first : first + step]] * theirs).sum(1)
        pairs, fast = _where(fast >= self._threshold - margin, pairs, fast)
        wanted = min(self._modifiers, self._modifiers if self._per_kind is None else self._per_kind)
        order, place = _ranked(pairs.query, fast)
        least = fast.new_full((len(queries),), math.inf if wanted == 0 else -math.inf)
        last = order[place == wanted - 1]
        least[pairs.query[last]] = fast[last] - 2 * margin
        pairs, fast = _where(fast >= least[pairs.query], pairs, fast)

        exact = scores(queries, vectors, pairs=(pairs.query, pairs.node))
        pairs, _ = _where(exact >= math.ceil(self._threshold * UNIT), pairs._replace(score=exact), fast)
        if self._per_kind is not None:
            order, place = _ranked(pairs.query, pairs.score)
            kept = order[place < self._per_kind].sort().values
            pairs = _Pairs(*(column[kept] for column in pairs))
        return pairs

    def _linked(self, kind: str, scenes: Tensor) -> _Pairs:
        """All that is linked to the scenes (Q, K), by prompt and rank of the scene; of nodes with equal texts the first."""
        width = max(1, scenes.shape[1])
        source = torch.arange(scenes.numel(), device=scenes.device)
        node = scenes.flatten()
        if kind != "scene":
            starts = self._graph.rows(kind)
            here = node.to(starts.device)
            many = starts[here + 1] - starts[here]
            source = torch.repeat_interleave(source.to(many.device), many)
            within = torch.arange(len(source), device=many.device) - torch.repeat_interleave(many.cumsum(0) - many, many)
            node = self._graph.data["scene", "has", kind].edge_index[1, starts[here][source] + within]
            source, node = source.to(scenes.device), node.to(scenes.device)
        first = self._first_of[kind]
        node = node if first is None else first.to(node.device)[node]
        return _Pairs(query=source // width, node=node, rank=source % width, score=source)

    def _encode(self, texts: Sequence[str]) -> Tensor:
        queries = self._encoder.encode(texts)
        if queries.shape[1] != self._graph.dimension:
            raise InputError(
                f"the relation graph's embeddings, by {self._graph.encoder!r}, have {self._graph.dimension} numbers, "
                f"those by {encoder_name(self._encoder)!r} {queries.shape[1]}"
            )
        return queries

    def _ready(self) -> VectorIndex:
        """The index of scenes; at the first use the embeddings are checked and brought to the device."""
        if self._index is None:
            graph = self._graph
            check_encoder(
                self._encoder,
                graph="the relation graph",
                name=graph.encoder,
                known=graph.probe,
                dimension=graph.dimension,
            )
            for kind in NODE_TYPES:
                check_lengths(self._graph.x(kind), first=0, what=f"relation graph: {kind} embeddings")
                self._first_of[kind] = _first_of(self._graph.data[kind].text)
            if self._graph.x("scene").device.type != self._device.type:
                with suppress(torch.OutOfMemoryError):  # Else they stay where they are, and visit the device in chunks.
                    self._graph = self._graph.to(self._device)
            self._index = VectorIndex(self._graph.x("scene"), device=self._device, engine=self._engine)
        return self._index


class _Pairs(NamedTuple):
    """Prompts and modifiers: a prompt, a node, the rank of the best scene that links them, and their score, (P,) int64 each."""

    query: Tensor
    node: Tensor
    rank: Tensor
    score: Tensor


def _unique(pairs: _Pairs, width: int) -> _Pairs:
    """Each pair of prompt and node once, where it first stands, by prompt and node."""
    key, order = torch.sort(pairs.query * max(1, width) + pairs.node, stable=True)
    fresh = torch.ones_like(key, dtype=torch.bool)
    fresh[1:] = key[1:] != key[:-1]
    return _Pairs(*(column[order[fresh]] for column in pairs))


def _ranked(query: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """The order by prompt, then by descending value, else as given; and the place of each in its prompt's row."""
    order = torch.sort(value, descending=True, stable=True).indices
    order = order[torch.sort(query[order], stable=True).indices]
    groups = query[order]
    return order, torch.arange(len(order), device=order.device) - torch.searchsorted(groups, groups)


def _where(kept: Tensor, pairs: _Pairs, fast: Tensor) -> tuple[_Pairs, Tensor]:
    return _Pairs(*(column[kept] for column in pairs)), fast[kept]


def _first_of(texts: Sequence[str]) -> Tensor | None:
    """For each text the index of the first equal one; None when no two are equal."""
    if len(set(texts)) == len(texts):
        return None
    first: dict[str, int] = {}
    return torch.tensor([first.setdefault(text, number) for number, text in enumerate(texts)])
