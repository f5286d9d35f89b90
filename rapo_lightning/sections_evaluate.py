"""What an ``evaluate`` configuration may hold."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rapo_lightning.sections import Part, Section

__all__ = ["EvaluateConfig", "LimitsSection", "LongSection"]


class LimitsSection(Section):
    """What decoding one video may take before it becomes an error row."""

    frames: int = Field(default=20_000, ge=2)
    gigabytes: float = Field(default=8.0, gt=0)
    seconds: float = Field(default=300.0, gt=0)
    memory_gigabytes: float = Field(default=4.0, gt=0)


class LongSection(Section):
    """VBench-Long: ``custom`` videos are of no prompts of VBench's; ``lengths`` and ``tables`` are by dimension."""

    custom: bool = False
    lengths: dict[str, float] = Field(default_factory=dict)
    w_inclip: float = Field(default=1.0, ge=0, le=1)
    w_clip2clip: float = Field(default=0.0, ge=0, le=1)
    tables: dict[str, str] = Field(default_factory=dict)
    static_filter: bool = False


class EvaluateConfig(Section):
    """One run of ``rapo evaluate``.

    ``input``: a run folder, a manifest, VBench's list with videos, a folder of videos or one video, relative to the configuration
    file; with ``suite`` a folder of videos that are named as that benchmark wants it. ``metrics``: names of the catalogue
    (``python -m evaluation metrics``). ``own``: metrics by class path. ``judge``: whom judged metrics ask.
    ``weights``: files by the weights' names. ``devices``: processes, each on a GPU of its own.
    """

    schema_version: Literal[1] = 1
    input: str
    suite: str | None = None
    suite_path: str | None = None
    prompt: str | None = None
    prompt_file: str | None = None
    metrics: list[str] = Field(default_factory=list)
    own: dict[str, Part] = Field(default_factory=dict)
    judge: Part | None = None
    protocol: Literal["auto", "vbench", "vbench_long"] = "auto"
    reduction: Literal["single", "multi"] = "single"
    precision: Literal["fp32", "vbench"] = "fp32"
    imaging_quality_mode: Literal["longer", "shorter", "shorter_centercrop", "None"] = "longer"
    fixed: bool = False
    batch: int | None = Field(default=None, ge=1)
    allow_proxy: bool = False
    fill_missing_zero: bool = False
    weights: dict[str, str] = Field(default_factory=dict)
    long: LongSection = Field(default_factory=LongSection)
    limits: LimitsSection = Field(default_factory=LimitsSection)
    device: str = "auto"
    devices: int = Field(default=1, ge=1)
    fail_under: list[Any] = Field(default_factory=list)
