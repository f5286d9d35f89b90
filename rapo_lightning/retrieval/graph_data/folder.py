"""The published ``graph_data`` folder, ten JSON and two GraphML files, read as a `RelationGraph` and written from one.

The published form knows places, verbs and scenarios; a scenario is a subject or an atmosphere. On reading, places become scenes,
verbs actions and scenarios atmospheres. On writing, subjects and atmospheres become scenarios in the order of the captions, a
caption's subjects first; a text that is both is written once, with the captions of both.
"""

from __future__ import annotations

import heapq
import os
import shutil
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning.errors import InputError, StorageError
from rapo_lightning.retrieval.graph import NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.graph_data.edges import read_edges
from rapo_lightning.retrieval.graph_data.graphml import write_graphml
from rapo_lightning.retrieval.graph_data.json_files import read_object, write_matrix, write_object
from rapo_lightning.retrieval.graph_data.tables import PLACE, SCENARIO, TABLES, VERB, Nodes, Table, normalise, read_nodes
from rapo_lightning.retrieval.graph_data.tables import merge_aliases as merged

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rapo_lightning.protocols import TextEncoder

__all__ = ["read_published", "write_published"]

_INFO = "data_info.json"
_CAPTIONS = "valid_sentence"


def read_published(
    folder: str | os.PathLike[str],
    *,
    encoder_name: str = "all-MiniLM-L6-v2",
    encoder: TextEncoder | None = None,
    merge_aliases: bool = False,
    notes: list[str] | None = None,
) -> RelationGraph:
    """The relation graph of a published ``graph_data`` folder, with exactly its texts, occurrences and edges.

    Vectors come out of length 1; those that are already (to 1e-6) stay as they are. GraphML tells neither types nor directions:
    an edge is read as the texts' tables allow. Where both ways round are allowed, both are kept, but for one that no caption
    explains while captions explain the other. An edge counts the captions that hold both ends; one that no caption explains
    counts 1. When all three ``*_in_sentence.json`` are missing, there are no occurrences and every edge counts 1.

    Args:
        folder: the folder of the 12 files.
        encoder_name: what made the embeddings.
        encoder: the same encoder; embedding files that are missing are made anew with it.
        merge_aliases: texts that differ by case and blanks only (`phrases.key`) become one node, with the first one's text and
            vector and the captions of all.
        notes: a list to add to: a line for everything that was repaired, left out, or that the files disagree about.

    Raises:
        InputError: files that are missing, broken or do not fit together, by file and row.
        PartError: the encoder returned something else than a vector for each text.
    """
    folder, notes = Path(folder), [] if notes is None else notes
    has_captions = _check_files(folder, encoder, notes)
    counts = _read_counts(folder / _INFO, notes)
    captions = counts[_CAPTIONS]
    nodes: dict[str, Nodes] = {}
    for table in TABLES:
        nodes[table.kind] = read_nodes(
            folder,
            table,
            count=counts[table.count],
            captions=captions if has_captions else None,
            encoder=encoder,
            notes=notes,
        )
    width = _width(folder, nodes)
    if merge_aliases:
        for table in TABLES:
            before, nodes[table.kind] = nodes[table.kind], merged(nodes[table.kind])
            if fewer := len(before.texts) - len(nodes[table.kind].texts):
                notes.append(f"{folder / table.index}: {fewer} texts differ from an earlier one by case or blanks: merged")
    return _graph(folder, nodes, width=width, captions=captions, encoder_name=encoder_name, notes=notes)


