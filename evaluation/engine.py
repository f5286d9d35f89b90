"""Scores files: each is decoded once, beside the scoring; every metric sees the same frames and shares backbones and features.

A process takes its files from a common queue; what it finds does not depend on which process, batch or order they come in.
"""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from evaluation.errors import ClipError, EvaluationError, InputError
from evaluation.findings import Finding, told_by
from evaluation.job import Job
from evaluation.measures import Measure
from evaluation.rows import Row
from evaluation.video.record import Record
from evaluation.work import Work

if TYPE_CHECKING:
    from evaluation.metrics.base import Score, VideoMetric
    from evaluation.video.clip import Clip

__all__ = ["check_devices", "code_version", "device_named", "score"]


def device_named(name: str, rank: int = 0) -> str:
    """A device for torch: "auto" is a GPU if there is one, and of "cuda" each rank has its own."""
    import torch

    kind = name if name != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    return f"cuda:{rank}" if kind == "cuda" else kind


def check_devices(name: str, count: int = 1) -> None:
    """Whether torch can compute on a device, and on so many of them.

    Raises:
        InputError: it cannot.
    """
    import torch

    try:
        last = torch.device(device_named(name, count - 1))
        torch.empty(0, device=last)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        gpus = torch.cuda.device_count()
        more = f" for {count} processes" * (count > 1)
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"device {name}{more} cannot be used here ({gpus} GPUs): {reason[:200]}") from error


def score(
    job: Job,
    measures: Mapping[str, Measure],
    metrics: Mapping[str, VideoMetric],
    works: Iterable[Work],
    *,
    decoders: int = 1,
) -> Iterator[tuple[Work, list[Finding]]]:
    """Each file with what was found; an error is a finding, too."""
    from evaluation.video.ahead import Ahead

    begun: list[Work] = []

    def paths() -> Iterator[str]:
        for work in works:
            begun.append(work)
            yield work.path

    with Ahead(job.limits, decoders) as ahead:
        for number, clip in enumerate(ahead.clips(paths())):
            work = begun[number]
            yield work, [_finding(job, measures[name], metrics[name], clip, record) for record, name in work.items]


@cache
def code_version() -> str:
    """Of the package that this is part of."""
    try:
        return version("rapo-lightning")
    except PackageNotFoundError:
        return "unknown"


def _finding(job: Job, measure: Measure, metric: VideoMetric, clip: Clip | ClipError, record: Record) -> Finding:
    start = time.perf_counter()
    row = _row(job, measure, metric, record)
    if isinstance(clip, ClipError):
        row = _error(row, clip)
    else:
        frames, height, width, _ = clip.frames_THWC.shape
        row = replace(row, video_sha256=clip.sha256, n_frames=frames, fps=clip.fps, height=height, width=width)
        try:
            row = _scored(row, _within_memory(metric, clip, record))
        except ClipError as error:
            row = _error(row, error)
    return Finding(asked=measure.asked(record), row=replace(row, seconds=round(time.perf_counter() - start, 6)))


def _row(job: Job, measure: Measure, metric: VideoMetric, record: Record) -> Row:
    low, high = (end if math.isfinite(end) else None for end in metric.range)
    return Row(
        **told_by(record),
        video_sha256="",
        metric=measure.id,
        protocol=job.protocol,
        value=None,
        status="error",
        range_min=low,
        range_max=high,
        higher_is_better=bool(metric.higher_is_better),
        frame_policy=measure.frames,
        backbone=measure.backbone,
        weights_revision=measure.revision,
        weights_sha256=measure.sha256,
        dtype=measure.dtype(job),
        code_version=code_version(),
    )


def _scored(row: Row, score: Score) -> Row:
    parts: dict[str, Any] = {"total": score.total, "count": score.count, "last": score.last}
    status: Any = "ok" if score.value is not None else "left_out"
    return replace(row, value=score.value, status=status, details=dict(score.details), **parts)


def _error(row: Row, error: ClipError) -> Row:
    return replace(row, status="error", error_code=error.code, error_message=str(error))


def _within_memory(metric: VideoMetric, clip: Clip, record: Record) -> Score:
    """The score, with half the batch as often as memory runs out."""
    with _batch_kept(metric):
        while True:
            try:
                return metric.scored(clip, record)
            except (ClipError, EvaluationError):
                raise
            except Exception as error:  # a metric may be a user's own: one video's failure is not the others'
                full = isinstance(error, MemoryError) or "out of memory" in str(error).lower()
                if not full:
                    raise ClipError("failed", f"{clip.path}: {metric.id}: {_where(error)}") from error
                batch = getattr(metric, "batch", 1)
                if batch <= 1:
                    raise ClipError("oom", f"{clip.path}: {metric.id}: out of memory with one frame at a time") from error
                metric.batch = batch // 2
            _let_go()


def _where(error: Exception) -> str:
    """What broke, and the line of code that did."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    says = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {says} ({place.filename.rpartition('/')[2]}:{place.lineno})"


@contextmanager
def _batch_kept(metric: VideoMetric) -> Iterator[None]:
    before = getattr(metric, "batch", None)
    try:
        yield
    finally:
        if before is not None:
            metric.batch = before


def _let_go() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
