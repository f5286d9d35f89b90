"""Trains the tiny sentence encoder (SentenceTransformer on BERT) that Stage 1 retrieves with.

    python -m rapo_lightning.shapes.train_encoder --out build/encoder
    python -m rapo_lightning.shapes.train_encoder --out build/encoder --small

Cosine similarities are taught directly: two phrases of one meaning 1; a sentence and a phrase 0.75 when it says so, 0.45 when it
leaves it open, 0.2 when it says otherwise; two sentences by the share of attributes on which they agree. Phrases of different
meanings share 0.45 (0.2 when they exclude one another): vectors at right angles could not all be near to a sentence of five.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from rapo_lightning.shapes.captions import ACTION, ATMOSPHERE, PACE, PLACE, SYNONYMS, caption, state, user_prompt
from rapo_lightning.shapes.fit import Fit, fit
from rapo_lightning.shapes.lessons import complete
from rapo_lightning.shapes.scene import COLOURS, SHAPES, SIZES, SPEEDS, TRANSLATIONS, Item, Scene, sample
from rapo_lightning.shapes.script import drawn, run, training_parser
from rapo_lightning.shapes.tokens import sentences, train_tokenizer

__all__ = ["PHRASES", "pair", "train"]

LENGTH = 64  # tokens; longer sentences are cut
_SAYS, _OPEN, _DENIES = 0.75, 0.45, 0.2

#: Phrases by the meaning they share: what the captions call it, and what people do.
PHRASES: Mapping[tuple[str, str], tuple[str, ...]] = {
    **{("place", name): (PLACE[name], *SYNONYMS[name]) for name in PLACE},
    **{("atmosphere", name): (ATMOSPHERE[name], *SYNONYMS[name]) for name in ATMOSPHERE},
    **{("action", name): (ACTION[name],) for name in ACTION},
}


class _Phrase(NamedTuple):
    """A phrase and what it says: a place, an atmosphere, or of an object."""

    text: str
    place: str | None = None
    atmosphere: str | None = None
    item: Item | None = None


def pair(rng: np.random.Generator) -> tuple[str, str, float]:
    """Two texts and the cosine that their vectors should have."""
    scene = sample(rng, "train")
    stated = state(scene, rng)
    kind = rng.random()
    if kind < 0.3:
        first = _phrase(rng)
        second = _again(first, rng) if rng.random() < 0.4 else _phrase(rng)
        return first.text, second.text, _likeness(first, second)
    if kind < 0.75:
        typed = rng.random() < 0.7
        text, said = (user_prompt(stated, rng), stated) if typed else (caption(scene), scene)
        phrase = _of(said if rng.random() < 0.5 else scene, rng) if rng.random() < 0.6 else _phrase(rng)
        return text, phrase.text, _agreement(said, phrase)
    other = scene if rng.random() < 0.5 else sample(rng, "train")
    text = caption(complete(state(other, rng), rng)) if rng.random() < 0.5 else user_prompt(state(other, rng), rng)
    return user_prompt(stated, rng), text, _overlap(stated, other)


def _pairs(task: tuple[int, int]) -> list[tuple[str, str, float]]:
    count, seed = task
    rng = np.random.default_rng(seed)
    return [pair(rng) for _ in range(count)]


def train(
    out: Path,
    *,
    options: Fit,
    batch_size: int,
    examples: int,
    workers: int,
    device: str,
    small: bool,
    initial: Path | None = None,
) -> dict[str, Any]:
    """Train, from the encoder in ``initial`` when given, and save a SentenceTransformer to ``out``, with normalised vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import AutoTokenizer, BertModel

    torch.manual_seed(options.seed)
    if initial:
        tokenizer: Any = AutoTokenizer.from_pretrained(initial)
        bert: Any = BertModel.from_pretrained(initial, dtype=torch.float32)
    else:
        tokenizer = train_tokenizer(sentences(20_000, options.seed), 1200, pad="<pad>", end="</s>")
        bert = _bert(len(tokenizer), tokenizer.pad_token_id, small)
    bert.to(device)
    first, second, targets = zip(*drawn(_pairs, examples, options.seed, workers), strict=True)
    coded = tokenizer([*first, *second], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
    # Tokens and mask of both texts of a pair, (N, 2, LENGTH), and the cosines (N,).
    words, masks = (coded[name].view(2, -1, LENGTH).transpose(0, 1).to(device) for name in ("input_ids", "attention_mask"))
    cosines = torch.tensor(targets).to(device)

    def batch(step: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + step)
        index = torch.randint(len(cosines), (batch_size,), generator=generator, device=device)
        both, mask = (part[index].transpose(0, 1).flatten(0, 1) for part in (words, masks))
        return both, mask, cosines[index]

    def loss(words: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        # As a float mask: of an integer one transformers asks whether it masks anything, which waits for the device.
        seen = torch.where(mask[:, None, None].bool(), 0.0, -1e9)
        hidden = bert(input_ids=words, attention_mask=seen).last_hidden_state * mask[..., None]
        first, second = nn.functional.normalize(hidden.sum(1) / mask.sum(1, keepdim=True), dim=-1).chunk(2)
        return ((first * second).sum(-1) - targets).square().mean()

    result: dict[str, Any] = fit("encoder", bert, batch, loss, options, out)
    result["parameters"] = sum(p.numel() for p in bert.parameters())
    with tempfile.TemporaryDirectory() as folder:
        bert.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        transformer = Transformer(folder, max_seq_length=LENGTH)
        SentenceTransformer(modules=[transformer, Pooling(bert.config.hidden_size, pooling_mode="mean"), Normalize()]).save(
            str(out)
        )
    return result


def _bert(vocabulary: int, pad: int, small: bool) -> Any:
    """A fresh BERT of half a million parameters."""
    from transformers import BertConfig, BertModel

    width = 32 if small else 128
    return BertModel(
        BertConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            num_hidden_layers=1 if small else 3,
            num_attention_heads=width // 32,
            intermediate_size=2 * width,
            max_position_embeddings=LENGTH,
            pad_token_id=pad,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )


def _phrase(rng: np.random.Generator) -> _Phrase:
    """Any phrase that a graph of captions may hold, or that people use in its place."""
    return _of(complete(state(sample(rng, "train"), rng), rng), rng)


def _of(scene: Scene, rng: np.random.Generator) -> _Phrase:
    """A phrase about something that ``scene`` says."""
    item = scene.items[int(rng.integers(len(scene.items)))]
    kind = rng.random()
    if kind < 0.25 and scene.place:
        return _Phrase(_one(PHRASES["place", scene.place], rng), place=scene.place)
    if kind < 0.5 and scene.atmosphere:
        return _Phrase(_one(PHRASES["atmosphere", scene.atmosphere], rng), atmosphere=scene.atmosphere)
    if kind < 0.75 and item.action:
        pace = f" {PACE[item.speed]}" if item.speed else ""
        moving = Item(shape="", colour="", size=None, action=item.action, speed=item.speed)
        return _Phrase(f"{ACTION[item.action]}{pace}", item=moving)
    name = " ".join(word for word in (item.size, item.colour, item.shape) if word)
    return _Phrase(f"a{'n' * (name[0] in 'aeiou')} {name}", item=replace(item, action=None, speed=None))


def _again(phrase: _Phrase, rng: np.random.Generator) -> _Phrase:
    """A phrase of the same meaning, or nearly so."""
    if phrase.place or phrase.atmosphere:
        meaning = ("place", phrase.place) if phrase.place else ("atmosphere", str(phrase.atmosphere))
        return phrase._replace(text=_one(PHRASES[meaning[0], str(meaning[1])], rng))
    item = phrase.item
    if item is not None and item.action:
        speed = SPEEDS[int(rng.integers(len(SPEEDS)))] if item.action in TRANSLATIONS else None
        pace = f" {PACE[speed]}" if speed else ""
        return _Phrase(f"{ACTION[item.action]}{pace}", item=replace(item, speed=speed))
    assert item is not None
    field, values = (("size", SIZES), ("colour", COLOURS), ("shape", SHAPES))[int(rng.integers(3))]
    changed = replace(item, **{field: values[int(rng.integers(len(values)))]})
    name = " ".join(word for word in (changed.size, changed.colour, changed.shape) if word)
    return _Phrase(f"a{'n' * (name[0] in 'aeiou')} {name}", item=changed)


def _likeness(first: _Phrase, second: _Phrase) -> float:
    for field in ("place", "atmosphere"):
        mine, theirs = getattr(first, field), getattr(second, field)
        if mine and theirs:
            return 1.0 if mine == theirs else _DENIES
    if first.item is None or second.item is None or bool(first.item.action) != bool(second.item.action):
        return _OPEN
    return _between(_DENIES, 1.0, _matches(first.item, second.item))


def _agreement(said: Scene, phrase: _Phrase) -> float:
    """How near a sentence that says ``said`` should be to a phrase."""
    for field in ("place", "atmosphere"):
        if wanted := getattr(phrase, field):
            stated = getattr(said, field)
            return _OPEN if stated is None else _SAYS if stated == wanted else _DENIES
    assert phrase.item is not None
    return max(_of_item(item, phrase.item) for item in said.items)


def _of_item(item: Item, wanted: Item) -> float:
    if wanted.action and item.action is None:
        return _OPEN
    return _between(_DENIES, _SAYS, _matches(item, wanted))


def _matches(mine: Item, wanted: Item) -> float:
    """The share of what ``wanted`` says that holds of ``mine``; what is left open counts half, another action for all."""
    if wanted.action:
        if mine.action != wanted.action:
            return 0.0
        return 1.0 if wanted.speed == mine.speed else 0.25 if wanted.speed and mine.speed else 0.75
    fields = [(getattr(mine, name), getattr(wanted, name)) for name in ("size", "colour", "shape") if getattr(wanted, name)]
    return float(np.mean([0.5 if a is None else float(a == b) for a, b in fields])) ** 2


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share


def _overlap(stated: Scene, other: Scene) -> float:
    mine, theirs = stated.attributes(), other.attributes()
    return _between(_DENIES, 1.0, float(np.mean([theirs.get(name) == value for name, value in mine.items()])))


def _one(phrases: tuple[str, ...], rng: np.random.Generator) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def main() -> None:
    parser = training_parser(__doc__, steps=12_000, batch_size=256, examples=262_144)
    run("encoder", train, parser, warm_up=200, average=0.995)


if __name__ == "__main__":
    main()
