"""Trains the tiny sentence encoder (SentenceTransformer on BERT) that Stage 1 retrieves with.

    python -m rapo_lightning.shapes.train_encoder --out build/encoder
    python -m rapo_lightning.shapes.train_encoder --out build/encoder --small

Cosine similarities are taught directly: two phrases of one meaning 1, of different meanings 0; a sentence and a phrase 0.8 when
it says so, 0.3 when it leaves it open, 0 when it says otherwise; two sentences by the share of attributes on which they agree.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rapo_lightning.shapes.captions import ACTION, ATMOSPHERE, PLACE, SYNONYMS, caption, state, user_prompt
from rapo_lightning.shapes.fit import Fit, fit
from rapo_lightning.shapes.lessons import complete
from rapo_lightning.shapes.scene import Scene, sample
from rapo_lightning.shapes.script import record
from rapo_lightning.shapes.tokens import sentences, train_tokenizer

__all__ = ["PHRASES", "pair", "train"]

LENGTH = 64  # tokens; longer sentences are cut
_SAYS, _OPEN = 0.8, 0.3

#: Phrases by the meaning they share: what the captions call it, and what people do.
PHRASES: Mapping[tuple[str, str], tuple[str, ...]] = {
    **{("place", name): (PLACE[name], *SYNONYMS[name]) for name in PLACE},
    **{("atmosphere", name): (ATMOSPHERE[name], *SYNONYMS[name]) for name in ATMOSPHERE},
    **{("action", name): (ACTION[name],) for name in ACTION},
}


def pair(rng: np.random.Generator) -> tuple[str, str, float]:
    """Two texts and the cosine that their vectors should have."""
    scene = sample(rng, "train")
    stated = state(scene, rng)
    kind = rng.random()
    meanings = list(PHRASES)
    if kind < 0.3:
        first, second = (meanings[int(i)] for i in rng.integers(len(meanings), size=2))
        if rng.random() < 0.5:
            second = first
        return _one(PHRASES[first], rng), _one(PHRASES[second], rng), float(first == second)
    if kind < 0.65:
        meaning = meanings[int(rng.integers(len(meanings)))]
        typed = rng.random() < 0.6
        text, said = (user_prompt(stated, rng), stated) if typed else (caption(scene), scene)
        return text, _one(PHRASES[meaning], rng), _agreement(said, *meaning)
    other = scene if rng.random() < 0.5 else sample(rng, "train")
    text = caption(complete(state(other, rng), rng)) if rng.random() < 0.5 else user_prompt(state(other, rng), rng)
    return user_prompt(stated, rng), text, _overlap(stated, other)


def train(out: Path, *, options: Fit, batch_size: int, device: str, small: bool) -> dict[str, Any]:
    """Train and save a SentenceTransformer to ``out``; its vectors are normalised."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import BertConfig, BertModel

    torch.manual_seed(options.seed)
    tokenizer = train_tokenizer(sentences(20_000, options.seed), 1200, pad="<pad>", end="</s>")
    width = 32 if small else 128
    bert: Any = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=1 if small else 3,
            num_attention_heads=width // 32,
            intermediate_size=2 * width,
            max_position_embeddings=LENGTH,
            pad_token_id=tokenizer.pad_token_id,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )
    bert.to(device)

    def batch(step: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng(options.seed * 1_000_003 + step)
        first, second, targets = zip(*(pair(rng) for _ in range(batch_size)), strict=True)
        coded = tokenizer([*first, *second], padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt")
        return coded["input_ids"].to(device), coded["attention_mask"].to(device), torch.tensor(targets).to(device)

    def loss(words: Tensor, mask: Tensor, targets: Tensor) -> Tensor:
        hidden = bert(input_ids=words, attention_mask=mask).last_hidden_state * mask[..., None]
        first, second = nn.functional.normalize(hidden.sum(1) / mask.sum(1, keepdim=True), dim=-1).chunk(2)
        return ((first * second).sum(-1) - targets).square().mean()

    result: dict[str, Any] = fit("encoder", bert, batch, loss, options, out)
    result["parameters"] = sum(p.numel() for p in bert.parameters())
    with tempfile.TemporaryDirectory() as folder:
        bert.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        words = Transformer(folder, max_seq_length=LENGTH)
        SentenceTransformer(modules=[words, Pooling(width, pooling_mode="mean"), Normalize()]).save(str(out))
    return result


def _agreement(scene: Scene, field: str, value: str) -> float:
    if field in ("place", "atmosphere"):
        said = getattr(scene, field)
        return _OPEN if said is None else _SAYS * (said == value)
    actions = [item.action for item in scene.items]
    return _SAYS if value in actions else _OPEN * (None in actions)


def _overlap(stated: Scene, other: Scene) -> float:
    mine, theirs = stated.attributes(), other.attributes()
    return float(np.mean([theirs.get(name) == value for name, value in mine.items()]))


def _one(phrases: tuple[str, ...], rng: np.random.Generator) -> str:
    return phrases[int(rng.integers(len(phrases)))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="a tiny model and few steps, to try the script")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    if a.small:
        a.steps, a.batch_size = min(a.steps, 4), 4
    options = Fit(steps=a.steps, rate=a.rate, seed=a.seed, warm_up=100, average=0.99, graph=False)
    result = train(a.out, options=options, batch_size=a.batch_size, device=a.device, small=a.small)
    record("encoder", result, a)


if __name__ == "__main__":
    main()
