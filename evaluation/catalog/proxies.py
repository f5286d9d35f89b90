"""VBench's dimensions by its rules on other backbones, under names that say so."""

from __future__ import annotations

from evaluation.catalog.entry import Entry, Need

__all__ = ["ENTRIES"]

_BACKBONES = {"florence2": "Florence2", "grounding_dino": "GroundingDino", "owlv2": "Owlv2", "blip": "Blip"}


def _proxy(dimension: str, backbone: str, says: str, *needs: Need) -> Entry:
    cls = "".join(word.title() for word in dimension.split("_")) + _BACKBONES[backbone]
    return Entry(
        id=f"{dimension}.{backbone}",
        source=f"evaluation.metrics.{dimension}:{cls}",
        says=says,
        weights=(backbone,),
        frames="middle(16)",
        needs=(*needs, "auxiliary_info"),
    )


ENTRIES: tuple[Entry, ...] = (
    _proxy("object_class", "florence2", "the object is seen"),
    _proxy("object_class", "grounding_dino", "the object is found when looked for"),
    _proxy("object_class", "owlv2", "the object is found when looked for"),
    _proxy("multiple_objects", "florence2", "both objects are seen"),
    _proxy("multiple_objects", "grounding_dino", "both objects are found when looked for"),
    _proxy("multiple_objects", "owlv2", "both objects are found when looked for"),
    _proxy("spatial_relationship", "florence2", "one object is seen beside, above or below the other"),
    _proxy("spatial_relationship", "grounding_dino", "one object is found beside, above or below the other"),
    _proxy("spatial_relationship", "owlv2", "one object is found beside, above or below the other"),
    _proxy("color", "florence2", "the object has its color, by captions of regions", "prompt"),
    _proxy("scene", "florence2", "captions name the scene"),
    _proxy("scene", "blip", "captions name the scene"),
    Entry(
        id="human_action.videomae",
        source="evaluation.metrics.human_action_videomae:HumanActionVideoMae",
        says="a person does what was asked for; weights not for commercial use",
        weights=("videomae_k400",),
        frames="middle(16)",
        needs=("prompt",),
    ),
)
