"""One segment of a graph folder: what a batch of captions brought, on disk and as arrays. Written once, never changed.

``nodes.jsonl`` has one object a node, its type and its text: ``{"scene": "a calm sea"}``. ``tensors.safetensors`` has, for each
node type T with n new nodes and m occurrences:

* ``x.T`` (n, D) float32: the embeddings;
* ``occurrence.T`` (2, m) int64: node and caption, numbered through the whole graph;
* ``key.T`` (n,) int64, ascending: hashes of the texts, and ``node.T`` (n,) int64: whose they are;

and ``key.caption`` int64, ascending: hashes of its captions. A graph whose edges are not all told by its occurrences also has
``edge.T`` (3, e) int64 for each kind T: scene, modifier, and by how much their count differs from what the occurrences tell.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rapo_lightning.errors import InputError, StorageError
from rapo_lightning.retrieval.graph import NODE_TYPES
from rapo_lightning.retrieval.phrases import hash_keys

__all__ = ["Segment", "find", "mapped", "read_texts", "write_segment"]

Integers = NDArray[np.int64]

_DTYPES: Mapping[str, type] = {"F32": np.float32, "I64": np.int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """What captions add, by node type: texts, embeddings (n, D), their keys (n,), occurrences (2, m), edges (3, e)."""

    texts: Mapping[str, Sequence[str]]
    x: Mapping[str, NDArray[np.float32]]
    keys: Mapping[str, Integers]
    occurrence: Mapping[str, Integers]
    captions: Integers  # their hashes
    first: Mapping[str, int]  # the number of the first new node of each type
    edges: Mapping[str, Integers] = field(default_factory=dict)  # where they differ from the occurrences


def write_segment(folder: Path, segment: Segment) -> dict[str, int]:
    """Write a segment into a new folder, synced to disk; the sizes of its files in bytes."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    tensors: dict[str, NDArray[Any]] = {"key.caption": np.sort(segment.captions)}
    for kind in NODE_TYPES:
        order = np.argsort(segment.keys[kind], kind="stable")
        tensors[f"x.{kind}"] = np.ascontiguousarray(segment.x[kind], dtype=np.float32)
        tensors[f"occurrence.{kind}"] = np.ascontiguousarray(segment.occurrence[kind])
        tensors[f"key.{kind}"] = segment.keys[kind][order]
        tensors[f"node.{kind}"] = order.astype(np.int64) + segment.first[kind]
        if (edges := segment.edges.get(kind)) is not None and edges.size:
            tensors[f"edge.{kind}"] = np.ascontiguousarray(edges)
    lines = (json.dumps({kind: text}, ensure_ascii=False) for kind in NODE_TYPES for text in segment.texts[kind])
    sizes = {}
    try:
        folder.mkdir(parents=True)
        with (folder / "nodes.jsonl").open("w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.writelines(f"{line}\n" for line in lines)
        save_file(tensors, str(folder / "tensors.safetensors"))
        for name in ("nodes.jsonl", "tensors.safetensors"):
            with (folder / name).open("rb+") as file:
                os.fsync(file.fileno())
            sizes[name] = (folder / name).stat().st_size
            (folder / name).chmod(0o644)
    except BaseException as error:
        shutil.rmtree(folder, ignore_errors=True)  # what is half-written would keep a full disk full
        if isinstance(error, SafetensorError):  # has no error number
            raise StorageError(f"{folder}: cannot be written: {error}; once it can, the same command goes on") from error
        if isinstance(error, OSError):
            raise StorageError.of(folder, error) from error
        raise
    return sizes


def mapped(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a safetensors file as arrays that are read from disk where they are touched; writes stay in memory.

    Raises:
        InputError: the file is not there, is cut off, or is no safetensors file.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if 0 < length <= size - 8 else None
        if not isinstance(header, dict):
            raise ValueError("no header")
        arrays: dict[str, NDArray[Any]] = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            dtype, shape, (start, end) = _DTYPES[entry["dtype"]], tuple(entry["shape"]), entry["data_offsets"]
            if 8 + length + end > size:
                raise ValueError("cut off")
            if math.prod(shape) * np.dtype(dtype).itemsize != end - start:
                raise ValueError(f"{name} is not of the shape that it says")
            empty = end == start
            offset = 8 + length + start
            arrays[name] = np.zeros(shape, dtype) if empty else np.memmap(path, dtype, "c", offset=offset, shape=shape)
        return arrays
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); the graph is damaged") from error


def read_texts(path: Path, counts: Mapping[str, int], arrays: Mapping[str, NDArray[Any]]) -> dict[str, list[str]]:
    """The texts of a segment by node type, as many as ``counts`` says, and with the hashes that are among its ``arrays``.

    Raises:
        InputError: a line that is no node, not as many nodes as there should be, or a text that is another.
    """
    texts: dict[str, list[str]] = {kind: [] for kind in NODE_TYPES}
    number = 0
    try:
        with path.open(encoding="utf-8", errors="surrogatepass") as file:
            for line in file:
                number += 1
                ((kind, text),) = json.loads(line).items()
                texts[kind].append(text)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{path}:{number}: no node of a relation graph") from error
    found = {kind: len(names) for kind, names in texts.items()}
    if found != dict(counts):
        raise InputError(f"{path}: holds {found}, but should hold {dict(counts)}; the graph is damaged")
    for kind, names in texts.items():
        order = np.argsort(arrays[f"node.{kind}"])
        if (changed := np.flatnonzero(hash_keys(names) != np.asarray(arrays[f"key.{kind}"])[order])).size:
            raise InputError(f"{path}: the {kind} {names[changed[0]]!r} was another text when the graph was made; it is damaged")
    return texts


def find(wanted: Integers, keys: Integers, values: Integers | None = None) -> Integers:
    """For each wanted key the value at its place among the ascending ``keys``, -1 where it is not there.

    Without ``values`` its place. Touches a few entries for each wanted key, so that ``keys`` may lie on disk.
    """
    if not len(keys) or not len(wanted):
        return np.full(len(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found = np.asarray(keys[place]) == wanted
    return np.where(found, place if values is None else np.asarray(values[place]), -1).astype(np.int64)
