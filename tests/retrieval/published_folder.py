"""A small ``graph_data`` folder in the published form, written plainly: ``json.dump`` and ElementTree, captions of our own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

__all__ = ["CAPTIONS", "FILES", "edit", "publish"]

FILES = [
    *("data_info.json", "place_to_idx.json", "scenario_to_idx.json", "verb_to_idx.json"),
    *("place_in_sentence.json", "scenario_in_sentence.json", "verb_in_sentence.json"),
    *("place_embed.json", "scenario_words_embed.json", "verb_words_embed.json"),
    *("graph_place_scene.graphml", "graph_place_verb.graphml"),
]

#: Places, scenarios and verbs of each caption. "dancing" is place and verb, "harbour " is not "harbour", caption 2 has 2 places.
CAPTIONS = [
    (["harbour"], ["calm water"], ["mending a net"]),
    (["dancing"], ["red light", 'a sign that says "open"'], ["dancing", "clapping"]),
    (["harbour", "café <été> & co"], ["calm water", "夜の雨"], ["mending a net", "rowing a boat"]),
    (["harbour "], ["gulls\tand\nfoam"], ["rowing a boat"]),
    (["harbour"], ["calm water"], ["rowing a boat"]),
]
_EMBEDDINGS = {"place": "place_embed.json", "scenario": "scenario_words_embed.json", "verb": "verb_words_embed.json"}


def publish(
    folder: Path, captions: Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]] = CAPTIONS, width: int = 4
) -> dict[str, np.ndarray]:
    """Write the 12 files; return the vectors by file name."""
    folder.mkdir(parents=True)
    sentences: dict[str, dict[str, list[int]]] = {"place": {}, "scenario": {}, "verb": {}}
    for number, (places, scenarios, verbs) in enumerate(captions):
        for place in places:
            sentences["place"].setdefault(place, []).append(number)
            for word, texts in (("scenario", scenarios), ("verb", verbs)):
                for text in texts:
                    sentences[word].setdefault(text, []).append(number)
    vectors = {}
    for seed, (word, found) in enumerate(sentences.items()):
        _dump(folder / f"{word}_to_idx.json", {text: number for number, text in enumerate(found)})
        _dump(folder / f"{word}_in_sentence.json", found)
        x = np.random.default_rng(seed).normal(size=(len(found), width))
        vectors[_EMBEDDINGS[word]] = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        _dump(folder / _EMBEDDINGS[word], vectors[_EMBEDDINGS[word]].tolist())
    counts = {"p_idx": len(sentences["place"]), "s_idx": len(sentences["scenario"]), "v_idx": len(sentences["verb"])}
    _dump(folder / "data_info.json", {"valid_sentence": len(captions), **counts})
    for name, column in (("graph_place_scene.graphml", 1), ("graph_place_verb.graphml", 2)):
        edges = dict.fromkeys((place, text) for caption in captions for place in caption[0] for text in caption[column])
        root = ElementTree.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
        graph = ElementTree.SubElement(root, "graph", edgedefault="undirected")
        for node in dict.fromkeys(text for edge in edges for text in edge):
            ElementTree.SubElement(graph, "node", id=node)
        for source, target in edges:
            ElementTree.SubElement(graph, "edge", source=source, target=target)
        ElementTree.ElementTree(root).write(folder / name, encoding="utf-8", xml_declaration=True)
    return vectors


def edit(path: Path, old: str, new: str) -> None:
    """Change the first place of a file where ``old`` stands."""
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path.name} does not hold {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _dump(path: Path, value: object) -> None:
    with path.open("w") as file:
        json.dump(value, file, indent=4)
