"""The relation graph of Stage 1: scenes of the training captions, and the subjects, actions and atmospheres said of them.

A `RelationGraph` wraps a torch-geometric ``HeteroData`` (RAPO++ section 3.1, Figure 3):

* four node types with their texts, embeddings ``x`` (N, D) float32 of length 1, and ``occurrence`` (2, M): node, caption;
* three edge types, ``("scene", "has", kind)``, with ``edge_index`` (2, E) and ``count`` (E,): in how many captions both stand.

Everything that is kept follows from the occurrences; edges and counts are computed from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor

from rapo_lightning.errors import InputError

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

__all__ = ["KINDS", "NODE_TYPES", "RelationGraph", "co_occurrence", "edge_sum"]

#: What a scene is linked to.
KINDS = ("subject", "action", "atmosphere")
NODE_TYPES = ("scene", *KINDS)


@final
class RelationGraph:
    """A relation graph in memory.

    Args:
        data: as the module describes it.
        encoder: the name of the sentence encoder that made the embeddings; another's vectors cannot be compared with them.
        captions: how many captions the graph was made of.
        probe: that encoder's vector of a known sentence (`retrieval.identity`); empty where it is not known.
    """

    def __init__(self, data: HeteroData, *, encoder: str, captions: int, probe: Sequence[float] = ()) -> None:
        self.data = data
        self.probe = tuple(probe)
        self.encoder = encoder
        self.captions = captions
        self._rows: dict[str, Tensor] = {}

    @classmethod
    def of(
        cls,
        *,
        texts: Mapping[str, Sequence[str]],
        x: Mapping[str, Tensor],
        occurrence: Mapping[str, Tensor],
        captions: int,
        encoder: str,
        edges: Mapping[str, tuple[Tensor, Tensor]] | None = None,
    ) -> RelationGraph:
        """A graph from its nodes' texts, embeddings (N, D) and occurrences (2, M), each by node type; edges are computed.

        ``edges``, by kind ``edge_index`` (2, E), sorted by scene, and ``count`` (E,), are for a graph whose occurrences do not
        tell them (`retrieval.graph_data`).

        Raises:
            InputError: sizes that do not fit together, or occurrences that name what is not there.
        """
        from torch_geometric.data import HeteroData

        data = HeteroData()
        for kind in NODE_TYPES:
            names, vectors, where = list(texts[kind]), x[kind], occurrence[kind]
            if vectors.ndim != 2 or len(vectors) != len(names):
                raise InputError(f"relation graph: {len(names)} {kind} texts, but embeddings of shape {tuple(vectors.shape)}")
            if where.numel() and (int(where.min()) < 0 or bool((where.amax(1) >= torch.tensor([len(names), captions])).any())):
                raise InputError(f"relation graph: occurrences of {kind} name a node or a caption that is not there")
            data[kind].x, data[kind].text, data[kind].occurrence = vectors, names, where
            data[kind].num_nodes = len(names)
        for kind in KINDS:
            index, count = edges[kind] if edges else co_occurrence(occurrence["scene"], occurrence[kind], len(texts[kind]))
            data["scene", "has", kind].edge_index = index
            data["scene", "has", kind].count = count
        return cls(data, encoder=encoder, captions=captions)

    @property
    def dimension(self) -> int:
        """Length of an embedding."""
        return int(self.data["scene"].x.shape[1])

    def texts(self, node_type: str) -> list[str]:
        """The nodes' texts, by index."""
        return list(self.data[node_type].text)

    def x(self, node_type: str) -> Tensor:
        """The nodes' embeddings (N, D)."""
        found: Tensor = self.data[node_type].x
        return found

    def rows(self, kind: str) -> Tensor:
        """Where each scene's edges to a kind begin in ``edge_index``, (scenes + 1,): edges are sorted by scene."""
        if kind not in self._rows:
            counts = torch.bincount(self.data["scene", "has", kind].edge_index[0], minlength=len(self.x("scene")))
            self._rows[kind] = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        return self._rows[kind]

    def neighbours(self, scene: int) -> dict[str, tuple[Tensor, Tensor]]:
        """All modifiers linked to a scene, by kind: their indices in ascending order, and in how many captions both stand."""
        found = {}
        for kind in KINDS:
            first, last = self.rows(kind)[scene : scene + 2].tolist()
            edges: Any = self.data["scene", "has", kind]
            found[kind] = (edges.edge_index[1, first:last], edges.count[first:last])
        return found

    def to(self, device: torch.device | str) -> RelationGraph:
        """This graph with its tensors on a device."""
        return RelationGraph(self.data.clone().to(device), encoder=self.encoder, captions=self.captions, probe=self.probe)


def co_occurrence(scenes: Tensor, others: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Edges between the nodes that share a caption, and in how many captions they do.

    Args:
        scenes: (2, M) int64, node and caption; a pair that stands twice counts once.
        others: the same of another node type.
        width: how many nodes of the other type there are.

    Returns:
        ``edge_index`` (2, E), sorted by scene, then by the other node, and ``count`` (E,).
    """
    scenes, others = (torch.unique(pairs, dim=1) for pairs in (scenes, others))
    order = torch.argsort(others[1], stable=True)
    others = others[:, order]
    first = torch.searchsorted(others[1].contiguous(), scenes[1].contiguous())
    last = torch.searchsorted(others[1].contiguous(), scenes[1].contiguous(), right=True)
    many = last - first
    source = torch.repeat_interleave(torch.arange(len(many), device=many.device), many)
    within = torch.arange(len(source), device=many.device) - torch.repeat_interleave(many.cumsum(0) - many, many)
    pairs = scenes[0, source] * max(width, 1) + others[0, first[source] + within]
    pairs, count = torch.unique(pairs, return_counts=True)
    return torch.stack([pairs // max(width, 1), pairs % max(width, 1)]), count


def edge_sum(*parts: tuple[Tensor, Tensor], width: int) -> tuple[Tensor, Tensor]:
    """Edges (2, E) and counts (E,) of several parts added up, sorted by scene, then by the other node, without sums of 0."""
    keys = torch.cat([index[0] * max(width, 1) + index[1] for index, _ in parts])
    unique, where = torch.unique(keys, return_inverse=True)
    total = torch.zeros(len(unique), dtype=torch.int64, device=keys.device)
    total.index_add_(0, where, torch.cat([count for _, count in parts]))
    unique, total = unique[total != 0], total[total != 0]
    return torch.stack([unique // max(width, 1), unique % max(width, 1)]), total
