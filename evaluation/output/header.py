"""What the rows of an evaluation do not say of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["Header"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """How an evaluation was asked for.

    Attributes:
        protocol: "vbench" or "vbench_long".
        reduction: how videos become one number; precision: "fp32" or "vbench".
        metrics: that were asked for, in the order in which they are shown; metrics of rows that it lacks follow.
        asked: how many videos each (variant, metric) was asked for, those of ``missing_files`` too; from it ``n_missing``, the
            number of those without a row, is made. Empty: as many as there are rows.
        missing_files: files that a suite of prompts wants and that are not there.
        notes: what is to be said with the results: what is odd about the input, or the protocol.
    """

    protocol: str = "vbench"
    reduction: Literal["single", "multi"] = "single"
    precision: str = "fp32"
    metrics: tuple[str, ...] = ()
    asked: Mapping[tuple[str, str], int] = field(default_factory=dict)
    missing_files: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
