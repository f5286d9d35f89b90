"""GraphML without attributes, as networkx writes the published graphs: read safely and in bounded memory, and written.

A document type is refused before anything of it is used, so no entity is ever defined or expanded; no file or address that a
document names is opened.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, final
from xml.parsers import expat

import numpy as np

from rapo_lightning.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["read_graphml", "write_graphml"]

_BLOCK = 1 << 16
#: Bytes of one tag that are waited for.
_LONGEST_TAG = 1 << 22
_DEEPEST = 16
_NAMESPACE = "http://graphml.graphdrawing.org/xmlns"
_HEAD = f"""<?xml version='1.0' encoding='utf-8'?>
<graphml xmlns="{_NAMESPACE}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" \
xsi:schemaLocation="{_NAMESPACE} {_NAMESPACE}/1.0/graphml.xsd">
  <graph edgedefault="undirected">
"""
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#09;"})
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def read_graphml(path: Path) -> tuple[list[str], NDArray[np.int64], set[str]]:
    """A graph's node ids, its edges, and the names of the elements that were passed over (attributes and descriptions).

    Returns:
        The ids in the order of the file; (E, 3) int64, of each edge its ends, as positions in the ids, and its line; the names.

    Raises:
        InputError: by line: XML that is broken or cut off, a document type, another structure, an edge that ends at no node.
    """
    parser = expat.ParserCreate(namespace_separator=" ")
    reader = _Reader(path, parser)
    fed = 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                parser.Parse(block, False)
                fed += len(block)
                if fed - parser.CurrentByteIndex > _LONGEST_TAG:
                    reader.refuse(f"a tag does not end within {_LONGEST_TAG:,} bytes")
        parser.Parse(b"", True)
    except expat.ExpatError as error:
        raise InputError(f"{path}:{error.lineno}: broken XML, or cut off: {expat.ErrorString(error.code)}") from error
    except (LookupError, ValueError) as error:
        raise InputError(f"{path}: an encoding that is not supported: {error}") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    return reader.result()


def write_graphml(path: Path, nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> None:
    """An undirected graph, as networkx writes it; a node or an edge that comes twice, either way round, is written once.

    Raises:
        InputError: a text with characters that XML cannot hold.
    """
    written: set[str] = set()
    joined: set[tuple[str, str]] = set()
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.write(_HEAD)
        for node in nodes:
            if node not in written:
                if found := _NO_XML.search(node):
                    raise InputError(f"{path.name}: {node!r} cannot be written: XML cannot hold {found[0]!r}")
                written.add(node)
                file.write(f'    <node id="{node.translate(_ESCAPES)}" />\n')
        for source, target in edges:
            ends = (source, target) if source <= target else (target, source)
            if ends not in joined:
                joined.add(ends)
                file.write(f'    <edge source="{source.translate(_ESCAPES)}" target="{target.translate(_ESCAPES)}" />\n')
        file.write("  </graph>\n</graphml>\n")


@final
class _Reader:
    """Takes the parser's events and keeps node ids and edges."""

    def __init__(self, path: Path, parser: expat.XMLParserType) -> None:
        self._path = path
        self._parser = parser
        self._numbers: dict[str, int] = {}
        self._declared: set[int] = set()
        self._edges = array("q")
        self._passed_over: set[str] = set()
        self._depth = 0
        self._graphs = 0
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._doctype

    def refuse(self, reason: str, line: int | None = None) -> NoReturn:
        raise InputError(f"{self._path}:{line or self._parser.CurrentLineNumber}: {reason}")

    def result(self) -> tuple[list[str], NDArray[np.int64], set[str]]:
        names = list(self._numbers)
        if not self._graphs:
            self.refuse("holds no <graph>")
        edges = np.array(self._edges, dtype=np.int64).reshape(-1, 3)
        for number in range(len(names)):
            if number not in self._declared:
                line = int(edges[(edges[:, :2] == number).any(1)][0, 2])
                self.refuse(f"an edge ends at {names[number]!r}, which is no node", line)
        return names, edges, self._passed_over

    def _doctype(self, *_: Any) -> None:
        self.refuse("a document type or entities: refused, since they can make a small file fill the memory or read others")

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        namespace, _, name = name.rpartition(" ")
        self._depth += 1
        if namespace not in ("", _NAMESPACE) or self._depth > _DEEPEST or (self._depth == 1) != (name == "graphml"):
            self.refuse(f"<{name}> is not expected here: no GraphML as networkx writes it")
        match name:
            case "node":
                self._declared.add(self._number(attributes, "id"))
            case "edge":
                line = self._parser.CurrentLineNumber
                self._edges.extend((self._number(attributes, "source"), self._number(attributes, "target"), line))
            case "graph" if self._graphs == 0:
                self._graphs = 1
            case "graph":
                self.refuse("a second <graph>")
            case "key" | "data" | "default" | "desc":
                self._passed_over.add(name)
            case "graphml":
                pass
            case _:
                self.refuse(f"<{name}> cannot be read: nodes and edges only")

    def _end(self, _: str) -> None:
        self._depth -= 1

    def _number(self, attributes: Mapping[str, str], attribute: str) -> int:
        if attribute not in attributes:
            self.refuse(f"{'a node' if attribute == 'id' else 'an edge'} without {attribute!r}")
        return self._numbers.setdefault(attributes[attribute], len(self._numbers))
