"""VBench 1.0's dimensions that are exact: same backbone, weights and protocol."""

from __future__ import annotations

from evaluation.catalog.entry import Entry

__all__ = ["ENTRIES"]


def _vbench(name: str, cls: str, says: str, **more: object) -> Entry:
    return Entry(id=name, source=f"evaluation.metrics.{name}:{cls}", says=says, **more)  # type: ignore[arg-type]


ENTRIES: tuple[Entry, ...] = (
    _vbench("subject_consistency", "SubjectConsistency", "the subject stays the same", weights=("dino_vitb16",)),
    _vbench("background_consistency", "BackgroundConsistency", "the scene stays the same", weights=("clip_b32",)),
    _vbench("temporal_flickering", "TemporalFlickering", "pixels change little from frame to frame"),
    _vbench(
        "dynamic_degree",
        "DynamicDegree",
        "something moves",
        weights=("raft|raft_things",),
        frames="8 a second",
        torchvision=True,
    ),
    _vbench("aesthetic_quality", "AestheticQuality", "people would like the frames", weights=("clip_l14", "laion_head")),
    _vbench("imaging_quality", "ImagingQuality", "no noise, no blur, well exposed", weights=("musiq_spaq",)),
    _vbench(
        "human_action",
        "HumanAction",
        "a person does what was asked for",
        weights=("umt_l16", "k400_labels"),
        frames="middle(16)",
        needs=("prompt",),
    ),
    _vbench(
        "appearance_style",
        "AppearanceStyle",
        "the look that was asked for",
        weights=("clip_b32",),
        needs=("auxiliary_info",),
    ),
    _vbench(
        "temporal_style",
        "TemporalStyle",
        "the motion that was asked for",
        weights=("viclip", "clip_b32|clip_l14"),
        frames="middle(8)",
        needs=("prompt",),
    ),
    _vbench(
        "overall_consistency",
        "OverallConsistency",
        "the video shows what the prompt says",
        weights=("viclip", "clip_b32|clip_l14"),
        frames="middle(8)",
        needs=("prompt",),
    ),
)
