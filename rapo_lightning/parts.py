"""From a class path to a part: what a configuration names is checked, imported and constructed here, and nowhere else.

Class paths are untrusted. Before anything is imported, a path must start with an allowed prefix, by whole dotted components. What
is imported must be a class that was defined under an allowed prefix, so that no module can be used as a corridor to another. Its
arguments are checked against the constructor's own signature and annotations:

* a mapping with ``class_path`` (and ``init_args``) is a nested part;
* an argument annotated `ModelReference` is located and its folder searched for code, the constructor's default included;
* an argument annotated ``Path`` is relative to the configuration file.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final, get_args, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from rapo_lightning.config import did_you_mean, reason
from rapo_lightning.errors import ConfigError, RapoError, WeightsError
from rapo_lightning.positions import Key, Positions
from rapo_lightning.sections import Part
from rapo_lightning.types import ModelReference
from rapo_lightning.weights import locate, refuse_code

__all__ = ["DEFAULT_PREFIXES", "Builder", "class_path_problems"]

DEFAULT_PREFIXES = ("rapo_lightning", "evaluation", "lightning")

#: Stands for a value that could not be made; its problem has been noted.
_BROKEN = object()


def class_path_problems(data: Any, positions: Positions, allow: Sequence[str] = (), key: Key = ()) -> list[str]:
    """What is wrong with the class paths in plain data at any depth; imports nothing."""
    return [positions.problem(where, message) for where, path in _class_paths(data, key) if (message := _refusal(path, allow))]


def _class_paths(data: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    if isinstance(data, dict):
        if "class_path" in data:
            yield (*key, "class_path"), data["class_path"]
        for name, value in data.items():
            yield from _class_paths(value, (*key, name))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from _class_paths(value, (*key, index))


def _refusal(path: object, allow: Sequence[str]) -> str | None:
    if not isinstance(path, str) or path.count(".") < 1 or not all(step.isidentifier() for step in path.split(".")):
        return f"must be the dotted path of a class (package.module.Class), not {path!r}"
    if not _is_allowed(path, allow):
        return f"{path!r} lies outside {', '.join([*DEFAULT_PREFIXES, *allow])}; if you trust it, --allow {path.split('.')[0]}"
    return None


def _is_allowed(path: str, allow: Sequence[str]) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}.") for prefix in (*DEFAULT_PREFIXES, *allow))


@final
class Builder:
    """Builds the parts of one configuration and collects what is wrong; `finish` raises it all as one `ConfigError`.

    ``allow`` adds import prefixes to `DEFAULT_PREFIXES`; with any, the current folder becomes importable, after everything else.
    """

    def __init__(self, positions: Positions, allow: Sequence[str] = ()) -> None:
        self._positions = positions
        self._allow = tuple(allow)
        self._problems: list[str] = []
        if allow and str(Path.cwd()) not in sys.path:
            sys.path.append(str(Path.cwd()))

    def part(self, part: Part, key: Key, expected: type | None = None, /, **given: Any) -> Any:
        """The part, of the ``expected`` protocol, or None with its problems noted.

        ``given`` are arguments that the suite supplies (e.g. a logger's ``save_dir``) where the configuration has none.
        """
        return self._part(part.class_path, part.init_args, key, expected, given)

    def construct(self, cls: type, arguments: Mapping[str, Any], key: Key, /, **given: Any) -> Any:
        """An object of a class that is known already, its arguments checked as a part's are; None with its problems noted."""
        before = len(self._problems)
        signature = inspect.signature(cls)
        hints = _hints(cls, signature)
        values = {**given, **{name: self._value(value, (*key, name)) for name, value in arguments.items()}}
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
        named = {name: p for name, p in signature.parameters.items() if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}}
        for name in values:
            if name not in named and not takes_any:
                self._note((*key, name), f"no argument of {cls.__name__}{did_you_mean(name, named)}")
        for name, parameter in named.items():
            if name in values:
                if values[name] is not _BROKEN:
                    values[name] = self._typed(values[name], hints.get(name), (*key, name))
            elif parameter.default is inspect.Parameter.empty:
                self._note((*key, name), f"required by {cls.__name__}, but missing")
            elif isinstance(parameter.default, str) and _mentions(hints.get(name), ModelReference):
                values[name] = self._typed(parameter.default, hints[name], (*key, name))
        if len(self._problems) > before:
            return None
        try:
            return cls(**values)
        except ConfigError as error:
            return self._note(key[:-1], *error.problems)
        except (RapoError, ValueError, TypeError, ImportError) as error:
            return self._note(key[:-1], f"{cls.__name__}: {error}")

    def finish(self) -> None:
        """Raise everything that was noted."""
        if self._problems:
            raise ConfigError(list(dict.fromkeys(self._problems)))

    def _note(self, key: Key, *messages: str) -> None:
        self._problems += [self._positions.problem(key, message) for message in messages]

    def _part(self, path: Any, arguments: Mapping[str, Any], key: Key, expected: type | None, given: Mapping[str, Any]) -> Any:
        path_key = (*key, "class_path")
        if message := _refusal(path, self._allow):
            return self._note(path_key, message)
        try:
            cls = self._class(path)
            if expected is not None:
                _check_protocol(cls, expected)
        except ConfigError as error:
            return self._note(path_key, str(error))
        return self.construct(cls, arguments, (*key, "init_args"), **given)

    def _nested(self, spec: Mapping[str, Any], key: Key) -> Any:
        before = len(self._problems)
        for name in spec.keys() - {"class_path", "init_args"}:
            self._note((*key, name), f"unknown key{did_you_mean(name, ('class_path', 'init_args'))}")
        arguments = spec.get("init_args") or {}
        if not isinstance(arguments, dict):
            self._note((*key, "init_args"), "must be a mapping")
            return _BROKEN
        built = self._part(spec["class_path"], arguments, key, None, {})
        return _BROKEN if len(self._problems) > before else built

    def _value(self, value: Any, key: Key) -> Any:
        """A configured value with the parts in it built."""
        if isinstance(value, dict):
            if "class_path" in value:
                return self._nested(value, key)
            values = {name: self._value(item, (*key, name)) for name, item in value.items()}
            return _BROKEN if any(item is _BROKEN for item in values.values()) else values
        if isinstance(value, list):
            items = [self._value(item, (*key, index)) for index, item in enumerate(value)]
            return _BROKEN if any(item is _BROKEN for item in items) else items
        return value

    def _typed(self, value: Any, hint: Any, key: Key) -> Any:
        """The value as its annotation wants it, where the annotation is one that pydantic can check."""
        if hint is None:
            return value
        try:
            adapter = _adapter(hint)
            # Lists may become tuples and text a path, but a number stays one: no `true` for 1, no 2.0 for 2.
            value = adapter.validate_python(value, strict=isinstance(value, bool | int | float)) if adapter else value
        except ValidationError as error:
            details = error.errors(include_url=False)
            return self._note(key, " or ".join(dict.fromkeys(reason(one, str(key[-1])) for one in details)))
        if isinstance(value, str) and _mentions(hint, ModelReference):
            try:
                value = locate(value, self._positions.folder)
                if Path(value).is_dir():
                    refuse_code(value)
            except WeightsError as error:
                return self._note(key, str(error))
        return self._positions.folder / value.expanduser() if isinstance(value, Path) else value

    def _class(self, path: str) -> type:
        module_name, _, name = path.rpartition(".")
        try:
            module = importlib.import_module(module_name)
            found = getattr(module, name, None)
        except ModuleNotFoundError as error:
            if error.name and (module_name == error.name or module_name.startswith(f"{error.name}.")):
                raise ConfigError(f"there is no module {error.name!r}") from error
            raise ConfigError(f"{module_name} needs the package {error.name!r}, which is not installed") from error
        except Exception as error:  # A user's own module may fail in any way; it concerns the configuration that named it.
            raise ConfigError(f"importing {module_name} failed: {type(error).__name__}: {error}") from error
        if found is None:
            classes = [name for name, value in vars(module).items() if isinstance(value, type) and not name.startswith("_")]
            raise ConfigError(
                f"{module_name} has no class {name!r}{did_you_mean(name, {*classes, *getattr(module, '__all__', ())})}"
            )
        if not isinstance(found, type) or not _is_allowed(found.__module__, self._allow):
            raise ConfigError(f"{path} is not a class of an allowed package")
        if inspect.isabstract(found) or getattr(found, "_is_protocol", False):
            raise ConfigError(f"{path} is abstract")
        return found


