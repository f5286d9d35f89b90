"""A relation graph on disk: a folder of segments that is only ever added to, so that adding costs what is new and no more.

::

    graph.json               what the graph is: encoder, dimension, counts, the segments with the sizes of their files
    style.json               how long the captions are and how they begin (`retrieval.style_files`), for rewriting in their style
    segments/<name>/         nodes.jsonl and tensors.safetensors (`retrieval.segments`)

``graph.json`` is replaced at once and comes last, so that the graph is the old one or the new one at every moment.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np

from rapo_lightning.errors import InputError
from rapo_lightning.records import parse_json, write_text_atomic
from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES, RelationGraph, co_occurrence, edge_sum
from rapo_lightning.retrieval.phrases import hash_keys
from rapo_lightning.retrieval.segments import Segment, mapped, read_texts, write_segment
from rapo_lightning.retrieval.style_files import load_style, save_style

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Manifest", "Part", "append", "load_graph", "load_style", "read_manifest", "remove_strays", "save_graph", "save_style"]

SCHEMA = "relation_graph/1"
_FILES = ("nodes.jsonl", "tensors.safetensors")
#: What every segment has.
_ARRAYS = ("key.caption", *(f"{name}.{kind}" for kind in NODE_TYPES for name in ("x", "occurrence", "key", "node")))
_NAME = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A segment as the manifest lists it: nodes by type, captions, and the sizes of its files in bytes."""

    name: str
    nodes: Mapping[str, int]
    captions: int
    files: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """``graph.json``. ``probe``: the encoder's vector of `probe` text, by which another encoder is known."""

    encoder: str
    dimension: int
    probe: tuple[float, ...] = ()
    segments: tuple[Part, ...] = ()
    schema: str = field(default=SCHEMA)

    @property
    def captions(self) -> int:
        """How many captions the graph was made of."""
        return sum(part.captions for part in self.segments)

    @property
    def nodes(self) -> dict[str, int]:
        """How many nodes of each type there are."""
        return {kind: sum(part.nodes[kind] for part in self.segments) for kind in NODE_TYPES}


def read_manifest(folder: Path) -> Manifest:
    """What a graph folder holds, its files checked by their sizes.

    Raises:
        InputError: no graph, one of another release, or one with files missing or cut off.
    """
    path = folder / "graph.json"
    try:
        values: Any = parse_json(path.read_bytes())
        if values.get("schema") != SCHEMA:
            raise InputError(f"{path}: schema {values.get('schema')!r}; this release reads {SCHEMA!r}")
        parts = tuple(Part(**part) for part in values.pop("segments"))
        if not all(map(_is_part, parts)):
            raise ValueError("a segment is not one")
        manifest = Manifest(**{**values, "probe": tuple(values.get("probe", ())), "segments": parts})
    except FileNotFoundError:
        missing = "no relation graph here" if folder.is_dir() else "no such folder"
        raise InputError(f"{folder}: {missing}; `rapo graph build` makes one") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(f"{path}: no description of a relation graph: {error}") from error
    for part in parts:
        for name in _FILES:
            file = folder / "segments" / part.name / name
            size = file.stat().st_size if file.is_file() else None
            if size != part.files.get(name):
                found = "is missing" if size is None else f"has {size} bytes of {part.files.get(name)}"
                raise InputError(f"{file}: {found}; the graph is damaged")
    return manifest


