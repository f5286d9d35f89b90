"""Reading a captions file of the published form: rows a second, against the plain way, row by row.

    python -m benchmarks.caption_rows                      # 1,000,000 rows, about 450 MB of scratch space, a few minutes
    python -m benchmarks.caption_rows --rows 50000         # a look

The file is made up: captions of 30 words and lists of phrases drawn from vocabularies of the published graph's size (77,500
scenes, 53,000 scenarios, 80,000 actions, frequent ones more often), some with apostrophes, a third of the scenario lists empty as
in the published sample. The plain way is ``csv.DictReader`` and three ``ast.literal_eval`` a row. Both ways read the first
``--compared`` rows, and ours the whole file, in turn, ``--repeats`` times; both must agree on every row, and the least processor
time of each counts. Prints one JSON line.
"""

from __future__ import annotations

import argparse
import ast
import csv
import json
import platform
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rapo_lightning.retrieval.captions.ingest import open_captions
from rapo_lightning.retrieval.phrases import key, tidy
from rapo_lightning.types import CaptionPhrases

SIZES = {"place": 77_500, "scenario_word": 53_000, "verb_obj_word": 80_000}


def plainly(path: Path) -> Iterator[CaptionPhrases]:
    """The plain way: what the published script does to a row, with the checks that make its results equal to ours."""
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            lists = {}
            for column in SIZES:
                phrases: dict[str, str] = {}
                for phrase in ast.literal_eval(row[column]):
                    if tidy(phrase):
                        phrases.setdefault(key(phrase), tidy(phrase))
                lists[column] = tuple(phrases.values())
            if row["Input"].strip() and lists["place"] and (lists["verb_obj_word"] or lists["scenario_word"]):
                yield CaptionPhrases(
                    caption=row["Input"].strip(),
                    scenes=lists["place"],
                    actions=lists["verb_obj_word"],
                    atmosphere=lists["scenario_word"],
                )


def main() -> None:
    """Make the files, measure, print."""
    options = _options()
    with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
        whole, part = Path(folder, "whole.csv"), Path(folder, "part.csv")
        _write(whole, options.rows, options.seed)
        _write(part, compared := min(options.rows, options.compared), options.seed)
        if any(a != b for a, b in zip(open_captions(part).phrases(), plainly(part), strict=True)):
            raise SystemExit("the two ways read something different")
        plain, ours, seconds = [], [], []
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(options.repeats):
            plain.append(_seconds(lambda: plainly(part)))
            ours.append(_seconds(lambda: open_captions(part).phrases()))
            seconds.append(_seconds(lambda: open_captions(whole).phrases()))
        megabytes = whole.stat().st_size / 1e6
    print(
        json.dumps(
            {
                "name": "caption_rows",
                "rows": options.rows,
                "megabytes": round(megabytes, 1),
                "microseconds_a_row": round(min(seconds) / options.rows * 1e6, 2),
                "seconds": round(min(seconds), 2),
                "further_memory_megabytes": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3, 1),
                "compared_rows": compared,
                "plain_microseconds_a_row": round(min(plain) / compared * 1e6, 2),
                "compared_microseconds_a_row": round(min(ours) / compared * 1e6, 2),
                "compared_ratio": round(min(plain) / min(ours), 1),
                "ratio": round(min(plain) / compared / (min(seconds) / options.rows), 1),
                "repeats": options.repeats,
                "python": platform.python_version(),
                "processor": platform.processor() or platform.machine(),
            }
        )
    )


def _write(path: Path, rows: int, seed: int) -> None:
    random_ = random.Random(seed)
    syllables = [a + b for a in "bcdfghklmnprst" for b in "aeiou"]
    words = ["".join(random_.choices(syllables, k=random_.randint(1, 4))) for _ in range(20_000)]
    phrases = {column: [_phrase(random_, words) for _ in range(size)] for column, size in SIZES.items()}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["Input", "Output", "verb_obj_word", "scenario_word", "place"])
        for _ in range(rows):
            verbs = [_draw(random_, phrases["verb_obj_word"]) for _ in range(random_.choice((1, 1, 2)))]
            scenarios = [_draw(random_, phrases["scenario_word"]) if random_.random() < 2 / 3 else ""]
            places = [_draw(random_, phrases["place"])]
            caption = random_.choices(words, k=30)
            caption[random_.randrange(30)] += random_.choice((".", ".", ","))
            output = f"verb_obj_word: {verbs}, scenario_word: {scenarios}, place: {places}"
            writer.writerow([" ".join(caption), output, verbs, scenarios, places])


def _phrase(random_: random.Random, words: list[str]) -> str:
    phrase = " ".join(random_.choices(words, k=random_.randint(2, 8)))
    return f"{phrase}'s side" if random_.random() < 0.02 else phrase


def _draw(random_: random.Random, phrases: list[str]) -> str:
    """Frequent phrases stand first: the first tenth of them makes a third of all draws."""
    return phrases[int(len(phrases) * random_.random() ** 2)]


def _seconds(rows: Callable[[], Iterable[object]]) -> float:
    """Processor time of reading all rows; nothing is kept of them."""
    started = time.process_time()
    for _ in rows():
        pass
    return time.process_time() - started


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--compared", type=int, default=100_000, help="rows that are also read the plain way")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", type=Path, help="where the made-up files go for a while; the system's folder by default")
    return parser.parse_args()


if __name__ == "__main__":
    main()
