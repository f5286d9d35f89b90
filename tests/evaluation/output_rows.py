"""Rows as an evaluation leaves them: single ones for tests, and a whole evaluation of two variants, made up."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evaluation.dimensions import DIMENSIONS
from evaluation.errors import CODES
from evaluation.rows import Row

__all__ = ["HOSTILE", "METRICS", "evaluation_rows", "row"]

#: Texts that break what is put together carelessly.
HOSTILE = (
    "<script>document.title='run'</script>",
    "a \"quoted\", comma; and 'single'",
    "two\nlines\r\nand\rreturns",
    "雨の中を走る猫 🐈‍⬛ café",
    "</style></script>--><img src=x onerror=alert(1)>",
    "\u202eright to left\u202c",
    "=cmd|' /C calc'!A0",
    "{{ 7 * 7 }} {% raw %} ${x}",
    " leading and trailing ",
    "nul\0 and bell\a",
)
METRICS = (
    "subject_consistency", "background_consistency", "temporal_flickering", "dynamic_degree", "aesthetic_quality",
    "imaging_quality", "overall_consistency", "temporal_style", "motion_smoothness.raft_warp", "object_class.florence2",
    "warping_error", "vqascore.qwen2_5_vl_7b.grid16",
)  # fmt: skip
_LEVEL = {
    "subject_consistency": 0.95, "background_consistency": 0.955, "temporal_flickering": 0.978, "aesthetic_quality": 0.56,
    "imaging_quality": 66.0, "overall_consistency": 0.25, "temporal_style": 0.23, "motion_smoothness.raft_warp": 0.985,
    "object_class.florence2": 0.82, "warping_error": 0.014, "vqascore.qwen2_5_vl_7b.grid16": 0.71,
}  # fmt: skip
_GAIN = {
    "aesthetic_quality": 0.012, "imaging_quality": 1.3, "overall_consistency": 0.009, "object_class.florence2": 0.05,
    "warping_error": -0.001, "vqascore.qwen2_5_vl_7b.grid16": 0.06, "subject_consistency": -0.003,
}  # fmt: skip
_SUBJECTS = ("a red fox", "an old sailor", "two paper boats", "a glass of tea", "a small robot", "a street musician")
_ACTIONS = ("runs through deep snow", "turns slowly in warm light", "drifts down a gutter in the rain", "falls off a table")


def row(metric: str = "clip_score", value: float | None = 0.5, position: int = 0, **more: Any) -> Row:
    """A row with a value, of one frame unless ``total`` and ``count`` say otherwise; with ``error``, the code, it has none."""
    code = more.pop("error", None)
    base: dict[str, Any] = {
        "position": position, "video_path": f"videos/{position}.mp4", "video_sha256": f"{position:064x}",
        "prompt_id": f"p{position}", "prompt": f"prompt {position}", "variant": "original", "seed": 42, "index": 0,
        "metric": metric, "protocol": "vbench", "value": value, "status": "ok", "range_min": 0.0, "range_max": 1.0,
        "total": value or 0.0, "count": 1, "last": value or 0.0, "n_frames": 49, "fps": 8.0, "height": 480, "width": 720,
        "code_version": "0.1.0",
    }  # fmt: skip
    if code is not None:
        assert code in CODES
        failed = {"status": "error", "value": None, "error_code": code, "error_message": f"it is {code}"}
        base |= {**failed, "total": 0.0, "count": 0, "last": 0.0}
    elif value is None:
        base |= {"status": "left_out", "count": 0}
    return Row(**(base | more))


def evaluation_rows(
    prompts: int = 40, seeds: Sequence[int] = (42, 43), metrics: Sequence[str] = METRICS, variants: Sequence[str] = ()
) -> list[Row]:
    """Every metric on every prompt and seed of two variants, with a gain, some errors and one video that is not there."""
    chance = random.Random(7)
    rows: list[Row] = []
    position = 0
    for variant in variants or ("original", "optimised"):
        for prompt in range(prompts):
            for seed in seeds:
                text = f"{_SUBJECTS[prompt % 6]} {_ACTIONS[prompt % 4]}, take {prompt}"
                given = {
                    "prompt_id": f"p{prompt:03d}", "prompt": text, "variant": variant, "seed": seed, "index": seed - seeds[0],
                    "video_path": f"videos/{variant}/p{prompt:03d}-{seed}.mp4",
                }  # fmt: skip
                level = random.Random(prompt).gauss(0, 1)
                rows += _of_video(position, given, level, metrics, chance)
                position += 1
    return rows


def _of_video(
    position: int, given: Mapping[str, Any], level: float, metrics: Sequence[str], chance: random.Random
) -> Iterator[Row]:
    lost = position == 17
    for metric in metrics:
        if lost:
            message = f"{given['video_path']}: no such file"
            yield row(metric, position=position, error="missing", **{**given, "error_message": message})
        elif metric.startswith("vqascore") and chance.random() < 0.04:
            yield row(metric, position=position, error="bad_reply", **given)
        else:
            yield _scored(metric, position, given, level, chance)


def _scored(metric: str, position: int, given: Mapping[str, Any], level: float, chance: random.Random) -> Row:
    gain = _GAIN.get(metric, 0.0) * (given["variant"] != "original")
    name, proxy, _ = metric.partition(".")
    if metric == "dynamic_degree":
        value = float(chance.random() < 0.6)
    else:
        centre = _LEVEL.get(metric, 0.5)
        spread = min(centre, 100 - centre if centre > 1 else 1 - centre)
        value = max(0.0, centre + gain + spread * (0.2 * level + 0.12 * chance.gauss(0, 1)))
        value = min(value, 100.0 if centre > 1 else 1.0)
    frames = 48
    weights = {
        "subject_consistency": "dino_vitb16",
        "background_consistency": "clip_b32",
        "aesthetic_quality": "clip_l14+laion_head",
    }
    backbone = weights.get(metric, "" if name in ("temporal_flickering", "warping_error") else "viclip" if not proxy else "raft")
    ends = (0.0, 1.0) if name in DIMENSIONS or metric.startswith("vqascore") else (0.0, None)
    return row(
        metric, value, position, total=value * frames, count=frames, last=value, range_min=ends[0], range_max=ends[1],
        higher_is_better=metric != "warping_error", backbone=backbone, seconds=0.25,
        weights_revision="+".join("3d74acf9a28c67741b2f4f2ea7635f0aaf6f0268" for _ in backbone.split("+")) if backbone else "",
        weights_sha256="+".join(f"{len(part):064x}" for part in backbone.split("+")) if backbone else "", **given,
    )  # fmt: skip
