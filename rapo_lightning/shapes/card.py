"""Writes the card of the tiny stack: data, training time, seeds, the gates reached, and the SHA-256 of every weights file.

    python -m rapo_lightning.shapes.card ckpt/shapes

Reads the ``training.json`` that each training leaves beside its weights, the lines of `gates` in ``gates.jsonl``, and the tables
``table.json``, ``ablation.json`` and ``stage3.json``.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["card"]

_PARTS = {
    "video": "WanPipeline: WanTransformer3DModel, UMT5 encoder, AutoencoderKLWan (4x in space and time), flow matching",
    "judge": "Qwen2.5-VL-type judge: alignment score and critique",
    "language": "Qwen2-type chat model: rewrite, restyle, merge, extract, select",
    "encoder": "SentenceTransformer on BERT",
}
_ADAPTERS = {
    "restyle": ("L_r: writes any text as a training caption", "shapes_restyle"),
    "select": ("L_d: chooses between Stage 1's rewrites", "shapes_select"),
    "refiner": ("Stage 3: writes in one go what the loop found", "shapes_refiner"),
}
_TABLES = {
    "table": "rapo quickstart --prompts 500",
    "ablation": "python -m benchmarks.stage1_ablation",
    "stage3": "python -m benchmarks.stage3_refiner",
}
_TEXT = """\
# The tiny stack

Weights of the embedded default, trained on the shapes world alone (scenes, captions and requests drawn from a seed; every
combination of shape, colour and action that `held_out` names is left out). Everything said here speaks of that world only.
This card is written by `python -m rapo_lightning.shapes.card ckpt/shapes`; what was tried and failed stands in `dev/LOG.md`.

To train the stack anew, well within one GPU hour: `python -m rapo_lightning.shapes.train_stack --out build/stack --workers 12`.

{parts}

## Training

{training}

Adapters of `language/`, by `rapo train` with the configuration named; its head tells how the pairs were made:

{adapters}

## What they are worth

Shares of held-out prompts whose video has everything asked for, by the exact verifier; paired differences with 95 % intervals in
the files.

{worth}

## Gates

Measured on {count} scenes each that hold a combination left out of training, the videos by the exact verifier:
`python -m rapo_lightning.shapes.gates ckpt/shapes`.

{gates}

## Files

{files}
"""


def card(stack: Path) -> str:
    """The card of the stack in a folder, as Markdown; a part that is not there yet is named as missing."""
    records = {name: _record(stack / name / "training.json") for name in _PARTS}
    gates = [json.loads(line) for line in _lines(stack / "gates.jsonl")]
    return _TEXT.format(
        parts=_table(
            ("folder", "what it is", "parameters"),
            [(f"`{name}/`", what, _parameters(stack / name, records[name])) for name, what in _PARTS.items()],
        ),
        training=_table(
            ("part", "steps", "minutes", "seed", "on"),
            [row for name, record in records.items() if record for row in _trainings(name, record)],
        ),
        adapters=_table(
            ("folder", "what it is", "configuration", "pairs", "steps", "nats a token", "seed"),
            [_adapter(stack / name, name, *what) for name, what in _ADAPTERS.items()],
        ),
        worth=_table(
            ("file", "arm", "prompts", "right", "of the gap from raw to oracle"),
            [row for name, command in _TABLES.items() for row in _worth(stack / f"{name}.json", command)],
        ),
        count=" or ".join(dict.fromkeys(str(gate[_counted(gate)]) for gate in gates)) or "no",
        gates=_table(("gate", "reached", "asked for"), [_gate(gate) for gate in gates]),
        files=_table(
            ("file", "bytes", "sha256"),
            [
                (
                    f"`{file.relative_to(stack).as_posix()}`",
                    f"{file.stat().st_size:,}",
                    hashlib.sha256(file.read_bytes()).hexdigest(),
                )
                for name in (*_PARTS, *_ADAPTERS)
                for file in sorted((stack / name).rglob("*.safetensors"))
            ],
        ),
    )


def _record(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []


def _parameters(folder: Path, record: Mapping[str, Any]) -> str:
    return f"{record['parameters']:,}" if record else ("?" if folder.is_dir() else "not there yet")


def _trainings(name: str, record: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """The trainings that led to a part, the first one first."""
    if "before" in record:
        yield from _trainings(name, record["before"])
    seconds, seed = record["seconds"] / 60, record["settings"]["seed"]
    yield name, f"{record['steps']:,.0f}", f"{seconds:.1f}", str(seed), f"{record['device']}, torch {record['torch']}"


def _adapter(folder: Path, name: str, what: str, configuration: str) -> tuple[str, ...]:
    record = _record(folder / "training.json")
    if not record:
        return f"`{name}/`", what, f"`{configuration}`", "not there yet", "", "", ""
    steps = f"{record['exported_step']:,} of {record['steps']:,}"
    figures = f"{record['data']['pairs']:,}", steps, f"{record['validation_loss']:.4f}", str(record["settings"]["seed"])
    return f"`{name}/`", what, f"`{configuration}`", *figures


def _worth(file: Path, command: str) -> Iterator[tuple[str, ...]]:
    """The arms of a comparison."""
    table = _record(file)
    for arm in table.get("arms", ()):
        closed = table["gap_closed"].get(arm["name"])
        gap = "" if closed is None else f"{closed:.0%}"
        right = f"{arm['right']:.1%} ({arm['low']:.1%} to {arm['high']:.1%})"
        yield f"`{file.name}`: `{command}`", arm["name"], str(arm["prompts"]), right, gap


def _gate(gate: Mapping[str, Any]) -> tuple[str, str, str]:
    """A line of `gates`: its name, what was reached, and what the suite asks of it."""
    name = str(gate["gate"])
    if name == "reconstruction":
        least = min(gate["by_attribute"].values())
        return (
            "read off reconstructions: all right; least attribute",
            f"{gate['right']:.1%}; {least:.1%}",
            "every attribute >= 97 %",
        )
    if name == "judge":
        accepted = f"kappa {gate['kappa']:.2f}, false accepts {gate['false_accepts']:.1%}"
        return "judge and verifier agree on generated videos", accepted, "kappa >= 0.6"
    if name == "language":
        kept = f"{gate['kept']:.1%}, in style {gate['in_style']:.1%}"
        return "rewrites keep all that was stated", kept, "-"
    if name == "encoder":
        near = f"{gate['nearest_is_alike']:.1%}, correlation of cosines {gate['correlation']:.2f}"
        return "a phrase lies nearest to one of its own meaning", near, "-"
    asked = {("caption", 1): ">= 75 %", ("caption", 2): ">= 50 %"}.get((name, gate["objects"]), "<= 45 % of all")
    objects = "one object" if gate["objects"] == 1 else "two objects"
    return f"{name}, {objects}, {gate['steps']} steps: everything asked for is right", f"{gate['right']:.1%}", asked


def _counted(gate: Mapping[str, Any]) -> str:
    return next(name for name in ("videos", "prompts", "pairs") if name in gate)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return "None yet."
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows))


def main() -> None:
    stack = Path(sys.argv[1] if len(sys.argv) > 1 else "ckpt/shapes")
    (stack / "README.md").write_text(card(stack), encoding="utf-8")
    print(stack / "README.md")


if __name__ == "__main__":
    main()
