"""Edges of the published graph: what its GraphML files join, read with the types and the weights that they do not tell.

GraphML has no types and no directions: an edge is read as the tables of texts allow. Where both ways round are allowed, both are
kept, but for one that no caption explains while captions explain the other. The weight comes from the captions.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.graph import co_occurrence
from rapo_lightning.retrieval.graph_data.graphml import read_graphml
from rapo_lightning.retrieval.graph_data.tables import PLACE, Nodes, Table

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["read_edges"]


def read_edges(folder: Path, scenes: Nodes, others: Nodes, table: Table, notes: list[str]) -> tuple[Tensor, Tensor]:
    """The edges between places and the texts of ``table``: ``edge_index`` (2, E), sorted, and ``count`` (E,).

    Raises:
        InputError: by line: GraphML that cannot be read, a node of no table, an edge that fits neither way round.
    """
    import torch

    file = folder / table.graph

    names, ends, passed_over = read_graphml(file)
    if passed_over:
        notes.append(f"{file}: not used: {', '.join(f'<{name}>' for name in sorted(passed_over))}")
    scene, other = (np.array([nodes.number.get(name, -1) for name in names], dtype=np.int64) for nodes in (scenes, others))
    if (odd := np.flatnonzero((scene < 0) & (other < 0))).size:
        raise InputError(f"{file}: node {names[odd[0]]!r} is in neither {PLACE.index} nor {table.index}")
    width = max(len(others.texts), 1)
    one, two = (
        np.where((scene[a] >= 0) & (other[b] >= 0), scene[a] * width + other[b], -1)
        for a, b in ((ends[:, 0], ends[:, 1]), (ends[:, 1], ends[:, 0]))
    )
    if (odd := np.flatnonzero((one < 0) & (two < 0))).size:
        source, target, line = ends[odd[0]].tolist()
        raise InputError(f"{file}:{line}: {names[source]!r} - {names[target]!r} joins no place with a {table.word}")
    pairs, together = co_occurrence(torch.from_numpy(scenes.occurrence), torch.from_numpy(others.occurrence), width)
    explained, counts = (pairs[0] * width + pairs[1]).numpy(), together.numpy()
    explains_one, explains_two = np.isin(one, explained), np.isin(two, explained)
    codes = np.unique(np.concatenate([one[explains_one | ~explains_two], two[explains_two | ~explains_one]]))
    codes = codes[codes >= 0]
    is_explained = np.isin(codes, explained)
    count = np.ones(len(codes), np.int64)
    count[is_explained] = counts[np.searchsorted(explained, codes[is_explained])]

    def note(found: NDArray[np.int64], what: str) -> None:
        if found.size:
            example = f"{scenes.texts[found[0] // width]!r} - {others.texts[found[0] % width]!r}"
            notes.append(f"{file}: {found.size} {what}, e.g. {example}")

    if scenes.occurrence.size:
        settled = (np.minimum(one, two) >= 0) & (explains_one != explains_two)
        note(np.where(explains_one, one, two)[settled], "edges fit both ways round: read the way that captions explain")
        note(codes[~is_explained], "edges that no caption explains: kept, with a count of 1")
        note(np.setdiff1d(explained, codes), "pairs that captions hold together are no edges: left out")
    return torch.from_numpy(np.stack([codes // width, codes % width])), torch.from_numpy(count)
