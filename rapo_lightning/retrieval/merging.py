"""Makes one of many small segments of a graph folder, so that it stays quick to open however often it is added to."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES
from rapo_lightning.retrieval.segments import Segment, mapped, read_texts
from rapo_lightning.retrieval.store import Manifest, Part, append

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["merge_small"]

#: So many segments of like size become one: each is less than so many times as large as the smallest of them, in bytes.
_MERGED, _LIKE = 8, 8
#: Larger ones stay as they are.
_LARGE = 256e6


def merge_small(folder: Path, manifest: Manifest) -> Manifest:
    """The graph with its last segments made one, once enough of them are of like size: what is added is copied a few times in
    all, however many additions there are."""
    small: list[Part] = []
    for part in reversed(manifest.segments):
        sizes = [sum(one.files.values()) for one in (part, *small)]
        if sizes[0] > _LARGE or max(sizes) > _LIKE * min(sizes):
            break
        small.insert(0, part)
    if len(small) < _MERGED:
        return manifest
    arrays: dict[str, list[NDArray[Any]]] = {}
    texts: dict[str, list[str]] = {kind: [] for kind in NODE_TYPES}
    keys: dict[str, list[NDArray[np.int64]]] = {kind: [] for kind in NODE_TYPES}
    for part in small:
        where = folder / "segments" / part.name
        found = mapped(where / "tensors.safetensors")
        for kind, names in read_texts(where / "nodes.jsonl", part.nodes, found).items():
            texts[kind] += names
        for name, array in found.items():
            arrays.setdefault(name, []).append(array)
        for kind in NODE_TYPES:
            keys[kind].append(np.asarray(found[f"key.{kind}"])[np.argsort(found[f"node.{kind}"])])
    before = Counter[str]()
    for part in manifest.segments[: -len(small)]:
        before.update(part.nodes)
    segment = Segment(
        texts=texts,
        x={kind: np.concatenate(arrays[f"x.{kind}"]) for kind in NODE_TYPES},
        keys={kind: np.concatenate(keys[kind]) for kind in NODE_TYPES},
        occurrence={kind: np.concatenate(arrays[f"occurrence.{kind}"], axis=1) for kind in NODE_TYPES},
        captions=np.concatenate(arrays["key.caption"]),
        first={kind: before[kind] for kind in NODE_TYPES},
        edges={kind: np.concatenate(arrays[f"edge.{kind}"], axis=1) for kind in KINDS if f"edge.{kind}" in arrays},
    )
    return append(folder, manifest, segment, captions=sum(part.captions for part in small), instead_of=small)
