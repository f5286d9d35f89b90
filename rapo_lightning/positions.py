"""YAML read into plain data with the line of every value, safely: no tags, no duplicate or merge keys, bounded size.

The data are mappings with text keys, lists, text, finite numbers, booleans and None. `Positions` remembers where each value was
written, so that an error found much later can still name ``file:line``.
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import yaml

from rapo_lightning.errors import ConfigError

__all__ = ["Key", "Positions", "dotted", "parse"]

#: Where a value stands in the data: mapping keys and list indices from the root.
Key = tuple[str | int, ...]

#: More values than any configuration has; aliases of aliases could otherwise expand without end.
MAX_VALUES = 50_000
#: PyYAML reads only numbers with a point as floats; this adds ``1e-4``.
_EXPONENT = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+")
_TAG = "tag:yaml.org,2002:"


class Positions:
    """Where each value of a configuration was written: ``file:line``, or the ``--set key`` that gave it."""

    def __init__(self, file: str | os.PathLike[str]) -> None:
        self.file = os.fspath(file)
        self._places: dict[Key, str] = {(): f"{self.file}:1"}

    @property
    def folder(self) -> Path:
        """The folder of the file: relative paths of a configuration start here."""
        return Path(self.file).absolute().parent

    def where(self, key: Key) -> str:
        """The place of a value; of one that was not written, the place of what should hold it."""
        while key not in self._places:
            key = key[:-1]
        return self._places[key]

    def problem(self, key: Key, message: str) -> str:
        """One line for a `ConfigError`."""
        return ": ".join([self.where(key), *([dotted(key)] if key else []), message])

    def record(self, key: Key, place: str) -> None:
        """Note where a value was written; what was known of anything below it is forgotten."""
        for known in [known for known in self._places if known[: len(key)] == key]:
            del self._places[known]
        self._places[key] = place

    def mark(self, key: Key, line: int) -> None:
        """Note the line of a value that is being read from the file."""
        self._places[key] = f"{self.file}:{line}"


def dotted(key: Key) -> str:
    """A key as users write it: ``judges.alignment.init_args.frames``."""
    return ".".join(map(str, key))


def parse(text: str, positions: Positions) -> Any:
    """The plain data of one YAML document (None when it is empty), the lines of its values noted. Errors: `ConfigError`."""
    file = positions.file
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        return None if node is None else _Reader(loader, positions).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        raise ConfigError(f"{place}: not YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{file}:{line}: not YAML: character {error.character!r} is not allowed") from error
    except RecursionError:
        raise ConfigError(f"{file}: nested too deeply") from None


class _Reader:
    """Turns YAML nodes into plain data and notes their lines."""

    def __init__(self, loader: yaml.SafeLoader, positions: Positions) -> None:
        self._loader = loader
        self._positions = positions
        self._count = 0

    def value(self, node: yaml.Node, key: Key) -> Any:
        self._count += 1
        if self._count > MAX_VALUES:
            raise self._error(node, key, f"more than {MAX_VALUES} values")
        match node:
            case yaml.MappingNode(tag=tag) if tag == f"{_TAG}map":
                return self._mapping(node, key)
            case yaml.SequenceNode(tag=tag) if tag == f"{_TAG}seq":
                return [self._placed(item, (*key, index)) for index, item in enumerate(node.value)]
            case yaml.ScalarNode():
                return self._scalar(node, key)
            case _:
                raise self._error(node, key, f"tag {node.tag!r} is not allowed")

    def _placed(self, node: yaml.Node, key: Key, line: int | None = None) -> Any:
        self._positions.mark(key, (node.start_mark.line if line is None else line) + 1)
        return self.value(node, key)

    def _mapping(self, node: yaml.MappingNode, key: Key) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, child in node.value:
            if not isinstance(name, yaml.ScalarNode) or not name.value or name.tag == f"{_TAG}merge":
                raise self._error(name, key, "keys must be plain names (no lists, mappings or merge keys)")
            if name.value in data:
                raise self._error(name, (*key, name.value), "given twice")
            data[name.value] = self._placed(child, (*key, name.value), name.start_mark.line)
        return data

    def _scalar(self, node: yaml.ScalarNode, key: Key) -> Any:
        match node.tag.removeprefix(_TAG):
            case "str" if node.style is None and _EXPONENT.fullmatch(node.value):
                value: Any = float(node.value)
            case "str" | "timestamp":
                value = str(node.value)
            case "null" | "bool" | "int" | "float":
                try:
                    value = self._loader.construct_object(node)
                except (ValueError, KeyError) as error:
                    raise self._error(node, key, f"{node.value[:40]!r} is not what its tag says") from error
            case _:
                raise self._error(node, key, f"tag {node.tag!r} is not allowed")
        if isinstance(value, float) and not math.isfinite(value):
            raise self._error(node, key, "must be a finite number")
        return value

    def _error(self, node: yaml.Node, key: Key, message: str) -> ConfigError:
        place = f"{self._positions.file}:{node.start_mark.line + 1}"
        return ConfigError(": ".join([place, *([dotted(key)] if key else []), message]))
