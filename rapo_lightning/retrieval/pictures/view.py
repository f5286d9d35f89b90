"""What a picture of a relation graph shows: the scenes nearest to a prompt and the modifiers said of them, nearest first."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

import torch
from torch import Tensor

from rapo_lightning.errors import InputError
from rapo_lightning.retrieval.exact import UNIT, scores, similarities
from rapo_lightning.retrieval.graph import NODE_TYPES, RelationGraph
from rapo_lightning.retrieval.index import VectorIndex
from rapo_lightning.types import Kind as NodeType
from rapo_lightning.types import Modifier

__all__ = ["Kind", "ModifierView", "SceneView", "view"]

Kind = Literal["subject", "action", "atmosphere"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModifierView:
    """A modifier of a scene: its cosine ``similarity`` to the prompt, in how many captions both stand, whether it was chosen."""

    kind: Kind
    text: str
    similarity: float
    count: int
    chosen: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneView:
    """A scene near the prompt: cosine ``similarity``, in how many ``captions`` it stands, its ``modifiers`` in the order shown.

    ``more`` tells how many further modifiers of a kind the scene has; ``chosen`` whether its own phrase was, as a modifier.
    """

    text: str
    similarity: float
    captions: int
    modifiers: tuple[ModifierView, ...] = ()
    more: Mapping[Kind, int] = field(default_factory=dict)
    chosen: bool = False


def view(
    graph: RelationGraph,
    prompt: str,
    vector: Tensor,
    *,
    scenes: int = 3,
    modifiers: int = 8,
    threshold: float = 0.6,
    kinds: Collection[str] = NODE_TYPES,
    retrieved: Collection[Modifier] | None = None,
) -> list[SceneView]:
    """The scenes nearest to a prompt and, of each and of each kind, the modifiers nearest to it; ties go to the lower index.

    Every modifier linked to a scene is ranked. Similarities are those of `retrieval.retrieve`, to the last bit.

    Args:
        graph: the relation graph.
        prompt: the prompt, named in errors.
        vector: its embedding by the graph's encoder, (D,) of length 1.
        scenes: how many scenes at most.
        modifiers: how many modifiers of a scene and kind at most; the others are counted.
        threshold: the cosine from which on a modifier counts as chosen.
        kinds: which kinds may be chosen, "scene" for the scenes' own phrases; modifiers of others are counted and not shown.
        retrieved: what was chosen, if not all that reach the threshold.

    Raises:
        InputError: an embedding of another shape, not finite or not of length 1.
    """
    if vector.shape != (graph.dimension,):
        raise InputError(f"prompt {prompt!r}: embedding of shape {tuple(vector.shape)}, but the graph's are ({graph.dimension},)")
    query = vector.float()[None].to(graph.x("scene").device)
    near, rows = VectorIndex(graph.x("scene")).ranked(query, scenes)
    found = []

    def chosen(kind: NodeType, text: str, score: int) -> bool:
        if retrieved is not None:
            return Modifier(text=text, kind=kind) in retrieved
        return kind in kinds and score >= math.ceil(threshold * UNIT)

    for scene, score, similarity in zip(rows[0].tolist(), near[0].tolist(), similarities(near[0]).tolist()):
        shown: list[ModifierView] = []
        more: dict[Kind, int] = {}
        for name, (indices, counts) in graph.neighbours(scene).items():
            kind = cast(Kind, name)
            exact = scores(query, graph.x(kind), pairs=(torch.zeros_like(indices), indices))
            exact, order = exact.sort(descending=True, stable=True)
            columns = (indices[order], counts[order], exact, similarities(exact))
            listed = modifiers if kind in kinds else 0
            for node, count, own, value in zip(*(column[:listed].tolist() for column in columns)):
                text = graph.data[kind].text[node]
                is_chosen = chosen(kind, text, own)
                shown.append(ModifierView(kind=kind, text=text, similarity=value, count=count, chosen=is_chosen))
            more[kind] = max(len(order) - listed, 0)
        where = graph.data["scene"].occurrence
        captions = len(torch.unique(where[1, where[0] == scene]))
        text = graph.data["scene"].text[scene]
        found.append(
            SceneView(
                text=text,
                similarity=similarity,
                captions=captions,
                modifiers=tuple(shown),
                more=more,
                chosen=chosen("scene", text, score),
            )
        )
    return found
