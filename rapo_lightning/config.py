"""Configuration files: YAML with ``--set`` overrides laid over it, checked by pydantic, every problem reported at once.

A problem reads ``file:line: key: what is wrong``. What a configuration may hold is in `rapo_lightning.sections`; nothing here
imports or builds a part.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from rapo_lightning.errors import ConfigError
from rapo_lightning.positions import Key, Positions, dotted, parse

__all__ = ["did_you_mean", "read", "reason", "validate"]

Model = TypeVar("Model", bound=BaseModel)

MAX_BYTES = 1_000_000


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown word: the nearest known one, or all of them when none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f", did you mean {near[0]!r}?" if near else f" (known: {', '.join(names) or 'none'})"


def read(path: str | os.PathLike[str], overrides: Sequence[str] = ()) -> tuple[dict[str, Any], Positions]:
    """The data of a configuration file with ``key=value`` overrides laid over it. Errors: `ConfigError`."""
    positions = Positions(path)
    data = parse(_text(positions.file), positions)
    if not isinstance(data, dict):
        raise ConfigError(positions.problem((), "the top level must be a mapping of keys to values"))
    problems = [problem for override in overrides for problem in _override(data, override, positions)]
    if problems:
        raise ConfigError(problems)
    return data, positions


def validate(model: type[Model], data: dict[str, Any], positions: Positions) -> Model:
    """The data as a pydantic model, or a `ConfigError` with everything that is wrong."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = [_problem(details, model, data, positions) for details in error.errors(include_url=False)]
        raise ConfigError(list(dict.fromkeys(problems))) from error


def _text(file: str) -> str:
    try:
        with Path(file).open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{file}: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{file}: larger than {MAX_BYTES // 1_000_000} MB, which no configuration is")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{file}:{line}: not UTF-8: byte 0x{content[error.start]:02x}") from error


def _override(data: dict[str, Any], override: str, positions: Positions) -> list[str]:
    """Lay one ``key=value`` over the data; returns what is wrong with it."""
    name, equals, text = override.partition("=")
    place = f"--set {name}"
    parts = name.strip().split(".")
    if not equals or not all(parts):
        return [f"--set {override}: write it as key=value, e.g. loop.rounds=2"]
    try:
        value = parse(text, Positions(place))
    except ConfigError as error:
        return [re.sub(rf"^{re.escape(place)}(:\d+)?", lambda _: place, problem) for problem in error.problems]
    holder: Any = data
    key: Key = ()
    for depth, part in enumerate(parts):
        is_last = depth == len(parts) - 1
        if isinstance(holder, list):
            if part not in map(str, range(len(holder))):
                return [f"{place}: {dotted(key)} is a list of {len(holder)}; {part!r} is no index of it"]
            step: str | int = int(part)
        elif isinstance(holder, dict):
            step = part
            if not is_last and holder.get(part) is None:
                holder[part] = {}
                positions.record((*key, part), place)
        else:
            return [f"{place}: {dotted(key)} is neither a mapping nor a list"]
        key = (*key, step)
        if is_last:
            holder[step] = value
            positions.record(key, place)
        else:
            holder = holder[step]
    return []


#: What pydantic's error types say to a user; the others keep pydantic's own words.
_REASONS = {
    "missing": "required, but missing",
    "greater_than_equal": "{name} must be at least {ge}, not {input}",
    "greater_than": "{name} must be more than {gt}, not {input}",
    "less_than_equal": "{name} must be at most {le}, not {input}",
    "too_short": "must hold at least {min_length}",
    "literal_error": "must be {expected}, not {input}",
    "string_type": "must be text, not {input}",
    "int_type": "must be a whole number, not {input}",
    "int_from_float": "must be a whole number, not {input}",
    "int_parsing": "must be a whole number, not {input}",
    "float_type": "must be a number, not {input}",
    "float_parsing": "must be a number, not {input}",
    "bool_type": "must be true or false, not {input}",
    "bool_parsing": "must be true or false, not {input}",
    "dict_type": "must be a mapping, not {input}",
    "model_type": "must be a mapping, not {input}",
    "is_instance_of": "must be a {class}, not {input}",
}


def reason(details: Mapping[str, Any], name: str) -> str:
    """What one of pydantic's error details says about the value called ``name``."""
    text = repr(details["input"])
    values = {**details.get("ctx", {}), "name": name, "input": text if len(text) <= 60 else f"{text[:57]}..."}
    known = _REASONS.get(details["type"])
    return (
        known.format_map(values) if known else str(details["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    )


def _problem(details: Mapping[str, Any], model: type[BaseModel], data: Any, positions: Positions) -> str:
    key = _written(details["loc"], data, keep_last=details["type"] == "missing")
    if details["type"] != "extra_forbidden":
        return positions.problem(key, reason(details, str(key[-1]) if key else ""))
    section = _section(model, key[:-1])
    return positions.problem(key, f"unknown key{did_you_mean(str(key[-1]), section.model_fields)}")


def _written(location: Sequence[Any], data: Any, *, keep_last: bool) -> Key:
    """pydantic's location without what it adds for itself (branches of unions, ``[key]``)."""
    key: Key = ()
    for index, step in enumerate(location):
        is_written = step in data if isinstance(data, dict) else isinstance(data, list) and isinstance(step, int)
        if is_written:
            data = data[step]
        if is_written or (keep_last and index == len(location) - 1):
            key = (*key, step)
    return key


def _section(model: type[BaseModel], key: Key) -> type[BaseModel]:
    """The section of a model that stands at a key; a mapping's or list's sections are those of its items."""
    for step in key:
        field = model.model_fields.get(str(step))
        if field is not None:
            model = next((found for found in _sections(field.annotation)), model)
    return model


def _sections(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _sections(argument)
