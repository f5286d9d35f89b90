"""Which metrics can run on this machine, and what the others lack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from evaluation.catalog.table import CATALOG
from evaluation.errors import WeightsError
from evaluation.weights.lookup import find

__all__ = ["Ready", "ready"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """A metric, what it says of a video, and what it lacks here, a line each; nothing, if it can run."""

    id: str
    says: str
    lacks: tuple[str, ...]


def ready(weights: Mapping[str, str] | None = None) -> list[Ready]:
    """Every metric of the catalogue; looks for files, reads none, and imports nothing heavy.

    A judge is named with the evaluation, so that metrics which ask one are said to need it.
    """
    found = []
    for item in CATALOG.values():
        lacks = ["a judge, in the configuration"] if "judge" in item.needs else []
        if item.torchvision and not _torchvision():
            lacks.append("torchvision: pip install 'rapo-lightning[vision]'")
        for name in item.weights:
            try:
                find([name], weights)
            except WeightsError as error:
                lacks.append(str(error))
        found.append(Ready(id=item.id, says=item.says, lacks=tuple(lacks)))
    return found


def _torchvision() -> bool:
    from importlib.util import find_spec

    return find_spec("torchvision") is not None
