"""GraphML: read as networkx writes it and written as networkx reads it; entities and floods of bytes are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.graph_data import graphml
from rapo_lightning.retrieval.graph_data.graphml import read_graphml, write_graphml

NODES = ["harbour", "harbour ", " ", "", 'a "b" & <c>', "d'e", "tab\tline\nreturn\r", "été 夜の雨 🎬"]
EDGES = [("harbour", "harbour"), ("harbour ", 'a "b" & <c>'), ("tab\tline\nreturn\r", "été 夜の雨 🎬"), ("", " ")]
HEAD = "<graphml xmlns='http://graphml.graphdrawing.org/xmlns'><graph edgedefault='undirected'>"
TAIL = "</graph></graphml>"


def ends(path: Path) -> list[tuple[str, str]]:
    names, edges, _ = read_graphml(path)
    return [(names[a], names[b]) for a, b, _ in edges.tolist()]


def test_networkx_reads_what_is_written(tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    write_graphml(tmp_path / "g.graphml", NODES, EDGES)
    graph = networkx.read_graphml(tmp_path / "g.graphml")
    assert not graph.is_directed()
    assert not graph.is_multigraph()
    assert list(graph.nodes) == NODES
    assert {frozenset(edge) for edge in graph.edges} == {frozenset(edge) for edge in EDGES}


def test_what_networkx_writes_is_read_and_written_to_the_byte(tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    graph = networkx.Graph()
    graph.add_nodes_from(NODES)
    graph.add_edges_from(tuple(sorted(edge)) for edge in EDGES)
    networkx.write_graphml_xml(graph, tmp_path / "theirs.graphml")
    names, edges, passed_over = read_graphml(tmp_path / "theirs.graphml")
    assert names == NODES
    assert passed_over == set()
    lines = (tmp_path / "theirs.graphml").read_text(encoding="utf-8").split("\n")
    assert all("<edge" in lines[line - 1] for line in edges[:, 2])
    write_graphml(tmp_path / "ours.graphml", graph.nodes, ends(tmp_path / "theirs.graphml"))
    assert (tmp_path / "ours.graphml").read_bytes() == (tmp_path / "theirs.graphml").read_bytes()


def test_a_node_or_an_edge_that_comes_twice_is_written_once(tmp_path: Path) -> None:
    write_graphml(tmp_path / "g.graphml", ["b", "a", "b"], [("b", "a"), ("a", "b"), ("b", "b"), ("b", "b")])
    assert read_graphml(tmp_path / "g.graphml")[0] == ["b", "a"]
    assert ends(tmp_path / "g.graphml") == [("b", "a"), ("b", "b")]


def test_attributes_are_named_and_other_encodings_and_no_namespace_are_read(tmp_path: Path) -> None:
    path = tmp_path / "g.graphml"
    text = (
        "<?xml version='1.0' encoding='utf-16'?><graphml><key id='d0'/><graph><edge source='é' target='b'><data key='d0'>1</data>"
        "</edge><node id='b'><desc>x</desc></node><node id='é'/></graph></graphml>"
    )
    path.write_text(text, encoding="utf-16")
    names, edges, passed_over = read_graphml(path)
    assert (names, edges.tolist(), passed_over) == (["é", "b"], [[0, 1, 1]], {"key", "data", "desc"})


LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
REFUSED = {
    "laughs": (f"<!DOCTYPE graphml [<!ENTITY l0 'ha'>{LAUGHS}]>{HEAD}<node id='&l9;'/>{TAIL}", ":1:", "entities"),
    "other file": (f"<!DOCTYPE graphml [<!ENTITY x SYSTEM 'file:///etc/hostname'>]>{HEAD}<node id='a'/>{TAIL}", "entities"),
    "document type": (f"\n<!DOCTYPE graphml SYSTEM 'http://localhost/x.dtd'>{HEAD}{TAIL}", ":2:", "document type"),
    "undefined entity": (f"{HEAD}<node id='&x;'/>{TAIL}", "broken XML"),
    "no node": (f"{HEAD}\n<node id='a'/>\n<edge source='a' target='b'/>{TAIL}", ":3:", "'b', which is no node"),
    "no id": (f"{HEAD}<node/>{TAIL}", "a node without 'id'"),
    "no target": (f"{HEAD}<edge source='a'/>{TAIL}", "an edge without 'target'"),
    "hyperedge": (f"{HEAD}<hyperedge/>{TAIL}", "<hyperedge> cannot be read"),
    "two graphs": (f"{HEAD}</graph><graph>{TAIL}", "a second <graph>"),
    "no graph": ("<graphml/>", "holds no <graph>"),
    "other XML": ("<svg/>", "<svg> is not expected"),
    "other namespace": ("<graphml xmlns='urn:x'/>", "<graphml> is not expected"),
    "deep": (f"{HEAD}{'<desc>' * 20}", "<desc> is not expected"),
    "cut off": (f"{HEAD}\n<node id='a'/>", ":2:", "cut off"),
    "empty": ("", "cut off"),
    "control character": (f"{HEAD}<node id='\x00'/>{TAIL}", "broken XML"),
    "unknown encoding": (f"<?xml version='1.0' encoding='nope'?>{HEAD}{TAIL}", "encoding"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_by_its_line(tmp_path: Path, name: str) -> None:
    text, *told = REFUSED[name]
    path = tmp_path / "g.graphml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as error:
        read_graphml(path)
    assert str(error.value).startswith(f"{path}:")
    assert all(part in str(error.value) for part in told), str(error.value)
    assert "\n" not in str(error.value)


def test_a_tag_without_an_end_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "g.graphml"
    path.write_text(f"{HEAD}<node id='{'a' * 1_000_000}'/>{TAIL}")
    assert len(read_graphml(path)[0][0]) == 1_000_000
    monkeypatch.setattr(graphml, "_LONGEST_TAG", 500_000)
    with pytest.raises(InputError, match="does not end within 500,000 bytes"):
        read_graphml(path)


def test_what_xml_cannot_hold_is_not_written(tmp_path: Path) -> None:
    for text in ("\x00", "\x0b", "\ud800", "\uffff"):
        with pytest.raises(InputError, match="XML cannot hold"):
            write_graphml(tmp_path / "g.graphml", [text], [])


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no\.graphml: cannot be read"):
        read_graphml(tmp_path / "no.graphml")
