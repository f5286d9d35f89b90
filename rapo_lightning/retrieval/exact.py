"""Scalar products that are the same on every machine, and how far faster ones may stray from them.

A matrix product's last bits depend on the batch, the device and the library. `scores` does not add floating-point numbers at all:
a product of two float32 values is exact in float64, is put on a grid of 2**-60, and whole numbers are added, in any order. So a
score is one whole number, the same bit for bit wherever and in whatever company it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from rapo_lightning.errors import InputError

__all__ = ["UNIT", "check_lengths", "drift", "full_precision", "scores", "similarities"]

#: A score of 1.0, as a whole number.
UNIT = 2**60
#: How far a vector's length may be from 1.
TOLERANCE = 1e-3
#: Products at once: 3 arrays of 8 bytes each; on a CPU they should stay in its cache.
_AT_ONCE = {"cpu": 2**18, "cuda": 2**26}


def scores(left: Tensor, right: Tensor, *, pairs: tuple[Tensor, Tensor]) -> Tensor:
    """Scalar products of float32 vectors of length 1, in units of 1 / `UNIT`.

    Args:
        left: (L, D), on the device that computes.
        right: (R, D), there or elsewhere; only the rows that are named are moved.
        pairs: the rows of ``left`` and of ``right`` to be multiplied, (P,) int64 each, on ``left``'s device.

    Returns:
        (P,) int64. Each product is rounded to 2**-60, so a score is off by at most D * 2**-61.
    """
    device = left.device
    found = torch.empty(len(pairs[0]), dtype=torch.int64, device=device)
    step = max(1, _AT_ONCE.get(device.type, 2**24) // max(1, left.shape[1]))
    for first in range(0, len(found), step):
        ours, theirs = (rows[first : first + step] for rows in pairs)
        products = left.index_select(0, ours).double().mul_(_rows(right, theirs))
        found[first : first + step] = products.mul_(float(UNIT)).round_().long().sum(1)
    return found


def similarities(found: Tensor) -> Tensor:
    """Scores as float32 numbers in [-1, 1] (vectors are of length 1 only up to rounding, so a product may exceed it)."""
    return (found.double() / UNIT).float().clamp(-1.0, 1.0)


def drift(dimension: int, dtype: torch.dtype = torch.float32) -> float:
    """The most that a product by a matrix library in float32 or float16 (summed in float32) is away from the exact one.

    Vectors have length 1 up to `TOLERANCE`, so the sum of all |a_i b_i| is at most 1 (Cauchy and Schwarz). Summing D products in
    any order errs by D units of rounding; twice that, and for half precision four times, allows for products that are rounded
    first and for the shorter sums inside tensor cores. Half precision also rounds both factors and the result (2**-11 each).
    """
    most = 1.01 * dimension * 2.0**-23
    if dtype == torch.float16:
        most = 1.01 * (3 * 2.0**-11 + dimension * 2.0**-22 + dimension**0.5 * 2.0**-24)
    return most


@contextmanager
def full_precision(device: torch.device | str) -> Iterator[None]:
    """Matrix products in the type that they are given, whatever the process allows elsewhere (TF32, bfloat16, autocast)."""
    newer = (torch.backends.cuda.matmul, torch.backends.mkldnn.matmul)  # type: ignore[attr-defined]
    half = torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
    try:
        before: str | None = torch.get_float32_matmul_precision()
    except RuntimeError:  # It was set by torch's newer switches, and only they may be used then.
        before = None
    newer_before = [switch.fp32_precision for switch in newer]
    try:
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False
        if before is not None:
            torch.set_float32_matmul_precision("highest")
        else:
            for switch in newer:
                switch.fp32_precision = "ieee"
        with torch.autocast(torch.device(device).type, enabled=False):
            yield
    finally:
        torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = half
        if before is not None:
            torch.set_float32_matmul_precision(before)
        else:
            for switch, value in zip(newer, newer_before, strict=True):
                switch.fp32_precision = value


def check_lengths(vectors: Tensor, *, first: int, what: str) -> None:
    """Raise `InputError`, naming the row (counted from ``first``), when a vector is not of length 1 or not finite."""
    wrong = ~((torch.linalg.vector_norm(vectors, dim=1) - 1).abs() <= TOLERANCE)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0])
        length = float(torch.linalg.vector_norm(vectors[row]))
        raise InputError(f"{what}: row {first + row} has the length {length:.4g}; embeddings must be finite and of length 1")


def _rows(vectors: Tensor, rows: Tensor) -> Tensor:
    return vectors.index_select(0, rows.to(vectors.device)).to(rows.device)
