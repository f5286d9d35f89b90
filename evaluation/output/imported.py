"""Results of VBench's from elsewhere, for what is missing in the totals: ``--import [variant:]file``.

from evaluation.output.imported import read_imported
summarise(rows, header, imported=read_imported(["optimised:results_eval_results.json"], ["original", "optimised"]))
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from evaluation.errors import InputError
from evaluation.output.vbench import read_values

__all__ = ["read_imported"]


def read_imported(texts: Iterable[str], variants: Sequence[str]) -> dict[str, dict[str, float]]:
    """Values by variant and dimension; of two files for one variant the later one counts.

    A name before a colon is a variant if there is one of that name, else part of the file's.

    Raises:
        InputError: a file is none of VBench's results, or there are several variants and it is not said whose they are.
    """
    found: dict[str, dict[str, float]] = {}
    for text in texts:
        variant, _, file = text.partition(":")
        if variant not in variants or not file:
            if len(variants) != 1:
                names = ", ".join(variants)
                raise InputError(f"--import {text}: whose results are they? Give variant:file; the variants are {names}")
            variant, file = variants[0], text
        found.setdefault(variant, {}).update(read_values(file))
    return found
