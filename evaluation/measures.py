"""The metrics of a job, built, with the weights behind each; all that is missing is told before anything runs."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.catalog.entry import Entry
from evaluation.catalog.table import entry, load
from evaluation.dimensions import DIMENSIONS
from evaluation.errors import EvaluationError, InputError, WeightsError
from evaluation.job import Job, Long
from evaluation.video.record import Record
from evaluation.weights.lookup import Found, find, provenance

if TYPE_CHECKING:
    from evaluation.metrics.base import VideoMetric
    from evaluation.towers import Towers
    from evaluation.video.clip import Clip

__all__ = ["Measure", "build", "measures", "needed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """A metric of a job with the weights that it will use.

    Attributes:
        id: its name in results; VBench's dimensions end in ``.long`` under VBench-Long.
        entry: of the catalogue; None for one of the job's own.
        backbone, revision, sha256: of its weights, several joined with "+".
        licences: to be shown.
        settings: what else decides its values.
    """

    id: str
    entry: Entry | None
    backbone: str = ""
    revision: str = ""
    sha256: str = ""
    licences: tuple[str, ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def frames(self) -> str:
        """Its frame policy."""
        return str(self.settings.get("frames") or (self.entry.frames if self.entry else "all"))

    @property
    def dimension(self) -> str | None:
        """The benchmark's dimension that it measures; None: it is no benchmark's."""
        if self.entry and self.entry.dimension:
            return self.entry.dimension
        name = self.id.partition(".")[0]
        return name if name in DIMENSIONS else None

    def dtype(self, job: Job) -> str:
        """What its backbone computes in; by VBench's precision on CUDA float16 for CLIP (which lends ViCLIP its tokenizer only),
        as `Towers` has it, and TF32 in the convolutions of others.
        """
        from evaluation.engine import device_named

        has_network = self.entry is not None and bool(self.entry.weights)
        if job.precision != "vbench" or not has_network or not device_named(job.device).startswith("cuda"):
            return "float32"
        return "float16" if self.backbone.split("+")[0] in ("clip_b32", "clip_l14") else "tf32"

    def asked(self, record: Record) -> str:
        """What stands for the question to a video: equal questions about equal files have equal answers."""
        needs = self.entry.needs if self.entry else ("prompt", "auxiliary_info")
        prompt = record.prompt if "prompt" in needs or "judge" in needs else ""
        auxiliary = dict(record.auxiliary_info) if "auxiliary_info" in needs else {}
        question = [prompt, auxiliary, self.sha256, self.revision, dict(self.settings)]
        if "long" in self.settings:
            question.append(sorted(record.dimensions))  # they decide how long a clip is
        return hashlib.sha256(json.dumps([self.id, *question], sort_keys=True, default=str).encode()).hexdigest()[:24]


def measures(job: Job) -> tuple[dict[str, Measure], dict[str, Found]]:
    """Every metric of a job by its id, and all weights.

    Raises:
        InputError: a metric is unknown or named twice, or there is none.
        WeightsError: weights, torchvision or a judge are missing, all of them at once.
    """
    entries, problems = [], []
    _check_long(job.long)
    for name in job.metrics:
        try:
            entries.append(entry(name))
        except EvaluationError as error:
            problems.append(str(error))
    names = [*job.metrics, *(metric.id for metric in job.own)]
    problems += [f"{name} is named twice" for name in dict.fromkeys(names) if names.count(name) > 1]
    if problems or not names:
        raise InputError("\n".join(problems) or "no metric is named")
    found = _find(entries, job)
    facts = {name: provenance(one) for name, one in found.items()}
    metrics = build(job, found, "cpu")
    known: list[Entry | None] = [*entries, *(None for _ in job.own)]
    return {metric.id: _measure(metric, item, facts, job) for metric, item in zip(metrics.values(), known, strict=True)}, found


def needed(job: Job) -> list[str]:
    """The names of the weights that a job's metrics need, for `find`.

    Raises:
        EvaluationError: there is no such metric.
    """
    names = [name for metric in job.metrics for name in entry(metric).weights]
    return [*names, *["raft|raft_things"] * (job.protocol == "vbench_long" and job.long.static_filter)]


def build(job: Job, found: Mapping[str, Found], device: str) -> dict[str, VideoMetric]:
    """Every metric of a job by its id, on one set of shared backbones, whose weights load at their first use."""
    from evaluation.towers import Towers

    towers = Towers(found, device=device, precision=job.precision)
    metrics = [_long(job, load(name).build(towers, job.options), towers) for name in job.metrics]
    for metric, name in zip(metrics, job.metrics, strict=True):
        metric.tf32_convolutions = job.precision == "vbench" and bool(entry(name).weights)
    return {metric.id: metric for metric in (*metrics, *(metric.to(device) for metric in job.own))}


def _check_long(long: Long) -> None:
    wrong = [name for name in (*long.lengths, *long.tables) if name not in DIMENSIONS]
    wrong += [f"{name}: {seconds:g} s" for name, seconds in long.lengths.items() if not 1 <= seconds < math.inf]
    if wrong:
        raise InputError(f"long: of VBench's dimensions, and clips of a second or more: {', '.join(wrong)}")


def _long(job: Job, metric: VideoMetric, towers: Towers) -> VideoMetric:
    """The metric over the clips of long videos, if the job and the metric are VBench-Long's."""
    name, long = metric.id.partition(".")[0], job.long
    if job.protocol != "vbench_long" or name not in DIMENSIONS:
        return metric
    from evaluation.metrics.long import FUSED, Fusion, LongMetric
    from evaluation.protocol import CLIP_SECONDS, read_table

    fusion = None
    if name in FUSED and long.w_clip2clip:
        if name not in long.tables:
            raise InputError(f"{name}: a weight from clip to clip needs VBench-Long's mapping table (long.tables)")
        if not math.isclose(long.w_inclip + long.w_clip2clip, 1):
            raise InputError(f"{name}: w_inclip {long.w_inclip:g} and w_clip2clip {long.w_clip2clip:g} are not 1 in all")
        fusion = Fusion(w_inclip=long.w_inclip, w_clip2clip=long.w_clip2clip, table=read_table(long.tables[name]))
    keep: Callable[[Clip], bool] | None = None
    if name == "temporal_flickering" and long.static_filter:
        keep = partial(_is_still, towers)
    return LongMetric(metric, custom=long.custom, lengths={**CLIP_SECONDS, **long.lengths}, keep=keep, fusion=fusion)