def _is_part(part: Part) -> bool:
    def counts(values: Any, names: tuple[str, ...]) -> bool:
        return isinstance(values, dict) and set(names) <= set(values) and all(map(is_count, values.values()))

    def is_count(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**48

    named = isinstance(part.name, str) and _NAME.fullmatch(part.name) is not None
    return named and counts(part.nodes, NODE_TYPES) and counts(part.files, _FILES) and is_count(part.captions)


def load_graph(folder: Path) -> RelationGraph:
    """The relation graph of a folder. A graph of one segment keeps its embeddings on disk until they are used."""
    manifest = read_manifest(folder)
    try:
        return _load(folder, manifest)
    except (InputError, KeyError, IndexError, ValueError, RuntimeError, OverflowError) as error:
        if read_manifest(folder) != manifest:
            return load_graph(folder)  # segments were merged meanwhile
        if isinstance(error, InputError):
            raise
        raise InputError(f"{folder}: its arrays do not fit together; the graph is damaged ({error})") from error


def _load(folder: Path, manifest: Manifest) -> RelationGraph:
    import torch

    texts: dict[str, list[str]] = {kind: [] for kind in NODE_TYPES}
    arrays: dict[str, list[NDArray[Any]]] = {}
    for part in manifest.segments:
        where = folder / "segments" / part.name
        found = mapped(where / "tensors.safetensors")
        if lost := [name for name in _ARRAYS if name not in found]:
            raise InputError(f"{where / 'tensors.safetensors'}: has no {', '.join(lost)}; the graph is damaged")
        for kind, names in read_texts(where / "nodes.jsonl", part.nodes, found).items():
            texts[kind] += names
        for name, array in found.items():
            arrays.setdefault(name, []).append(array)

    def joined(name: str, axis: int, empty: tuple[int, ...], dtype: type) -> torch.Tensor:
        several = arrays.get(name) or [np.zeros(empty, dtype)]
        return torch.from_numpy(several[0] if len(several) == 1 else np.concatenate(several, axis))

    occurrence = {kind: joined(f"occurrence.{kind}", 1, (2, 0), np.int64) for kind in NODE_TYPES}
    edges = {}
    for kind in KINDS:
        width = len(texts[kind])
        edges[kind] = co_occurrence(occurrence["scene"], occurrence[kind], width)
        if f"edge.{kind}" in arrays:
            other = joined(f"edge.{kind}", 1, (3, 0), np.int64)
            edges[kind] = edge_sum(edges[kind], (other[:2], other[2]), width=width)
    graph = RelationGraph.of(
        texts=texts,
        x={kind: joined(f"x.{kind}", 0, (0, manifest.dimension), np.float32) for kind in NODE_TYPES},
        occurrence=occurrence,
        captions=manifest.captions,
        encoder=manifest.encoder,
        edges=edges,
    )
    graph.probe = manifest.probe
    return graph


def _untold(graph: RelationGraph, kind: str) -> NDArray[np.int64]:
    """Where a graph's edges differ from what its occurrences tell, (3, E): scene, modifier, difference of the count."""
    edge = graph.data["scene", "has", kind]
    width = len(graph.texts(kind))
    index, count = co_occurrence(graph.data["scene"].occurrence, graph.data[kind].occurrence, width)
    index, count = edge_sum((edge.edge_index, edge.count), (index, -count), width=width)
    return np.concatenate([index.cpu().numpy(), count.cpu().numpy()[None]])


def save_graph(graph: RelationGraph, folder: Path) -> None:
    """Write a graph as a new folder, whole or not at all.

    Its captions' texts are not known, so that `add` cannot tell if one of them comes again.

    Raises:
        InputError: the folder is there and not empty.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty")
    aside = folder.with_name(f".{folder.name}.{uuid4().hex[:8]}")
    try:
        manifest = Manifest(encoder=graph.encoder, dimension=graph.dimension, probe=graph.probe)
        segment = Segment(
            texts={kind: graph.texts(kind) for kind in NODE_TYPES},
            x={kind: graph.x(kind).cpu().numpy() for kind in NODE_TYPES},
            keys={kind: hash_keys(graph.texts(kind)) for kind in NODE_TYPES},
            occurrence={kind: graph.data[kind].occurrence.cpu().numpy() for kind in NODE_TYPES},
            captions=np.zeros(0, np.int64),
            first=dict.fromkeys(NODE_TYPES, 0),
            edges={kind: _untold(graph, kind) for kind in KINDS},
        )
        append(aside, manifest, segment, captions=graph.captions)
        if folder.is_dir():
            folder.rmdir()
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def append(
    folder: Path, manifest: Manifest, segment: Segment, *, captions: int | None = None, instead_of: Sequence[Part] = ()
) -> Manifest:
    """Write a segment and list it in place of others (which must be the last ones); the new manifest, already on disk.

    ``captions``: how many there are, where their hashes are not known.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = uuid4().hex[:12]
    part = Part(
        name=name,
        nodes={kind: len(segment.texts[kind]) for kind in NODE_TYPES},
        captions=len(segment.captions) if captions is None else captions,
        files=write_segment(folder / "segments" / name, segment),
    )
    kept = tuple(one for one in manifest.segments if one not in instead_of)
    manifest = replace(manifest, segments=(*kept, part))
    write_manifest(folder, manifest)
    for old in instead_of:
        shutil.rmtree(folder / "segments" / old.name, ignore_errors=True)
    return manifest


def remove_strays(folder: Path, manifest: Manifest) -> None:
    """Delete segments that the manifest does not list: a kill left them. Only who holds the folder's lock may."""
    listed = {part.name for part in manifest.segments}
    for stray in (folder / "segments").glob("*"):
        if stray.name not in listed:
            shutil.rmtree(stray, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace ``graph.json``."""
    values = {name: getattr(manifest, name) for name in ("schema", "encoder", "dimension", "probe")}
    values["segments"] = [
        {"name": p.name, "nodes": dict(p.nodes), "captions": p.captions, "files": dict(p.files)} for p in manifest.segments
    ]
    write_text_atomic(folder / "graph.json", json.dumps(values, indent=1) + "\n")