def write_published(graph: RelationGraph, folder: str | os.PathLike[str]) -> None:
    """Write a graph as a published ``graph_data`` folder, at once or not at all; an existing folder must be empty.

    A graph without any occurrence is written without the ``*_in_sentence.json`` files, so that it is read as it was.

    Raises:
        InputError: the folder is not empty, or a text or a vector cannot stand in the published form (a text that is twice of one
            kind or that XML cannot hold, a vector of zeros or of what is no finite number).
        StorageError: the disk refuses.
    """
    folder = Path(folder).resolve()
    aside = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder}: exists and is no empty folder; name a new one")
        aside.mkdir(parents=True)
        try:
            _write(graph, aside)
            for file in aside.iterdir():
                with file.open("rb") as written:
                    os.fsync(written.fileno())
            if folder.exists():
                folder.rmdir()
            aside.rename(folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise StorageError.of(folder, error) from error


def _check_files(folder: Path, encoder: TextEncoder | None, notes: list[str]) -> bool:
    """Name all that is missing; whether the files of captions are there."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder")
    needed = [_INFO, *(table.index for table in TABLES), SCENARIO.graph, VERB.graph]
    sentences = [table.sentences for table in TABLES]
    has_captions = any((folder / name).exists() for name in sentences)
    vectors = [table.embeddings for table in TABLES if encoder is None and not (folder / table.embeddings).exists()]
    missing = [name for name in [*needed, *(sentences if has_captions else [])] if not (folder / name).exists()]
    if missing or vectors:
        hint = "; missing embeddings are made anew when a sentence encoder is given" if vectors else ""
        raise InputError(f"{folder}: missing: {', '.join(missing + vectors)}{hint}")
    if not has_captions:
        notes.append(f"{folder}: without {', '.join(sentences)}: no occurrences, and every edge counts 1")
    return has_captions


def _read_counts(path: Path, notes: list[str]) -> dict[str, int]:
    found = read_object(path)
    names = (_CAPTIONS, *(table.count for table in TABLES))
    for name in names:
        if type(found.get(name)) is not int or not 0 <= found[name] < 2**48:
            raise InputError(f"{path}: {name} is {found.get(name, 'missing')!r}, not a count")
    if more := [name for name in found if name not in names]:
        notes.append(f"{path}: not used: {', '.join(more)}")
    return {name: found[name] for name in names}


def _width(folder: Path, nodes: dict[str, Nodes]) -> int:
    """The one length of all vectors."""
    widths = {table: nodes[table.kind].x.shape[1] for table in TABLES if nodes[table.kind].texts}
    if len(set(widths.values())) > 1:
        told = ", ".join(f"{width} in {table.embeddings}" for table, width in widths.items())
        raise InputError(f"{folder}: vectors of different lengths: {told}")
    return next(iter(widths.values()), 0)


def _graph(
    folder: Path, nodes: dict[str, Nodes], *, width: int, captions: int, encoder_name: str, notes: list[str]
) -> RelationGraph:
    import torch

    edges = {"subject": (torch.empty(2, 0, dtype=torch.int64), torch.empty(0, dtype=torch.int64))}
    for table in (SCENARIO, VERB):
        edges[table.kind] = read_edges(folder, nodes["scene"], nodes[table.kind], table, notes)
    nothing = Nodes(texts=[], x=np.empty((0, width), np.float32), occurrence=np.empty((2, 0), np.int64), number={})
    all_nodes = {kind: nodes.get(kind, nothing) for kind in NODE_TYPES}
    return RelationGraph.of(
        texts={kind: found.texts for kind, found in all_nodes.items()},
        x={kind: torch.from_numpy(found.x.reshape(len(found.texts), width)) for kind, found in all_nodes.items()},
        occurrence={kind: torch.from_numpy(found.occurrence) for kind, found in all_nodes.items()},
        captions=captions,
        encoder=encoder_name,
        edges=edges,
    )


def _write(graph: RelationGraph, folder: Path) -> None:
    counts = {_CAPTIONS: graph.captions}
    texts: dict[str, list[str]] = {}
    for table in TABLES:
        texts[table.word], sentences, vectors = _columns(graph, table)
        counts[table.count] = len(texts[table.word])
        normalise(vectors.copy(), table.embeddings)
        write_object(folder / table.index, {text: number for number, text in enumerate(texts[table.word])})
        write_matrix(folder / table.embeddings, vectors)
        if any(graph.data[kind].occurrence.numel() for kind in NODE_TYPES):
            write_object(folder / table.sentences, dict(zip(texts[table.word], sentences)))
    write_object(folder / _INFO, counts)
    scenes = graph.texts("scene")
    for table in (SCENARIO, VERB):
        edges = ((scenes[a], other[b]) for kind in table.kinds for other in [graph.texts(kind)] for a, b in _pairs(graph, kind))
        write_graphml(folder / table.graph, [*texts[PLACE.word], *texts[table.word]], edges)


def _columns(graph: RelationGraph, table: Table) -> tuple[list[str], list[list[int]], NDArray[np.float32]]:
    """A table's texts, the captions of each, and the vectors (N, D)."""
    lists = {kind: _captions_by_node(graph, kind) for kind in table.kinds}
    firsts = [[(min(own, default=graph.captions), kind, node) for node, own in enumerate(lists[kind])] for kind in table.kinds]
    names = {kind: graph.texts(kind) for kind in table.kinds}
    for kind, own in names.items():
        if len(set(own)) < len(own):
            raise InputError(
                f"{table.index}: {next(text for text in own if own.count(text) > 1)!r} stands twice among {kind} texts"
            )
    found: dict[str, list[int]] = {}
    rows: list[tuple[str, int]] = []
    for _, kind, node in heapq.merge(*firsts, key=itemgetter(0)):
        text, captions = names[kind][node], lists[kind][node]
        if text in found:
            found[text] = sorted({*found[text], *captions})
        else:
            found[text] = captions
            rows.append((kind, node))
    x = {kind: graph.x(kind).detach().cpu().float().numpy() for kind in table.kinds}
    vectors = np.stack([x[kind][node] for kind, node in rows]) if rows else np.empty((0, 0), np.float32)
    return list(found), list(found.values()), vectors


def _captions_by_node(graph: RelationGraph, kind: str) -> list[list[int]]:
    nodes, captions = graph.data[kind].occurrence.cpu().numpy()
    ends = np.cumsum(np.bincount(nodes, minlength=len(graph.data[kind].text)))
    return [own.tolist() for own in np.split(captions[np.argsort(nodes, kind="stable")], ends[:-1])][: len(ends)]


def _pairs(graph: RelationGraph, kind: str) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = graph.data["scene", "has", kind].edge_index.t().tolist()
    return pairs
