"""A sentence encoder of MiniLM's size with random weights, phrases for it to read, and how a figure is taken and told.

Not run by itself: `benchmarks.encoding` and `benchmarks.retrieval` use it. The weights are random, so vectors mean nothing; the
work is that of all-MiniLM-L6-v2 (6 layers, 384 wide, WordPiece, 30 thousand words).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

WORDS = 30_000
LIMIT = 235  # seconds, after which a benchmark ends itself


def words() -> list[str]:
    """Words of two to four syllables, all different."""
    starts = [a + b for a in "bcdfghjklmnpqrstvwxz" for b in "aeiou"]
    return [starts[i % 100] + starts[i // 100 % 100] + (starts[i // 10_000] if i >= 10_000 else "") for i in range(WORDS)]


def save_encoder(folder: Path, *, small: bool) -> Path:
    """Save a SentenceTransformer (Transformer, mean Pooling, Normalize) in ``folder``; ``small``: two layers, 64 wide."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    vocabulary = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words()])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    special = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    torch.manual_seed(0)
    width = 64 if small else 384
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=width,
        num_hidden_layers=2 if small else 6,
        num_attention_heads=width // 32,
        intermediate_size=4 * width,
    )
    BertModel(config).save_pretrained(folder / "bert")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder / "bert")
    module = Transformer(str(folder / "bert"), max_seq_length=256)
    SentenceTransformer(modules=[module, Pooling(width, pooling_mode="mean"), Normalize()], device="cpu").save(str(folder / "st"))
    return folder / "st"


def phrases(count: int, seed: int = 0, longest: int = 9) -> list[str]:
    """Phrases of 2 to ``longest`` words; common words are common, as in language (the n-th word's share is about 1 / n)."""
    rng = np.random.default_rng(seed)
    known = words()
    lengths = rng.integers(2, longest + 1, size=count)
    drawn = np.minimum(WORDS - 1, np.exp(rng.random(int(lengths.sum())) * np.log(WORDS)).astype(np.int64)).tolist()
    ends = lengths.cumsum().tolist()
    return [" ".join([known[i] for i in drawn[first:last]]) for first, last in zip([0, *ends[:-1]], ends, strict=True)]


def fastest(calls: Mapping[str, Callable[[], Any]], rounds: int, settle: Callable[[], Any] = lambda: None) -> dict[str, float]:
    """The least seconds of each call, taken in turns, so that a busy neighbour slows all; ``settle`` waits for the device."""
    best = dict.fromkeys(calls, float("inf"))
    for _ in range(rounds):
        for name, call in calls.items():
            settle()
            began = time.perf_counter()
            call()
            settle()
            best[name] = min(best[name], time.perf_counter() - began)
    return best


def tell(name: str, figure: str, device: str, **values: Any) -> None:
    """Print one figure as a JSON line, with what it was taken on; numbers to four digits."""
    import torch

    where = torch.cuda.get_device_name() if device == "cuda" else f"cpu, {torch.get_num_threads()} threads"
    about = {"device": where, "torch": torch.__version__, "load": round(os.getloadavg()[0], 1)}
    rounded = {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in values.items()}
    print(json.dumps({"name": name, "figure": figure} | rounded | about), flush=True)


def end_in_time() -> None:
    """End this process after `LIMIT` seconds, whatever it is doing; figures already printed stand."""
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(f"stopped after {LIMIT} s"))
    signal.alarm(LIMIT)
