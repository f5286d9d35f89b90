"""Which classes a configuration may name, and their import.

Class paths are untrusted. Before anything is imported, a path must start with an allowed prefix, by whole dotted components. What
is imported must be a class that was defined under an allowed prefix, so that no module can be used as a corridor to another.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rapo_lightning.config import did_you_mean
from rapo_lightning.errors import ConfigError
from rapo_lightning.positions import Key, Positions

__all__ = ["DEFAULT_PREFIXES", "class_path_problems", "import_class", "make_importable", "refusal"]

logger = logging.getLogger(__name__)

DEFAULT_PREFIXES = ("rapo_lightning", "evaluation", "lightning")


def class_path_problems(data: Any, positions: Positions, allow: Sequence[str] = (), key: Key = ()) -> list[str]:
    """What is wrong with the class paths in plain data at any depth; imports nothing."""
    return [positions.problem(where, message) for where, path in _class_paths(data, key) if (message := refusal(path, allow))]


def refusal(path: object, allow: Sequence[str]) -> str | None:
    """Why a class path may not be imported; None when it may."""
    if not isinstance(path, str) or path.count(".") < 1 or not all(step.isidentifier() for step in path.split(".")):
        return f"must be the dotted path of a class (package.module.Class), not {path!r}"
    if not _is_allowed(path, allow):
        return f"{path!r} lies outside {', '.join([*DEFAULT_PREFIXES, *allow])}; if you trust it, --allow {path.split('.')[0]}"
    return None


def import_class(path: str, allow: Sequence[str], expected: type | None = None) -> type:
    """The class at an allowed path, with the method of the ``expected`` protocol; else a `ConfigError` without a position."""
    if message := refusal(path, allow):
        raise ConfigError(message)
    module_name, _, name = path.rpartition(".")
    try:
        module = importlib.import_module(module_name)
        found = getattr(module, name, None)
    except ModuleNotFoundError as error:
        if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise ConfigError(f"there is no module {error.name!r}") from error
        raise ConfigError(f"{module_name} needs the package {error.name!r}, which is not installed") from error
    except Exception as error:  # A user's own module may fail in any way; it concerns the configuration that named it.
        logger.debug("importing %s", module_name, exc_info=True)
        raise ConfigError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
    if found is None:
        classes = [name for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]
        raise ConfigError(f"{module_name} has no class {name!r}{did_you_mean(name, {*classes, *getattr(module, '__all__', ())})}")
    if not isinstance(found, type) or not _is_allowed(found.__module__, allow):
        raise ConfigError(f"{path} is not a class of an allowed package")
    if inspect.isabstract(found) or getattr(found, "_is_protocol", False):
        raise ConfigError(f"{path} is abstract")
    if expected is not None:
        _check_protocol(found, expected)
    return found


def make_importable(allow: Sequence[str]) -> None:
    """With any prefix allowed, parts may lie in the current folder; it comes last, so that it hides no other module."""
    if allow and str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def _class_paths(data: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    if isinstance(data, dict):
        if "class_path" in data:
            yield (*key, "class_path"), data["class_path"]
        for name, value in data.items():
            yield from _class_paths(value, (*key, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _class_paths(value, (*key, index))


def _is_allowed(path: str, allow: Sequence[str]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in (*DEFAULT_PREFIXES, *allow))


def _check_protocol(cls: type, protocol: type) -> None:
    methods = [name for name, value in vars(protocol).items() if inspect.isfunction(value) and not name.startswith("_")]
    for name in methods:
        if not callable(getattr(cls, name, None)):
            parameters = ", ".join(list(inspect.signature(getattr(protocol, name)).parameters)[1:])
            raise ConfigError(f"{cls.__name__} is no {protocol.__name__}: it has no method {name}({parameters})")
