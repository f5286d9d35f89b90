"""Fills in what a configuration leaves to its parts: the defaults of their constructors, for the record of a run."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from rapo_lightning.class_paths import import_class, make_importable
from rapo_lightning.errors import ConfigError

__all__ = ["with_defaults"]

_REQUIRED = object()


def with_defaults(values: Any, allow: Sequence[str] = ()) -> Any:
    """Plain data of a configuration in which every part, at any depth, has all arguments of its constructor.

    Imports the parts and constructs none. A part that cannot be imported stays as it is written; building it says why.
    """
    make_importable(allow)
    return _filled(values, allow)


def _filled(values: Any, allow: Sequence[str]) -> Any:
    if isinstance(values, list):
        return [_filled(item, allow) for item in values]
    if not isinstance(values, dict):
        return values
    filled = {name: _filled(item, allow) for name, item in values.items()}
    arguments = filled.get("init_args") or {}
    if isinstance(filled.get("class_path"), str) and isinstance(arguments, dict):
        known = _defaults(filled["class_path"], allow)
        filled["init_args"] = {name: value for name, value in (known | arguments).items() if value is not _REQUIRED}
    return filled


def _defaults(path: str, allow: Sequence[str]) -> dict[str, Any]:
    """The constructor's arguments in their order, each with its default as plain data, or with `_REQUIRED`.

    None of a class that cannot be had or does not tell.
    """
    try:
        parameters = inspect.signature(import_class(path, allow)).parameters.values()
    except (ConfigError, ValueError, TypeError):
        return {}
    named = (p for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY})
    return {p.name: _REQUIRED if p.default is p.empty else _plain(p.default) for p in named}


def _plain(value: object) -> Any:
    """A default as YAML and JSON have it. What they cannot hold is told by its name, the same in every process."""
    if value is None or type(value) in {bool, int, str} or (type(value) is float and math.isfinite(value)):
        return value
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(map(str, value))
    if isinstance(value, int | float | str | Path):
        return str(value)
    named: Any = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
