"""What a relation graph holds, in figures: ``rapo graph stats``."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.phrases import hash_keys

__all__ = ["statistics"]


def statistics(graph: RelationGraph, *, most: int = 10) -> dict[str, Any]:
    """The figures of a graph as plain JSON.

    Args:
        graph: the relation graph.
        most: how many of the most frequent phrases of each node type are named, ties in the graph's order.

    Returns:
        ``encoder``, ``dimension``, ``captions`` and ``captions_without_scene``.

        By node type: ``nodes``; ``isolated``, nodes without an edge; ``aliases``, nodes that differ from an earlier one only in
        case or blanks; ``frequent``, texts with the number of captions they stand in.

        By kind: ``edges``; ``modifiers_per_scene``, the mean over all scenes, None without scenes (``all``: of all three kinds).
    """
    edges = {kind: graph.data["scene", "has", kind].edge_index for kind in KINDS}
    nodes = {name: len(graph.data[name].text) for name in NODE_TYPES}
    counts = {kind: int(pairs.shape[1]) for kind, pairs in edges.items()}
    scenes = nodes["scene"]
    linked = {"scene": torch.cat([pairs[0] for pairs in edges.values()])} | {kind: pairs[1] for kind, pairs in edges.items()}
    means = {**counts, "all": sum(counts.values())}
    return {
        "encoder": graph.encoder,
        "dimension": graph.dimension,
        "captions": graph.captions,
        "captions_without_scene": graph.captions - len(torch.unique(graph.data["scene"].occurrence[1])),
        "nodes": nodes,
        "edges": counts,
        "modifiers_per_scene": {kind: count / scenes if scenes else None for kind, count in means.items()},
        "isolated": {name: nodes[name] - len(torch.unique(linked[name])) for name in NODE_TYPES},
        "aliases": {name: nodes[name] - len(set(hash_keys(graph.data[name].text).tolist())) for name in NODE_TYPES},
        "frequent": {name: _frequent(graph.data[name].text, graph.data[name].occurrence, most) for name in NODE_TYPES},
    }


def _frequent(texts: list[str], occurrence: Tensor, most: int) -> list[dict[str, Any]]:
    """The texts that stand in the most captions; a text that stands twice in a caption counts once."""
    counts = torch.bincount(torch.unique(occurrence, dim=1)[0], minlength=len(texts))
    found, order = torch.sort(counts, descending=True, stable=True)
    return [{"text": texts[node], "captions": count} for node, count in zip(order[:most].tolist(), found[:most].tolist())]