def _check_protocol(cls: type, protocol: type) -> None:
    methods = [name for name, value in vars(protocol).items() if inspect.isfunction(value) and not name.startswith("_")]
    for name in methods:
        if not callable(getattr(cls, name, None)):
            parameters = ", ".join(list(inspect.signature(getattr(protocol, name)).parameters)[1:])
            raise ConfigError(f"{cls.__name__} is no {protocol.__name__}: it has no method {name}({parameters})")


def _hints(cls: type, signature: inspect.Signature) -> dict[str, Any]:
    """The constructor's annotations, each resolved by itself: one that only type checkers can see does not hide the others."""
    namespace = getattr(inspect.unwrap(cls.__init__), "__globals__", {})  # type: ignore[misc]
    hints: dict[str, Any] = {}
    for name, parameter in signature.parameters.items():
        if parameter.annotation is not inspect.Parameter.empty:
            try:
                hints |= get_type_hints(
                    SimpleNamespace(__annotations__={name: parameter.annotation}), namespace, include_extras=True
                )
            except (NameError, AttributeError, TypeError):
                continue
    return hints


def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    try:
        return TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True))
    except PydanticUserError:
        pass
    try:
        return TypeAdapter(hint)
    except PydanticUserError:
        return None


def _mentions(hint: Any, wanted: object) -> bool:
    return hint is wanted or any(argument is wanted for argument in get_args(hint))
