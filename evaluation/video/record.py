"""One line of the manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Record"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A video and what it should show.

    Attributes:
        index: its place in the manifest; sums are taken in this order.
        video: the file.
        prompt: the original prompt, never the optimised one: every metric scores against it.
        prompt_id: what pairs the variants of one prompt; resampling draws prompts.
        variant: "original", "optimised", or any other name of an arm.
        prompt_optimised: what the video was made from, for the report.
        seed: of the video; variants are paired by prompt_id and seed.
        sample: which of a prompt's videos, from 0 (the manifest's ``index``).
        dimensions: the metrics that this video is for; empty: every one.
        auxiliary_info: what a dimension needs beside the prompt, by the dimension's name.
    """

    index: int
    video: str = ""
    prompt: str = ""
    prompt_id: str = ""
    variant: str = "original"
    prompt_optimised: str | None = None
    seed: int | None = None
    sample: int = 0
    dimensions: tuple[str, ...] = ()
    auxiliary_info: Mapping[str, Any] = field(default_factory=dict)
