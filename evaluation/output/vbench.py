"""VBench's own result files, written from rows and read back.

from evaluation.output.vbench import read_values, write_vbench
written = write_vbench(folder, rows, records)
read_values(written.eval_results)["subject_consistency"]

Only bare names go out, as only they are VBench's numbers. Upstream's `scripts/cal_final_score.py` reads `written.archive`.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from evaluation.dimensions import DIMENSIONS
from evaluation.errors import InputError
from evaluation.output.files import write_atomic, write_json
from evaluation.output.scores import by_metric, is_scored, ordered
from evaluation.output.vbench_files import read_documents
from evaluation.reduction import Part, reduce, rule
from evaluation.rows import Row
from evaluation.video.record import Record

__all__ = ["Written", "eval_results", "full_info", "read_values", "read_videos", "write_vbench"]

_BOOLEAN = ("dynamic_degree", "human_action")
#: Keys beside VBench's two of each video; in the details of a row, or known from what it counts.
_EXTRA: dict[str, tuple[str, ...]] = {
    "background_consistency": ("video_sim", "cnt_per_video"),
    "object_class": ("success_frame_count", "frame_count"),
    "multiple_objects": ("success_frame_count", "frame_count"),
    "scene": ("success_frame_count", "frame_count"),
    "human_action": ("cor_num_per_video",),
    "appearance_style": ("frame_results", "cur_sim"),
    "spatial_relationship": ("frame_results",),
    "color": ("cur_success_frame_rate",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What `write_vbench` wrote: the two files, a zip of both, and how many rows with errors are left out of them."""

    eval_results: Path
    full_info: Path
    archive: Path
    n_errors: int


def eval_results(rows: Iterable[Row], reduction: Literal["single", "multi"] = "single") -> dict[str, Any]:
    """``{dimension: [value, [{"video_path", "video_results", ...}, ...]]}`` of one variant.

    Rows without a value and metrics without a scored video are left out, as VBench has no place for them. Booleans are booleans,
    imaging_quality is 0 to 100 a video, as upstream.

    Raises:
        InputError: the rows are of several variants, or one video has two.
    """
    scored = [row for row in ordered(rows) if row.metric in DIMENSIONS and is_scored(row)]
    if len(variants := {row.variant for row in scored}) > 1:
        raise InputError(f"VBench's results are of one set of videos, not of {', '.join(sorted(variants))}")
    results: dict[str, Any] = {}
    for name, group in by_metric(scored, DIMENSIONS).items():
        parts = [Part(value=row.value or 0.0, total=row.total, count=row.count, last=row.last) for row in group]
        if parts:
            results[name] = [reduce(parts, rule(name, reduction)), [_video(row) for row in group]]
    return results


def full_info(rows: Iterable[Row], records: Iterable[Record] = ()) -> list[dict[str, Any]]:
    """VBench's list of prompts, with the videos of each, in the manifest's order.

    Args:
        rows: of one variant.
        records: of the manifest; they give ``auxiliary_info``.
    """
    extra = {record.index: record.auxiliary_info for record in records}
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for row in ordered(rows):
        if row.metric not in DIMENSIONS:
            continue
        entry = entries.setdefault(
            (row.prompt_id, row.prompt),
            {"prompt_en": row.prompt, "dimension": [], "auxiliary_info": {}, "video_list": []},
        )
        entry["auxiliary_info"] |= extra.get(row.position, {})
        for key, value in (("dimension", row.metric), ("video_list", row.video_path)):
            if value not in entry[key]:
                entry[key].append(value)
    for entry in entries.values():
        if not entry["auxiliary_info"]:
            del entry["auxiliary_info"]
    return list(entries.values())


def write_vbench(
    folder: str | Path,
    rows: Sequence[Row],
    records: Iterable[Record] = (),
    *,
    reduction: Literal["single", "multi"] = "single",
    now: datetime | None = None,
) -> Written:
    """Write ``results_<time>_eval_results.json``, ``..._full_info.json`` and a zip of both, of one variant, into a folder.

    Raises:
        InputError: no row has a value under a name of VBench's, the rows are of several variants, or a file cannot be written.
    """
    results, info = eval_results(rows, reduction), full_info(rows, records)
    if not results:
        raise InputError("nothing to export: no video has a value in any dimension of VBench's")
    stamp = (now or datetime.now()).strftime("%Y-%m-%d-%H-%M-%S" if os.name == "nt" else "%Y-%m-%d-%H:%M:%S")
    stem = Path(folder) / f"results_{stamp}"
    files = [
        write_json(f"{stem}_{kind}.json", content, indent=4) for kind, content in (("eval_results", results), ("full_info", info))
    ]
    return Written(
        eval_results=files[0],
        full_info=files[1],
        archive=_zip(Path(folder) / f"results_{stamp.replace(':', '-')}.zip", files),
        n_errors=sum(row.status == "error" and row.metric in DIMENSIONS for row in rows),
    )


def read_values(path: str | Path) -> dict[str, float]:
    """The value of each dimension, of a ``*_eval_results.json``, or of all in a zip as upstream's script reads it.

    Spaces in names are taken as underscores; names that are no dimension of VBench's are left aside.

    Raises:
        InputError: it cannot be read, is of another layout, or a value is no finite number.
    """
    return {name: value for name, (value, _) in read_videos(path).items()}


def read_videos(path: str | Path) -> dict[str, tuple[float, list[Mapping[str, Any]]]]:
    """The value of each dimension and what is said of each video.

    Raises:
        InputError: as `read_values`.
    """
    found: dict[str, tuple[float, list[Mapping[str, Any]]]] = {}
    for source, document in read_documents(path):
        for key, entry in document.items():
            name = key.replace(" ", "_")
            if name in DIMENSIONS:
                found[name] = _entry(source, name, entry)
    if not found:
        raise InputError(f"{path}: no results of VBench: none of its dimensions is in it")
    return found


def _entry(source: str, name: str, entry: Any) -> tuple[float, list[Mapping[str, Any]]]:
    value = entry[0] if isinstance(entry, list) and entry else None
    if not isinstance(value, int | float) or not abs(value) < float("inf"):
        raise InputError(f"{source}: {name}: no [value, videos] with a finite value")
    videos = entry[1] if len(entry) > 1 and isinstance(entry[1], list) else []
    return float(value), [video for video in videos if isinstance(video, dict)]


def _video(row: Row) -> dict[str, Any]:
    value: Any = bool(row.value) if row.metric in _BOOLEAN else row.value
    return {"video_path": row.video_path, "video_results": value, **_extra(row)}


def _extra(row: Row) -> dict[str, Any]:
    counted = {
        "video_sim": row.total,
        "cnt_per_video": _whole(row.count),
        "success_frame_count": _whole(row.total),
        "frame_count": _whole(row.count),
        "cor_num_per_video": int(row.value or 0),
        "cur_sim": row.last,
        "cur_success_frame_rate": row.value,
    }
    known = counted | dict(row.details)
    return {key: known[key] for key in _EXTRA.get(row.metric, ()) if key in known}


def _whole(number: float) -> float:
    return int(number) if number == int(number) else number


def _zip(path: Path, files: Sequence[Path]) -> Path:
    """Both at top level; times are left out, so that equal results are equal archives."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            entry = zipfile.ZipInfo(file.name.replace(":", "-"), (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return write_atomic(path, buffer.getvalue())