def _is_still(towers: Towers, clip: Clip) -> bool:
    from evaluation.static_filter import is_static

    return is_static(clip, towers.raft)


def _find(entries: Sequence[Entry], job: Job) -> dict[str, Found]:
    problems = [
        f"{item.id}: needs a torchvision that fits torch: pip install 'rapo-lightning[vision]'"
        for item in entries
        if item.torchvision and not _torchvision()
    ]
    problems += [
        f"{item.id}: asks a judge, and none is configured"
        for item in entries
        if "judge" in item.needs and job.options.judge is None
    ]
    try:
        found = find(needed(job), job.weights)
    except WeightsError as error:
        problems.append(str(error))
    if problems:
        raise WeightsError("\n".join(problems))
    return found


def _torchvision() -> bool:
    try:
        import torchvision  # type: ignore[import-not-found,import-untyped,unused-ignore]  # noqa: F401
    except (ImportError, RuntimeError):
        return False
    return True


def _measure(metric: VideoMetric, item: Entry | None, facts: Mapping[str, Mapping[str, str | None]], job: Job) -> Measure:
    """Weights by their files; a metric may say more of itself (``provenance``), as those do that ask a judge."""
    names = item.weights if item else ()
    used = [next(facts[one] for one in name.split("|") if one in facts) for name in names]
    said: dict[str, Any] = dict(getattr(metric, "provenance", None) or {})
    settings = {name: value for name, value in said.items() if name not in ("backbone", "revision", "sha256")}
    if item and item.id == "imaging_quality":
        settings["mode"] = job.options.musiq_mode
    if metric.id.endswith(".long"):
        files = {name: Path(file) for name, file in job.long.tables.items()}
        tables = {name: hashlib.sha256(file.read_bytes()).hexdigest() for name, file in files.items() if file.is_file()}
        settings["long"] = job.long.settings | {"tables": tables}
    return Measure(
        id=metric.id,
        entry=item,
        backbone="+".join([*(str(fact["name"]) for fact in used), *filter(None, [said.get("backbone")])]),
        revision="+".join([*(fact["revision"] or "" for fact in used), *filter(None, [said.get("revision")])]),
        sha256="+".join([*(str(fact["sha256"]) for fact in used), *filter(None, [said.get("sha256")])]),
        licences=tuple(f"{fact['name']}: {fact['licence']}" for fact in used),
        settings=settings,
    )
