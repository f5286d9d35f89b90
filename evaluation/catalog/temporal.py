"""Metrics of motion and of neighbouring frames, and of frames against the prompt, beside VBench's ten exact dimensions."""

from __future__ import annotations

from evaluation.catalog.entry import Entry

__all__ = ["ENTRIES"]

_FLOW = ("raft|raft_things",)


def _flow_stat(name: str, cls: str, says: str) -> Entry:
    return Entry(
        id=f"flow_stats.{name}",
        source=f"evaluation.metrics.flow_stats:{cls}",
        says=says,
        weights=_FLOW,
        frames="8 a second",
        torchvision=True,
    )


def _metric(name: str, cls: str, says: str, **more: object) -> Entry:
    return Entry(id=name, source=f"evaluation.metrics.{name}:{cls}", says=says, **more)  # type: ignore[arg-type]


def _on_dis(name: str, what: str, says: str, frames: str = "8 a second") -> Entry:
    source = f"evaluation.metrics.weightless:{what}"
    return Entry(id=f"{name}.dis", source=source, says=f"{says}; by OpenCV's flow, no weights", frames=frames)


ENTRIES: tuple[Entry, ...] = (
    _on_dis("dynamic_degree", "degree", "something moves"),
    _on_dis("warping_error", "error", "what moves changes little on its way; lower is better", frames="all"),
    _on_dis("flow_stats.mean", "mean", "mean speed, shorter sides a second"),
    _on_dis("flow_stats.top5", "top5", "speed of the fastest 5 %, shorter sides a second"),
    _on_dis("flow_stats.reversal", "reversal", "how often motion turns back"),
    _on_dis("flow_stats.jolt", "jolt", "the largest jolt of the mean speed"),
    _metric(
        "motion_smoothness",
        "MotionSmoothness",
        "motion is smooth; on the user's own AMT, not for commercial use",
        weights=("amt_s", "amt_code"),
    ),
    Entry(
        id="motion_smoothness.raft_warp",
        source="evaluation.metrics.motion_smoothness:MotionSmoothnessRaftWarp",
        says="motion is smooth, by optical flow",
        weights=_FLOW,
        torchvision=True,
    ),
    _metric("clip_score", "ClipScore", "frames show what the prompt says", weights=("clip_b32",), needs=("prompt",)),
    _metric(
        "siglip2_score",
        "Siglip2Score",
        "frames show what the prompt says, also a long one",
        weights=("siglip2",),
        needs=("prompt",),
    ),
    _metric(
        "warping_error",
        "WarpingError",
        "what moves changes little on its way; lower is better",
        weights=_FLOW,
        torchvision=True,
    ),
    _flow_stat("mean", "FlowStatsMean", "speed of all pixels, in shorter sides a second"),
    _flow_stat("top5", "FlowStatsFast", "speed of the fastest 5 %, in shorter sides a second"),
    _flow_stat("reversal", "FlowStatsReversal", "how often motion turns back; lower is steadier"),
    _flow_stat("jolt", "FlowStatsJolt", "the strongest jolt, in shorter sides a second; lower is steadier"),
    _metric("clip_temp", "ClipTemp", "diagnosis: neighbouring frames are alike to CLIP", weights=("clip_b32",)),
    _metric("dino_temp", "DinoTemp", "diagnosis: neighbouring frames are alike to DINO", weights=("dino_vitb16",)),
    _metric("ssim_adj", "SsimAdjacent", "diagnosis: neighbouring frames are alike in structure"),
    _metric(
        "lpips_adj",
        "LpipsAdjacent",
        "diagnosis: how far apart neighbouring frames are to people; lower is calmer",
        weights=("alexnet",),
    ),
)
