"""Adds captions to a graph folder in bounded memory: only phrases that are new are encoded, only what is new is written.

Whether a phrase or a caption is known is looked up in the sorted hashes of the segments on disk, in logarithmic time, so that a
few captions cost the same on a graph of any size. Small segments are merged now and then; large ones stay as they are. The
captions' style is renewed with each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning.errors import InputError, PartError
from rapo_lightning.protocols import TextEncoder
from rapo_lightning.retrieval.graph import KINDS, NODE_TYPES
from rapo_lightning.retrieval.identity import check_encoder, encoder_name, probe
from rapo_lightning.retrieval.merging import merge_small
from rapo_lightning.retrieval.phrases import hash_keys, key, tidy
from rapo_lightning.retrieval.segments import Segment, find, mapped
from rapo_lightning.retrieval.store import Manifest, append, read_manifest, remove_strays, write_manifest
from rapo_lightning.retrieval.style_files import GrowingStyle
from rapo_lightning.types import CaptionPhrases

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["Added", "add", "create", "locked"]

#: Captions that are added together; a segment holds at least so many where there are more.
BATCH = 32_768
#: Texts that are encoded at once, so that an addition can be stopped within seconds.
_PIECE = 8_192


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What adding came to: captions taken, known before (or given twice), without a scene or a modifier; new nodes by type."""

    captions: int = 0
    duplicates: int = 0
    empty: int = 0
    nodes: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(NODE_TYPES, 0))

    def __add__(self, other: Added) -> Added:
        return Added(
            captions=self.captions + other.captions,
            duplicates=self.duplicates + other.duplicates,
            empty=self.empty + other.empty,
            nodes={kind: self.nodes[kind] + other.nodes[kind] for kind in NODE_TYPES},
        )


def create(folder: Path, encoder: TextEncoder) -> Manifest:
    """An empty graph in a new folder."""
    vector = probe(encoder)
    manifest = Manifest(encoder=encoder_name(encoder), dimension=len(vector), probe=vector)
    write_manifest(folder, manifest)
    return manifest


def add(
    folder: Path,
    captions: Iterable[CaptionPhrases],
    encoder: TextEncoder,
    *,
    batch: int = BATCH,
    listen: Callable[[Added], None] | None = None,
    pause: Callable[[], None] = lambda: None,
) -> Added:
    """Add captions to the graph of a folder; what was there stays as it was if this is interrupted.

    Args:
        folder: a graph, from `create` or `rapo graph build`.
        captions: in any number; they are taken ``batch`` by ``batch``.
        encoder: the one that the graph was made with.
        batch: captions in memory at once.
        listen: told of the sum after each batch.
        pause: called now and then between two pieces of work; what it raises ends the addition, as an interruption does.

    Raises:
        InputError: another encoder, or a folder that another process is adding to.
    """
    with locked(folder):
        manifest = read_manifest(folder)
        check_encoder(encoder, graph=str(folder), name=manifest.encoder, known=manifest.probe, dimension=manifest.dimension)
        remove_strays(folder, manifest)
        style = GrowingStyle(folder, captions=manifest.captions)
        total = Added()
        rest = iter(captions)
        while chunk := list(islice(rest, batch)):
            manifest, added = _add(folder, manifest, chunk, encoder, pause, style)
            manifest = merge_small(folder, manifest)
            total += added
            if listen is not None:
                listen(total)
    return total


