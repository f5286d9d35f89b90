"""The three tables of the published graph, places, scenarios and verbs: where each lies, and how it is read and checked."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rapo_lightning.errors import InputError, PartError
from rapo_lightning.retrieval.graph_data.json_files import read_matrix, read_object
from rapo_lightning.retrieval.phrases import key

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from rapo_lightning.protocols import TextEncoder

__all__ = ["PLACE", "SCENARIO", "TABLES", "VERB", "Nodes", "Table", "merge_aliases", "normalise", "read_nodes"]

#: A vector this near to length 1 is left as it is, to the bit.
_UNIT = 1e-6
_ROWS = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A kind of published text: its ``word``, its ``count`` in ``data_info.json``, its files, and which node types it holds.

    It is read as the last of ``kinds``; ``graph`` is the file of its edges to places.
    """

    word: str
    count: str
    embeddings: str
    kinds: tuple[str, ...]
    graph: str = ""

    @property
    def kind(self) -> str:
        """The node type that it is read as."""
        return self.kinds[-1]

    @property
    def index(self) -> str:
        """The file of its texts and their numbers."""
        return f"{self.word}_to_idx.json"

    @property
    def sentences(self) -> str:
        """The file of its texts and the captions that each stands in."""
        return f"{self.word}_in_sentence.json"


PLACE = Table(word="place", count="p_idx", embeddings="place_embed.json", kinds=("scene",))
SCENARIO = Table(
    word="scenario",
    count="s_idx",
    embeddings="scenario_words_embed.json",
    kinds=("subject", "atmosphere"),
    graph="graph_place_scene.graphml",
)
VERB = Table(word="verb", count="v_idx", embeddings="verb_words_embed.json", kinds=("action",), graph="graph_place_verb.graphml")
TABLES = (PLACE, SCENARIO, VERB)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nodes:
    """A table in memory: ``texts`` by node, ``x`` (N, D), ``occurrence`` (2, M), node and caption, sorted by node.

    ``number`` finds the node of each published text; it has more texts than there are nodes once aliases are merged.
    """

    texts: list[str]
    x: NDArray[np.float32]
    occurrence: NDArray[np.int64]
    number: dict[str, int]


def read_nodes(
    folder: Path,
    table: Table,
    *,
    count: int,
    captions: int | None,
    encoder: TextEncoder | None,
    notes: list[str],
) -> Nodes:
    """A table of ``count`` texts; with no ``captions`` there are no occurrences to read; missing vectors come from ``encoder``.

    Raises:
        InputError: by file, and row or text. PartError: the encoder returned something else than a vector for each text.
    """
    path = folder / table.index
    found = read_object(path)
    if len(found) != count:
        raise InputError(f"{path}: {len(found)} texts, but {table.count} of data_info.json is {count}")
    taken = [False] * count
    for text, number in found.items():
        if type(number) is not int or not 0 <= number < count or taken[number]:
            raise InputError(f"{path}: {text!r} has the index {number!r}; each of 0 to {count - 1} must stand once")
        taken[number] = True
    texts = sorted(found, key=found.__getitem__)
    occurrence = np.empty((2, 0), np.int64) if captions is None else _occurrence(folder / table.sentences, texts, captions)
    path = folder / table.embeddings
    if path.exists():
        x = read_matrix(path, count)
    else:
        x = _encode(path, texts, encoder)
        notes.append(f"{path}: missing; {count} texts were encoded anew")
    if changed := normalise(x, str(path)):
        notes.append(f"{path}: {changed} of {count} vectors were not of length 1 and are now")
    return Nodes(texts=texts, x=x, occurrence=occurrence, number={text: number for number, text in enumerate(texts)})


def normalise(x: NDArray[np.float32], where: str) -> int:
    """Divide rows (N, D) by their length in place, where it is not 1 to 1e-6; return how many.

    Raises:
        InputError: a row of zeros, or of what is no finite number.
    """
    changed = 0
    for first in range(0, len(x), _ROWS):
        block = x[first : first + _ROWS].astype(np.float64)
        lengths = np.sqrt(np.einsum("nd,nd->n", block, block))
        if (bad := np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0)))).size:
            raise InputError(f"{where}: row {first + int(bad[0])}: a vector of length {lengths[bad[0]]}")
        far = np.abs(lengths - 1) > _UNIT
        x[first : first + _ROWS][far] = block[far] / lengths[far, None]
        changed += int(far.sum())
    return changed


def merge_aliases(nodes: Nodes) -> Nodes:
    """Texts of one `phrases.key` as one node: the first one's text and vector, the captions of all, each once."""
    seen: dict[str, int] = {}
    node = np.array([seen.setdefault(key(text), len(seen)) for text in nodes.texts], dtype=np.int64)
    first, members = np.unique(node, return_index=True, return_counts=True)[1:]
    where = np.stack([node[nodes.occurrence[0]], nodes.occurrence[1]])
    united = members[where[0]] > 1
    where = np.concatenate([where[:, ~united], np.unique(where[:, united], axis=1)], axis=1)
    return Nodes(
        texts=[nodes.texts[number] for number in first],
        x=nodes.x[first],
        occurrence=where[:, np.argsort(where[0], kind="stable")],
        number={text: int(number) for text, number in zip(nodes.texts, node)},
    )


def _occurrence(path: Path, texts: list[str], captions: int) -> NDArray[np.int64]:
    found = read_object(path)
    if odd := found.keys() ^ set(texts):
        raise InputError(f"{path}: {min(odd)!r} stands either here or in the file of indices, not in both")
    for text, numbers in found.items():
        if type(numbers) is not list or not all(type(number) is int and 0 <= number < captions for number in numbers):
            raise InputError(f"{path}: {text!r}: not a list of captions from 0 to {captions - 1}")
    nodes = np.repeat(np.arange(len(texts)), [len(found[text]) for text in texts])
    numbers = np.fromiter(chain.from_iterable(found[text] for text in texts), np.int64, len(nodes))
    return np.stack([nodes.astype(np.int64), numbers])


def _encode(path: Path, texts: list[str], encoder: TextEncoder | None) -> NDArray[np.float32]:
    if encoder is None:
        raise InputError(f"{path}: missing, and there is no encoder to make it anew")
    x = encoder.encode(texts).detach().cpu().float().numpy().copy()
    if x.ndim != 2 or len(x) != len(texts):
        raise PartError(f"the sentence encoder returned an array of shape {x.shape} for {len(texts)} texts")
    return x
