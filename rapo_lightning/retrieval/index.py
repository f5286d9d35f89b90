"""Exact search for the vectors most similar to a query, on any device and for matrices larger than its memory.

`VectorIndex.search` finds candidates by fast matrix products, chunk by chunk, then gives those alone their exact scores
(`rapo_lightning.retrieval.exact`). A query is settled once no other vector can come before its last answer, given how far a fast
product may stray; until then it gets more candidates. So answers are the same, bit for bit, for any batch, device and engine.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, final, get_args

import numpy as np
import torch
from torch import Tensor

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.exact import UNIT, check_lengths, drift, full_precision, scores, similarities

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Engine", "VectorIndex"]

#: ``torch`` works on any device; ``faiss`` (``IndexFlatIP``) on the CPU, with a copy of all vectors of its own.
Engine = Literal["torch", "faiss"]

#: Vectors whose best fast product is looked at first, as one.
_BLOCK = 128
#: Candidates beyond those asked for.
_SPARE = 13
#: Products that are held at once, and queries.
_TILE = {"cpu": 2**21, "cuda": 2**30}
_QUERIES = {"cpu": 256, "cuda": 2048}


@final
class VectorIndex:
    """Vectors to be searched by cosine.

    Args:
        vectors: (N, D) float32, each of length 1, where they may stay: in a device's memory, in main memory or memory-mapped.
        device: what computes; the vectors' own when none is given. Vectors that lie elsewhere visit it in chunks. (For "mps",
            which lacks float64, the CPU computes.)
        engine: which library proposes candidates; the answers are the same.
        rows: how many vectors are looked at at once, at most; by default what fits a cache (CPU) or two gigabytes (GPU).

    Float16 proposes on CUDA (a float16 copy stays beside vectors that lie there), float32 elsewhere; neither shows in answers.

    Raises:
        InputError: another type or shape; with the first search that sees it, a vector that is not finite or not of length 1.
    """

    def __init__(
        self,
        vectors: Tensor | NDArray[np.float32],
        *,
        device: torch.device | str | None = None,
        engine: Engine = "torch",
        rows: int | None = None,
    ) -> None:
        if vectors.ndim != 2 or vectors.dtype not in (torch.float32, np.float32):
            raise InputError(f"index: vectors must be (N, D) float32, not {tuple(vectors.shape)} {vectors.dtype}")
        if rows is not None and rows < 1:
            raise ValueError(f"rows is {rows}; it must be at least 1")
        if engine not in get_args(Engine):
            raise ValueError(f"engine is {engine!r}; it must be one of {', '.join(get_args(Engine))}")
        self._vectors = vectors if isinstance(vectors, Tensor) else _shared(vectors)
        where = torch.device(device or self._vectors.device)
        if where == torch.device(self._vectors.device.type):  # without a number
            where = self._vectors.device
        self._device = torch.device("cpu") if engine == "faiss" or where.type == "mps" else where
        self._engine = engine
        self._rows = rows
        self._checked = 0
        self._half: Tensor | None = None
        self._faiss: Any = None

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        return int(self._vectors.shape[1])

    def search(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """The most similar vectors of each query, best first, ties by the lower index.

        Args:
            queries: (Q, D) float32, each of length 1, on any device.
            k: how many are wanted; K = min(k, N).

        Returns:
            Cosine similarities (Q, K) float32 in [-1, 1] and indices (Q, K) int64, on the index's device.

        Raises:
            InputError: queries of another shape or type, or not of length 1.
        """
        found, rows = self.ranked(queries, k)
        return similarities(found), rows

    def ranked(self, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """As `search`, but with scores (Q, K) int64 in units of 1 / `exact.UNIT`, by which answers are ranked."""
        if queries.ndim != 2 or queries.shape[1] != self.dimension or queries.dtype != torch.float32:
            shape = tuple(queries.shape)
            raise InputError(f"index: queries must be (Q, {self.dimension}) float32, not {shape} {queries.dtype}")
        if k < 0:
            raise ValueError(f"k is {k}; it cannot be negative")
        k = min(k, len(self))
        queries = queries.to(self._device)
        with torch.inference_mode(), full_precision(self._device):
            check_lengths(queries, first=0, what="query")
            if k and len(queries):
                dtype = torch.float16 if self._device.type == "cuda" else torch.float32
                found, rows = self._settle(queries, k, min(len(self), k + _SPARE), dtype)
            else:
                found, rows = queries.new_empty((2, len(queries), k), dtype=torch.int64)
        return found.clone(), rows.clone()  # outside of inference mode, so that they are usual tensors

    def _settle(self, queries: Tensor, k: int, many: int, dtype: torch.dtype) -> Tensor:
        """Scores and rows (2, Q, k) of the best, from ``many`` candidates and more where these leave a doubt."""
        block = _QUERIES.get(self._device.type, 1024)
        tried = [self._try(some, k, many, dtype) for some in queries.split(block)]
        best = torch.cat([part for part, _ in tried], dim=1)
        if many < len(self):
            # Looked at once for all: each look waits for the device.
            (doubtful,) = torch.nonzero(torch.cat([doubts for _, doubts in tried]), as_tuple=True)
            more = min(len(self), 4 * many)
            for some in doubtful.split(max(1, 2**22 // more)) if len(doubtful) else ():
                best[:, some] = self._settle(queries[some], k, more, torch.float32)
        return best

    def _try(self, queries: Tensor, k: int, many: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Scores and rows (2, Q, k) of the best of ``many`` candidates, and whether others might be better, (Q,)."""
        fast, rows = self._propose(queries, many, dtype)
        rows = rows.sort(dim=1).values
        pairs = torch.arange(len(queries), device=rows.device).repeat_interleave(many), rows.flatten()
        found = scores(queries, self._vectors, pairs=pairs).view_as(rows)
        found, order = found.sort(dim=1, descending=True, stable=True)
        best = torch.stack([found[:, :k], rows.gather(1, order[:, :k])])
        others_at_most = fast.amin(dim=1).double() + drift(self.dimension, dtype)
        return best, found[:, k - 1].double() / UNIT <= others_at_most

    def _propose(self, queries: Tensor, many: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Fast products and rows (Q, many), in any order: no other vector's fast product is larger than the least of them."""
        if self._engine == "faiss":
            found, rows = self._faiss_index().search(np.ascontiguousarray(queries.numpy()), many)
            return torch.from_numpy(found), torch.from_numpy(rows)
        asked = queries.to(dtype)
        best: tuple[Tensor, Tensor] | None = None
        for first, last in self._ranges(len(queries)):
            value, row = _largest(asked @ self._chunk(first, last, dtype).T, many)
            row += first
            if best is not None:
                value, row = torch.cat([best[0], value], dim=1), torch.cat([best[1], row], dim=1)
                value, order = value.topk(min(many, value.shape[1]), dim=1, sorted=False)
                row = row.gather(1, order)
            best = value, row
        assert best is not None
        return best

    def _ranges(self, queries: int) -> Iterator[tuple[int, int]]:
        """Chunks of rows: whole blocks, as many as the tile holds, then the rest."""
        step = _TILE.get(self._device.type, 2**24) // max(1, queries)
        step = max(1, min(step, self._rows or step))
        step = step // _BLOCK * _BLOCK or step
        whole = len(self) // _BLOCK * _BLOCK
        for begin, end in ((0, whole), (whole, len(self))):
            for first in range(begin, end, step):
                yield first, min(first + step, end)

    def _chunk(self, first: int, last: int, dtype: torch.dtype) -> Tensor:
        """Some rows on the computing device, looked at for wrong lengths when they are first seen."""
        if dtype == torch.float16 and self._vectors.device == self._device:
            if self._half is None:
                check_lengths(self._vectors, first=0, what="index")
                self._half, self._checked = self._vectors.half(), len(self)
            return self._half[first:last]
        rows = self._vectors[first:last].to(self._device)
        if last > self._checked:
            check_lengths(rows, first=first, what="index")
            self._checked = last
        return rows.to(dtype)

    def _faiss_index(self) -> Any:
        if self._faiss is None:
            try:
                import faiss
            except ImportError as error:
                raise InputError('the faiss engine needs faiss: pip install "rapo-lightning[faiss]"') from error
            index = faiss.IndexFlatIP(self.dimension)
            for first, last in self._ranges(1):
                index.add(np.ascontiguousarray(self._chunk(first, last, torch.float32).numpy()))
            self._faiss = index
        return self._faiss


def _largest(fast: Tensor, many: int) -> tuple[Tensor, Tensor]:
    """The largest ``many`` of each row and their columns (fewer where there are fewer columns), in any order.

    Blocks are ranked by their largest first: the best ``many`` values lie in at most so many blocks, and one pass finds these. A
    block's columns lie far apart, so that neighbours in memory belong to neighbouring blocks: a GPU reads them together.
    """
    columns = fast.shape[1]
    if columns % _BLOCK or columns // _BLOCK <= many:
        value, where = fast.topk(min(many, columns), dim=1, sorted=False)
        return value, where
    blocks = fast.view(len(fast), _BLOCK, -1)
    top = blocks.amax(dim=1).topk(many, dim=1, sorted=False).indices
    inside = blocks.gather(2, top[:, None].expand(-1, _BLOCK, -1)).flatten(1)
    value, where = inside.topk(many, dim=1, sorted=False)
    return value, where // many * blocks.shape[2] + top.gather(1, where % many)


def _shared(vectors: NDArray[np.float32]) -> Tensor:
    """A tensor on the array's own memory, which is only read here; a memory-mapped file stays on the disk."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(vectors)
