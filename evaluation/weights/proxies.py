"""What stands in for GRiT, Tag2Text and UMT; every one is a model folder on the hub."""

from __future__ import annotations

from evaluation.weights.entry import Weights

__all__ = ["ENTRIES"]


def _folder(name: str, hub: str, licence: str) -> Weights:
    source = f"https://huggingface.co/{hub}"
    return Weights(name=name, file=hub.rpartition("/")[2], licence=licence, source=source, hub=hub)


ENTRIES = (
    _folder("florence2", "florence-community/Florence-2-large", "MIT (verify)"),
    _folder("grounding_dino", "IDEA-Research/grounding-dino-base", "Apache-2.0"),
    _folder("owlv2", "google/owlv2-base-patch16-ensemble", "Apache-2.0"),
    _folder("blip", "Salesforce/blip-image-captioning-large", "BSD-3-Clause"),
    _folder("videomae_k400", "MCG-NJU/videomae-large-finetuned-kinetics", "CC BY-NC 4.0: not for commercial use"),
)
