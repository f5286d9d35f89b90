"""From a class path to a part: what a configuration names is constructed here, its arguments checked, and nowhere else.

Arguments are checked against the constructor's own signature and annotations:

* a mapping with ``class_path`` (and ``init_args``) is a nested part; equal ones are one object, so that a chat model which two
  parts name is loaded once;
* an argument annotated `ModelReference` is located and its folder searched for code, the constructor's default included; so is
  ``model`` of a class of `evaluation`, which knows nothing of this suite's types;
* an argument annotated ``Path`` is relative to the configuration file.
"""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final, get_args, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError

from rapo_lightning.class_paths import import_class, make_importable
from rapo_lightning.config import did_you_mean, reason
from rapo_lightning.errors import ConfigError, WeightsError
from rapo_lightning.positions import Key, Positions, dotted
from rapo_lightning.sections import Part
from rapo_lightning.types import ModelReference
from rapo_lightning.weights import locate, refuse_code

__all__ = ["Builder"]

logger = logging.getLogger(__name__)

#: Stands for a value that could not be made; its problem has been noted.
_BROKEN = object()


@final
class Builder:
    """Builds the parts of one configuration and collects what is wrong; `finish` raises it all as one `ConfigError`.

    ``allow`` adds import prefixes to the default ones; with any, the current folder becomes importable, after everything else.

    Attributes:
        models: where the weights of each `ModelReference` are (a folder, or a hub id not fetched yet), by its dotted key.
    """

    def __init__(self, positions: Positions, allow: Sequence[str] = ()) -> None:
        self._positions = positions
        self._allow = tuple(allow)
        self._problems: list[str] = []
        self._shared: dict[str, Any] = {}
        self.models: dict[str, str] = {}
        make_importable(allow)

    def part(self, part: Part, key: Key, expected: type | None = None, /, **given: Any) -> Any:
        """The part, of the ``expected`` protocol, or None with its problems noted.

        ``given`` are arguments that the suite supplies (e.g. a logger's ``save_dir``) where the configuration has none and the
        constructor knows them.
        """
        return self._part(part.class_path, part.init_args, key, expected, given)

    def construct(self, cls: type, arguments: Mapping[str, Any], key: Key, /, **given: Any) -> Any:
        """An object of a class that is known already, its arguments checked as a part's are; None with its problems noted."""
        before = len(self._problems)
        signature = inspect.signature(cls)
        hints = _hints(cls, signature)
        is_local = cls.__module__.partition(".")[0] == "evaluation" and "base_url" not in signature.parameters
        if is_local and hints.get("model") is str:
            hints["model"] = ModelReference
        values = {name: self._value(value, (*key, name)) for name, value in arguments.items()}
        takes_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in signature.parameters.values())
        named = {name: p for name, p in signature.parameters.items() if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}}
        for name in values:
            if name not in named and not takes_any:
                self._note((*key, name), f"no argument of {cls.__name__}{did_you_mean(name, named)}")
        for name, parameter in named.items():
            if name in values:
                if values[name] is not _BROKEN:
                    values[name] = self._typed(values[name], hints.get(name), (*key, name))
            elif name in given:
                values[name] = given[name]
            elif parameter.default is inspect.Parameter.empty:
                self._note((*key, name), f"required by {cls.__name__}, but missing")
            elif isinstance(parameter.default, str) and _mentions(hints.get(name), ModelReference):
                values[name] = self._typed(parameter.default, hints[name], (*key, name))
        if len(self._problems) > before or any(value is _BROKEN for value in values.values()):
            return None
        owner = key[:-1] if key[-1] == "init_args" else key
        try:
            return cls(**values)
        except ConfigError as error:
            return self._note(owner, *error.problems)
        except Exception as error:  # Whatever a constructor dislikes, it is the configuration's to mend.
            logger.debug("constructing %s", cls.__name__, exc_info=True)
            return self._note(owner, f"{cls.__name__}: {error or type(error).__name__}")

    def finish(self) -> None:
        """Raise everything that was noted."""
        if self._problems:
            raise ConfigError(list(dict.fromkeys(self._problems)))

    def _note(self, key: Key, *messages: str) -> None:
        self._problems += [self._positions.problem(key, message) for message in messages]

    def _part(self, path: Any, arguments: Mapping[str, Any], key: Key, expected: type | None, given: Mapping[str, Any]) -> Any:
        try:
            cls = import_class(path, self._allow, expected)
        except ConfigError as error:
            return self._note((*key, "class_path"), str(error))
        return self.construct(cls, arguments, (*key, "init_args"), **given)

    def _nested(self, spec: Mapping[str, Any], key: Key) -> Any:
        for name in spec.keys() - {"class_path", "init_args"}:
            self._note((*key, name), f"unknown key{did_you_mean(name, ('class_path', 'init_args'))}")
        arguments = spec.get("init_args") or {}
        if not isinstance(arguments, dict):
            self._note((*key, "init_args"), "must be a mapping")
            return _BROKEN
        # As written, not as resolved: equal text means the same part, whatever it turns out to be.
        text = json.dumps([spec["class_path"], arguments], sort_keys=True, default=repr)
        if text not in self._shared:
            before = len(self._problems)
            built = self._part(spec["class_path"], arguments, key, None, {})
            self._shared[text] = _BROKEN if len(self._problems) > before else built
        return self._shared[text]

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
                self.models[dotted(key)] = value
            except WeightsError as error:
                return self._note(key, str(error))
        return self._positions.folder / value.expanduser() if isinstance(value, Path) else value


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
