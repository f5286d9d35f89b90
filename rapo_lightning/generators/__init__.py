"""Text-to-video models: `DiffusersGenerator` for any diffusers pipeline, `FakeGenerator` for tests. Imported when first named."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rapo_lightning.generators.diffusers import DiffusersGenerator
    from rapo_lightning.generators.fake import FakeGenerator

__all__ = ["DiffusersGenerator", "FakeGenerator"]

_MODULES = {"DiffusersGenerator": "diffusers", "FakeGenerator": "fake"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