def _add(
    folder: Path,
    manifest: Manifest,
    captions: Sequence[CaptionPhrases],
    encoder: TextEncoder,
    pause: Callable[[], None],
    style: GrowingStyle,
) -> tuple[Manifest, Added]:
    """The graph with captions added, the style with them, and what that came to."""
    whole = [caption for caption in captions if caption.scenes and any(_phrases(caption, kind) for kind in KINDS)]
    known = _Known(folder, manifest)
    hashes = hash_keys(caption.caption for caption in whole)
    fresh = known.look_up("key.caption", hashes, None) < 0
    fresh &= np.isin(np.arange(len(hashes)), np.unique(hashes, return_index=True)[1])
    taken = [caption for caption, new in zip(whole, fresh, strict=True) if new]
    added = Added(duplicates=len(whole) - len(taken), empty=len(captions) - len(whole))
    if not taken:
        return manifest, added

    texts: dict[str, list[str]] = {}
    keys: dict[str, NDArray[np.int64]] = {}
    occurrence: dict[str, NDArray[np.int64]] = {}
    first = manifest.nodes
    for kind in NODE_TYPES:
        names: dict[str, int] = {}
        said: list[str] = []
        pairs: list[tuple[int, int]] = []
        for number, caption in enumerate(taken, start=manifest.captions):
            for phrase in _phrases(caption, kind):
                place = names.setdefault(key(phrase), len(names))
                if place == len(said):
                    said.append(tidy(phrase))
                pairs.append((place, number))
        hashed = hash_keys(names)
        nodes = known.look_up(f"key.{kind}", hashed, f"node.{kind}")
        new = nodes < 0
        nodes[new] = np.arange(int(new.sum())) + first[kind]
        array = np.array(pairs, np.int64).reshape(-1, 2)
        occurrence[kind] = np.stack([nodes[array[:, 0]], array[:, 1]])
        texts[kind] = [text for text, is_new in zip(said, new, strict=True) if is_new]
        keys[kind] = hashed[new]

    vectors = _encoded(encoder, texts, manifest.dimension, pause)
    segment = Segment(texts=texts, x=vectors, keys=keys, occurrence=occurrence, captions=hashes[fresh], first=first)
    added += Added(captions=len(taken), nodes={kind: len(texts[kind]) for kind in NODE_TYPES})
    # The manifest decides: until it is replaced, neither the segment nor the style is the graph's.
    style.prepare((caption.caption for caption in taken), manifest.captions + len(taken))
    manifest = append(folder, manifest, segment)
    style.settle(manifest.captions)
    return manifest, added


def _encoded(
    encoder: TextEncoder, texts: Mapping[str, Sequence[str]], dimension: int, pause: Callable[[], None]
) -> dict[str, NDArray[np.float32]]:
    """Embeddings by node type; a text of several types is encoded once."""
    row: dict[str, int] = {}
    for kind in NODE_TYPES:
        for text in texts[kind]:
            row.setdefault(text, len(row))
    vectors = np.empty((len(row), dimension), np.float32)
    rest = iter(row)
    for first in range(0, len(row), _PIECE):
        pause()
        piece = list(islice(rest, _PIECE))
        found = encoder.encode(piece).cpu().numpy()
        if found.shape != (len(piece), dimension) or not np.isfinite(found).all():
            raise PartError(f"{encoder_name(encoder)}: gave no {len(piece)} finite vectors of {dimension} numbers")
        vectors[first : first + _PIECE] = found
    return {kind: vectors[[row[text] for text in texts[kind]]].reshape(-1, dimension) for kind in NODE_TYPES}


def _phrases(caption: CaptionPhrases, kind: str) -> list[str]:
    lists = {
        "scene": caption.scenes,
        "subject": caption.subjects,
        "action": caption.actions,
        "atmosphere": caption.atmosphere,
    }
    return list(dict.fromkeys(phrase for phrase in lists[kind] if phrase.strip()))


class _Known:
    """The hashes of all segments of a graph, on disk."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self._segments = [mapped(folder / "segments" / part.name / "tensors.safetensors") for part in manifest.segments]

    def look_up(self, keys: str, wanted: NDArray[np.int64], values: str | None) -> NDArray[np.int64]:
        """For each wanted hash what stands under ``values`` at its place, -1 where no segment has it."""
        found = np.full(len(wanted), -1, np.int64)
        for arrays in self._segments:
            missing = np.flatnonzero(found < 0)
            found[missing] = find(wanted[missing], arrays[keys], None if values is None else arrays[values])
        return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a graph folder: one process adds to it at a time; who holds it may take it again.

    Raises:
        InputError: another process holds it, or it is not there.
    """
    from filelock import FileLock, Timeout

    if not folder.is_dir():
        read_manifest(folder)  # says what is wrong
    lock = FileLock(folder / ".lock", is_singleton=True)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(f"{folder}: another process is adding to this graph") from None
    try:
        yield
    finally:
        lock.release()
