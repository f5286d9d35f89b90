"""Metrics that ask a judge. Their numbers are the judge's: none is exact."""

from __future__ import annotations

from typing import Any

from evaluation.catalog.entry import Entry, Need

__all__ = ["ENTRIES"]

_SHOWN = "as the judge is set to see"
_MANY = "64 linspace"


def _judged(name: str, source: str, says: str, *needs: Need, frames: str = _SHOWN, **more: Any) -> Entry:
    return Entry(id=name, source=f"evaluation.metrics.{source}", says=says, frames=frames, needs=("judge", *needs), **more)


def _vbench2(dimension: str, cls: str, says: str, need: Need | None = "auxiliary_info") -> Entry:
    return _judged(f"{dimension}.vlm", f"vbench2:{cls}", says, *([need] if need else []), frames=_MANY, dimension=dimension)


def _compbench(category: str, cls: str, says: str, *needs: Need, frames: str = "grid of 6") -> Entry:
    dimension = f"{category}_binding" if category.endswith("_attribute") else category
    return _judged(f"compbench.{category}.vlm", f"compbench:{cls}", says, *needs, frames=frames, dimension=dimension)


ENTRIES: tuple[Entry, ...] = (
    _judged("vqascore", "vqascore:VqaScore", "a judge says that the video shows the prompt", "prompt"),
    _judged("videophy.sa", "videophy:VideoPhySemantics", "the video entails its caption", "prompt"),
    _judged("videophy.pc", "videophy:VideoPhyPhysics", "the video follows the laws of physics"),
    _judged("videophy2.sa", "videophy:VideoPhy2Semantics", "how well the caption is shown, 1 to 5", "prompt"),
    _judged("videophy2.pc", "videophy:VideoPhy2Physics", "how well physics is followed, 1 to 5"),
    _judged("videophy2.joint", "videophy:VideoPhy2Joint", "caption and physics are both good", "prompt"),
    _judged("videophy2.rule", "videophy:VideoPhy2Rule", "rules of physics that are kept", "auxiliary_info"),
    _judged(
        "color.vqa", "vbench_vqa:ColorVqa", "the object has its color", "prompt", "auxiliary_info", frames="middle(16), singly"
    ),
    _judged("scene.vqa", "vbench_vqa:SceneVqa", "the place is the one asked for", "auxiliary_info", frames="middle(16), singly"),
    _vbench2("composition", "Composition", "unlikely parts or actions are put together"),
    _vbench2("dynamic_attribute", "DynamicAttribute", "an attribute changes as asked for"),
    _vbench2("dynamic_spatial_relationship", "DynamicSpatialRelationship", "a thing moves to the other place"),
    _vbench2("motion_order_understanding", "MotionOrderUnderstanding", "two actions in their order"),
    _vbench2("human_interaction", "HumanInteraction", "two people do what was asked for", "prompt"),
    _vbench2("complex_landscape", "ComplexLandscape", "many landscapes in their order"),
    _vbench2("complex_plot", "ComplexPlot", "a long story in its order"),
    _vbench2("human_clothes", "HumanClothes", "clothes stay the same", None),
    _vbench2("motion_rationality", "MotionRationality", "actions have their consequences"),
    _vbench2("mechanics", "Mechanics", "things obey mechanics"),
    _vbench2("thermotics", "Thermotics", "heat does what it does"),
    _vbench2("material", "Material", "materials behave as they do"),
    _compbench("consistent_attribute", "ConsistentAttribute", "each thing has its own attributes", "auxiliary_info"),
    _compbench("action_binding", "ActionBinding", "each does its own action", "prompt", "auxiliary_info"),
    _compbench("object_interactions", "ObjectInteractions", "what happens between things is right", "prompt"),
    _compbench(
        "dynamic_attribute", "DynamicAttributeBinding", "one state becomes the other", "auxiliary_info", frames="16, singly"
    ),
    _judged(
        "phygenbench.vlm",
        "phygenbench:PhyGenBench",
        "a law of physics is shown, 0 to 3",
        "prompt",
        "auxiliary_info",
        frames="32 linspace",
        weights=("clip_b32",),
    ),
)
