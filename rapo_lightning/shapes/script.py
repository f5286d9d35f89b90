"""What the training scripts share: their command line, and the record that each leaves beside its weights."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch

from rapo_lightning.shapes.fit import Fit

__all__ = ["drawn", "record", "run", "training_parser"]

T = TypeVar("T")

_PART = 4096  # examples of one task
#: Settings of the loop, which a script's ``train`` gets as ``options``; it gets all others under their own names.
_LOOP = ("steps", "minutes", "rate", "seed", "no_graph")
_SMALL = {"batch_size": 2, "scenes": 16, "examples": 64}


def drawn(part: Callable[[tuple[int, int]], list[T]], count: int, seed: int, workers: int) -> list[T]:
    """``count`` examples from ``part((how many, seed))``, the same for any number of ``workers``.

    Processes are spawned: torch's threads may run by now, and do not live on in a fork.
    """
    tasks = [(min(_PART, count - start), seed * 1_000_003 + start) for start in range(0, count, _PART)]
    if workers == 1 or len(tasks) == 1:
        return [item for task in tasks for item in part(task)]
    with ProcessPoolExecutor(min(workers, len(tasks)), get_context("spawn")) as pool:
        return [item for items in pool.map(part, tasks) for item in items]


def training_parser(doc: str | None, *, steps: int, batch_size: int, **data: int) -> ArgumentParser:
    """The options of every training; ``data``: what is counted (``scenes`` or ``examples``) and how many there are."""
    parser = ArgumentParser(description=doc, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--initial", type=Path, help="an earlier result of this script to start from")
    parser.add_argument("--small", action="store_true", help="a tiny model and few steps, to try the script")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--minutes", type=float, default=0.0, help="shorten the training to this many minutes")
    parser.add_argument("--batch-size", type=int, default=batch_size)
    for name, count in data.items():
        parser.add_argument(f"--{name}", type=int, default=count)
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes that prepare the data")
    parser.add_argument("--no-graph", action="store_true", help="do not capture the step as a CUDA graph")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def run(name: str, train: Callable[..., Mapping[str, Any]], parser: ArgumentParser, **loop: Any) -> None:
    """Train as the command line says and leave the record; ``loop``: further settings of `Fit`."""
    given = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if given.small:
        vars(given).update({key: count for key, count in _SMALL.items() if key in given}, steps=min(given.steps, 4))
    options = Fit(steps=given.steps, minutes=given.minutes, rate=given.rate, seed=given.seed, graph=not given.no_graph, **loop)
    result = train(options=options, **{key: value for key, value in vars(given).items() if key not in _LOOP})
    record(name, result, given)


def record(name: str, result: Mapping[str, Any], given: Namespace) -> None:
    """Leave ``training.json`` beside the weights: what was trained, how long, on what, with which settings, from what before."""
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    settings = {key: str(value) if isinstance(value, Path) else value for key, value in vars(given).items() if key != "out"}
    row = {"name": name, **result, "device": device, "torch": torch.__version__, "settings": settings}
    initial = getattr(given, "initial", None)
    if initial and (initial / "training.json").is_file():
        row["before"] = json.loads((initial / "training.json").read_text(encoding="utf-8"))
    (given.out / "training.json").write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({"name": name, **result}), flush=True)
