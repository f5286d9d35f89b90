"""Encoding phrases for a relation graph: one encode call a phrase against `SentenceEncoder`, on a MiniLM-sized random model.

    OMP_NUM_THREADS=1 python -m benchmarks.encoding --threads 1
    python -m benchmarks.encoding --threads 2
    python -m benchmarks.encoding --device cuda

Prints one JSON line a figure. The naive side is timed on a sample and said to scale with the number of phrases; vectors are
compared before a ratio is printed. Classes: N, the same arithmetic up to rounding; Q, another result (bfloat16).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.minilm import end_in_time, fastest, phrases, save_encoder, tell

ROWS = 2000


def main() -> None:
    """Time both sides, in turns, in one process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--threads", type=int, default=2, help="torch's threads on a CPU")
    parser.add_argument("--count", type=int, default=1_000_000, help="different phrases on a GPU")
    parser.add_argument("--small", action="store_true", help="a tiny model and few phrases: shows that it runs, measures nothing")
    options = parser.parse_args()
    end_in_time()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true" if options.device == "cuda" else "false")
    import torch

    if options.device == "cpu":
        torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as folder:
        model = save_encoder(Path(folder), small=options.small)
        if options.device == "cuda":
            on_gpu(model, 20_000 if options.small else options.count)
        else:
            on_cpu(model, 50 if options.small else ROWS)


def table(rows: int) -> list[str]:
    """The phrases of a captions table, 7 a row: about three in ten are new, as in a sample of a real one."""
    rng = np.random.default_rng(0)
    known = phrases(rows * 7, seed=1)
    common = (min(1000, len(known)) * rng.random(len(known)) ** 2).astype(np.int64)
    return [known[i if new else j] for i, (new, j) in enumerate(zip(rng.random(len(known)) < 0.25, common.tolist(), strict=True))]


def on_cpu(model: Path, rows: int) -> None:
    """Seconds of a table's phrases, with its repeats and without."""
    naive, encoder = naive_encoder(model, "cpu"), our_encoder(model, "cpu")
    all_phrases = table(rows)
    unique = list(dict.fromkeys(all_phrases))
    sample = unique[:: max(1, len(unique) // 60)]
    check(naive, encoder, sample, unique)
    part = unique[:600]
    best = fastest(
        {
            "naive": lambda: [encode_one(naive, text) for text in sample],
            "library": lambda: naive.encode(part, show_progress_bar=False),
            "ours": lambda: encoder.encode(part),
        },
        rounds=4,
    )
    best |= fastest({"table": lambda: encoder.encode(all_phrases)}, rounds=2)
    one = best["naive"] / len(sample)
    shared = {"class": "N", "naive_timed_on": len(sample), "library": "SentenceTransformer.encode(list)"}
    tell(
        "encoding",
        "seconds of different phrases",
        "cpu",
        phrases=len(part),
        naive=one * len(part),
        library_seconds=best["library"],
        ours=best["ours"],
        ratio=one * len(part) / best["ours"],
        ratio_to_library=best["library"] / best["ours"],
        **shared,
    )
    tell(
        "encoding",
        f"seconds of a {rows} row table's phrases",
        "cpu",
        phrases=len(all_phrases),
        different=len(unique),
        naive=one * len(all_phrases),
        ours=best["table"],
        ratio=one * len(all_phrases) / best["table"],
        ratio_if_naive_skips_repeats=one * len(unique) / best["table"],
        goal=10,
        **shared,
    )


def on_gpu(model: Path, count: int) -> None:
    """Phrases a second, all different, and how much of that is tokenising."""
    import torch

    naive, encoder = naive_encoder(model, "cuda"), our_encoder(model, "cuda")
    texts = list(dict.fromkeys(phrases(int(count * 1.2))))[:count]
    sample = texts[:300]
    check(naive, encoder, sample, texts[:50_000])
    tokenizer = encoder._load().tokenizer
    part = texts[:50_000]
    best = fastest(
        {
            "naive": lambda: [encode_one(naive, text) for text in sample],
            "library": lambda: naive.encode(part, batch_size=1024, show_progress_bar=False),
            "ours": lambda: encoder.encode(texts),
            "tokenising": lambda: tokenizer.tokenise(part, 65_536),
        },
        rounds=2,
        settle=torch.cuda.synchronize,
    )
    rough = our_encoder(model, "cuda", dtype="bfloat16")
    error = (rough.encode(part) - encoder.encode(part)).abs().max().item()
    best |= fastest({"bfloat16": lambda: rough.encode(texts)}, rounds=2, settle=torch.cuda.synchronize)
    one = len(sample) / best["naive"]
    about = {"phrases": len(texts), "naive": one, "naive_timed_on": len(sample)}
    ours = len(texts) / best["ours"]
    tell(
        "encoding",
        "phrases/s",
        "cuda",
        ours=ours,
        ratio=ours / one,
        library=len(part) / best["library"],
        tokenising=len(part) / best["tokenising"],
        cores=len(os.sched_getaffinity(0)),
        goal=150_000,
        **about,
        **{"class": "N"},
    )
    rate = len(texts) / best["bfloat16"]
    tell("encoding", "phrases/s", "cuda", ours=rate, ratio=rate / one, max_diff=error, **about, **{"class": "Q"})


def naive_encoder(model: Path, device: str) -> Any:
    """sentence-transformers itself."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(model), device=device)


def our_encoder(model: Path, device: str, **settings: Any) -> Any:
    """The product's part, loaded and warm."""
    from rapo_lightning.language import SentenceEncoder

    encoder = SentenceEncoder(str(model), **settings).to(device)
    encoder.encode(phrases(3000 if device == "cuda" else 20, seed=2))
    return encoder


def encode_one(model: Any, text: str) -> Any:
    """The plainly written way: a call a phrase."""
    return model.encode(text, normalize_embeddings=True, show_progress_bar=False)


def check(naive: Any, encoder: Any, sample: list[str], texts: list[str]) -> None:
    """Ours, among all the others and among themselves, must be theirs alone, to 1e-6."""
    for given in (texts, sample):
        rows = encoder.encode(given)
        place = {text: row for row, text in enumerate(given)}
        worst = max(abs(rows[place[text]].numpy() - encode_one(naive, text)).max() for text in sample)
        assert worst <= 1e-6, f"vectors differ by {worst}"


if __name__ == "__main__":
    main()
