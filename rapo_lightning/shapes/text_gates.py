"""Gates of the tiny stack's text models: do rewrites keep the request, do phrases of one meaning lie together."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from rapo_lightning.protocols import Rewriter
from rapo_lightning.shapes.captions import ACTION, ATMOSPHERE, PACE, PLACE, SIDES, caption, state, user_prompt
from rapo_lightning.shapes.critique import compare
from rapo_lightning.shapes.dataset import arranged_scenes
from rapo_lightning.shapes.scene import COLOURS, SHAPES, SIZES, Item, Scene, Split
from rapo_lightning.shapes.train_encoder import PHRASES, pair
from rapo_lightning.types import Candidate, Feedback, Prompt, Reply, Trajectory

__all__ = ["encoder_gate", "language_gate", "read_caption"]

_OPENING = re.compile(rf"A smooth animated clip of ({'|'.join(PLACE.values())}) ({'|'.join(ATMOSPHERE.values())})\. ")
_MOVES = "|".join(sorted(ACTION.values(), key=len, reverse=True))
_NAME = " ".join(f"({'|'.join(names)})" for names in (SIZES, COLOURS, SHAPES))
_SENTENCE = re.compile(rf" The {_NAME} ({_MOVES})(?: ({'|'.join(PACE.values())}))?\.")


def read_caption(text: str) -> Scene | None:
    """The scene of which ``text`` is a caption in the training style, further sentences aside; None when it is none."""
    opening = _OPENING.match(text)
    if opening is None:
        return None
    items = []
    for size, colour, shape, move, pace in _SENTENCE.findall(text)[:2]:
        action, speed = _key(ACTION, move), _key(PACE, pace) if pace else None
        items.append(Item(shape=shape, colour=colour, size=size, action=action, speed=speed))
    relations: list[str | None] = [None] if len(items) == 1 else list(SIDES)
    for relation in relations if items else ():
        scene = Scene(
            items=tuple(items), place=_key(PLACE, opening[1]), atmosphere=_key(ATMOSPHERE, opening[2]), relation=relation
        )
        if text.startswith(caption(scene)):
            return scene
    return None


def language_gate(rewriter: Rewriter, count: int, split: Split, workers: int = 1) -> dict[str, Any]:
    """The share of users' requests whose first rewrite is a caption of the style that keeps all that was stated."""
    rng = np.random.default_rng(92)
    stated = [state(scene, rng) for scene in arranged_scenes(count, split, 92, workers).scenes]
    asked = [_tried(user_prompt(scene, rng)) for scene in stated]
    began = time.perf_counter()
    replies = rewriter.rewrite(asked)
    seconds = time.perf_counter() - began
    scenes = [read_caption(reply.text) if isinstance(reply, Reply) else None for reply in replies]
    kept = [scene is not None and all(compare(said, scene).values()) for said, scene in zip(stated, scenes, strict=True)]
    return {
        "gate": "language",
        "prompts": count,
        "split": split,
        "in_style": round(float(np.mean([scene is not None for scene in scenes])), 4),
        "kept": round(float(np.mean(kept)), 4),
        "seconds_a_rewrite": round(seconds / count, 4),
    }


def encoder_gate(folder: Path, count: int, device: str) -> dict[str, Any]:
    """How the cosines of fresh pairs go with those taught, and how often a phrase lies nearest to one of its own meaning."""
    from sentence_transformers import SentenceTransformer

    encoder = SentenceTransformer(str(folder), device=device)
    rng = np.random.default_rng(93)
    first, second, taught = zip(*(pair(rng) for _ in range(count)), strict=True)
    cosines = (_encoded(encoder, first) * _encoded(encoder, second)).sum(axis=1)
    phrases = [(phrase, meaning) for meaning, group in PHRASES.items() if len(group) > 1 for phrase in group]
    vectors = _encoded(encoder, [phrase for phrase, _ in phrases])
    likeness = vectors @ vectors.T - 2 * np.eye(len(phrases))
    same = [phrases[int(near)][1] == meaning for near, (_, meaning) in zip(likeness.argmax(axis=1), phrases, strict=True)]
    return {
        "gate": "encoder",
        "pairs": count,
        "correlation": round(float(np.corrcoef(cosines, taught)[0, 1]), 4),
        "nearest_is_alike": round(float(np.mean(same)), 4),
    }


def _encoded(encoder: Any, texts: Sequence[str]) -> np.ndarray:
    vectors: np.ndarray = encoder.encode(list(texts), show_progress_bar=False)
    return vectors.astype(np.float64)


def _tried(text: str) -> Trajectory:
    """A request whose own words were tried and found wanting."""
    prompt = Prompt.of(text)
    feedback = Feedback(judge="alignment", score=0.5, critique="wrong: it is not what was asked for")
    candidate = Candidate(
        id="0", prompt_id=prompt.id, round=0, text=text, origin="user", feedback=(feedback,), reward=feedback.score
    )
    return Trajectory(prompt=prompt, candidates=(candidate,), best=candidate)


def _key(names: dict[str, str], value: str) -> str:
    return next(key for key, name in names.items() if name == value)
