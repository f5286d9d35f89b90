"""`statistics` against a graph small enough to count by hand."""

from __future__ import annotations

import json

import pytest
import torch
from torch import Tensor

from rapo_lightning.retrieval.describe import statistics
from rapo_lightning.retrieval.graph import NODE_TYPES, RelationGraph


def occurrences(*pairs: tuple[int, int]) -> Tensor:
    return torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T


@pytest.fixture
def graph() -> RelationGraph:
    """Five captions: 0 and 1 in the harbour, 2 at sea, 3 on a beach that nothing is said of, 4 without a scene."""
    texts = {
        "scene": ["harbour", "sea", "beach"],
        "subject": ["boat", "Boat ", "gull"],
        "action": ["sailing"],
        "atmosphere": [],
    }
    return RelationGraph.of(
        texts=texts,
        x={name: torch.nn.functional.normalize(torch.ones(len(texts[name]), 4)) for name in NODE_TYPES},
        occurrence={
            "scene": occurrences((0, 0), (0, 1), (0, 1), (1, 2), (2, 3)),
            "subject": occurrences((0, 0), (0, 1), (1, 2), (2, 4)),
            "action": occurrences((0, 1), (0, 2), (0, 4)),
            "atmosphere": occurrences(),
        },
        captions=5,
        encoder="tiny",
    )


def test_figures_are_those_counted_by_hand(graph: RelationGraph) -> None:
    found = statistics(graph)
    assert (found["encoder"], found["dimension"], found["captions"]) == ("tiny", 4, 5)
    assert found["captions_without_scene"] == 1
    assert found["nodes"] == {"scene": 3, "subject": 3, "action": 1, "atmosphere": 0}
    assert found["edges"] == {"subject": 2, "action": 2, "atmosphere": 0}
    assert found["modifiers_per_scene"] == {"subject": 2 / 3, "action": 2 / 3, "atmosphere": 0.0, "all": 4 / 3}
    assert found["isolated"] == {"scene": 1, "subject": 1, "action": 0, "atmosphere": 0}
    assert found["aliases"] == {"scene": 0, "subject": 1, "action": 0, "atmosphere": 0}


def test_frequent_phrases_count_captions_once_and_keep_the_order_of_ties(graph: RelationGraph) -> None:
    found = statistics(graph, most=2)["frequent"]
    assert found["scene"] == [{"text": "harbour", "captions": 2}, {"text": "sea", "captions": 1}]
    assert found["subject"] == [{"text": "boat", "captions": 2}, {"text": "Boat ", "captions": 1}]
    assert found["action"] == [{"text": "sailing", "captions": 3}]
    assert found["atmosphere"] == []


def test_figures_are_plain_json(graph: RelationGraph) -> None:
    found = statistics(graph)
    assert json.loads(json.dumps(found)) == found


def test_a_graph_without_nodes_has_no_mean() -> None:
    empty = RelationGraph.of(
        texts={name: [] for name in NODE_TYPES},
        x={name: torch.zeros(0, 4) for name in NODE_TYPES},
        occurrence={name: occurrences() for name in NODE_TYPES},
        captions=2,
        encoder="tiny",
    )
    found = statistics(empty)
    assert found["captions_without_scene"] == 2
    assert found["modifiers_per_scene"] == {"subject": None, "action": None, "atmosphere": None, "all": None}
    assert found["frequent"]["scene"] == []
