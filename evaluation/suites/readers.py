"""How each benchmark's own files are read. What is in them stays theirs: nothing of it is here but VBench's list (Apache-2.0)."""

from __future__ import annotations

import ast
import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evaluation.suites.prompts import SuitePrompt

__all__ = ["BUNDLED", "COMPBENCH", "READERS", "SOURCES"]

BUNDLED = {"vbench": Path(__file__).parent / "data" / "VBench_full_info.json"}
SOURCES = {
    "vbench": "github.com/Vchitect/VBench, vbench/VBench_full_info.json",
    "vbench_category": "github.com/Vchitect/VBench, prompts/prompts_per_category, a category's file",
    "vbench2": "github.com/Vchitect/VBench, VBench-2.0/vbench2/VBench2_full_info.json",
    "t2v_compbench": "github.com/KaiyueSun98/T2V-CompBench, the folder meta_data",
    "videophy": "huggingface.co/datasets/videophysics/videophy_test_public, as csv, json or jsonl",
    "videophy2": "huggingface.co/datasets/videophysics/videophy2_test, as csv, json or jsonl",
    "phygenbench": "github.com/OpenGVLab/PhyGenBench, the folder PhyGenBench",
    "evalcrafter": "github.com/evalcrafter/EvalCrafter, metadata.json or evalcrafter_prompt.txt",
}
#: T2V-CompBench's files, and the folder of videos that each has; in the suite's order.
COMPBENCH = {
    "consistent_attribute_binding": "consistent_attr",
    "dynamic_attribute_binding": "dynamic_attr",
    "spatial_relationships": "spatial_relationships",
    "motion_binding": "motion_binding",
    "action_binding": "action_binding",
    "object_interactions": "interaction",
    "generative_numeracy": "numeracy",
}
_DIVERSITY = 20


def read_vbench(path: Path) -> Iterator[SuitePrompt]:
    """946 entries; two prompts stand there twice, and count twice."""
    for number, entry in enumerate(_json(path)):
        yield SuitePrompt(
            id=f"vbench-{number:04d}",
            prompt=entry["prompt_en"],
            dimension=tuple(entry["dimension"]),
            auxiliary_info=dict(entry.get("auxiliary_info") or {}),
            samples_per_prompt=5,
            number=number,
        )


def read_category(path: Path) -> Iterator[SuitePrompt]:
    """A prompt a line; each is for all dimensions that need a prompt at most."""
    lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    for number, prompt in enumerate(line for line in lines if line):
        yield SuitePrompt(id=f"{path.stem}-{number:04d}", prompt=prompt, samples_per_prompt=5, number=number)


def read_vbench2(path: Path) -> Iterator[SuitePrompt]:
    """The full list, or the list of a dimension; what an entry gives is kept under its dimension's name."""
    numbers: dict[str, int] = {}
    for entry in _json(path):
        found = entry["dimension"]
        dimension = found if isinstance(found, str) else found[0]
        number = numbers[dimension] = numbers.get(dimension, -1) + 1
        given = entry.get("auxiliary_info")
        yield SuitePrompt(
            id=f"vbench2-{dimension}-{number:03d}",
            prompt=entry["prompt_en"],
            dimension=(dimension,),
            auxiliary_info={dimension: given} if given else {},
            samples_per_prompt=_DIVERSITY if dimension == "Diversity" else 3,
            number=number,
        )


def read_compbench(path: Path) -> Iterator[SuitePrompt]:
    """A folder with the suite's seven files, or some of them, or one file."""
    files = [path] if path.is_file() else [path / f"{name}.json" for name in COMPBENCH if (path / f"{name}.json").is_file()]
    for file in files:
        if file.stem not in COMPBENCH:
            raise ValueError(f"{file.name} is none of {', '.join(COMPBENCH)}")
        for number, entry in enumerate(_json(file)):
            yield SuitePrompt(
                id=f"compbench-{file.stem}-{number + 1:04d}",
                prompt=entry["prompt"],
                dimension=(file.stem,),
                auxiliary_info={name: value for name, value in entry.items() if name != "prompt"},
                number=number,
            )


def read_videophy(path: Path) -> Iterator[SuitePrompt]:
    """Distinct captions in order; the files have a line for each video of each model."""
    kept = ("states_of_matter", "complexity")
    for number, (caption, rows) in enumerate(_by_caption(path).items()):
        more = {name: rows[0][name] for name in kept if rows[0].get(name) not in (None, "")}
        yield SuitePrompt(id=f"videophy-{number:04d}", prompt=caption, auxiliary_info=more, number=number)


def read_videophy2(path: Path) -> Iterator[SuitePrompt]:
    """Distinct captions in order; ``rules`` are all that any line of the caption names, in columns with "rule" in their name."""
    kept = ("action", "category", "is_hard")
    for number, (caption, rows) in enumerate(_by_caption(path).items()):
        rules = [rule for row in rows for name in sorted(row) if "rule" in name for rule in _texts(row[name])]
        more = {name: rows[0][name] for name in kept if rows[0].get(name) not in (None, "")}
        found = {"rules": list(dict.fromkeys(rules))} if rules else {}
        yield SuitePrompt(id=f"videophy2-{number:04d}", prompt=caption, auxiliary_info={**more, **found}, number=number)


def read_phygenbench(path: Path) -> Iterator[SuitePrompt]:
    """The folder with prompts.json and, beside it, the questions of the three stages and explicit_prompts.json if there."""
    prompts = _json(path / "prompts.json")
    stages = {"single": "singleimage_question", "multi": "multiimage_question", "video": "video_question"}
    explicit = _json(path / "explicit_prompts.json") if (path / "explicit_prompts.json").is_file() else []
    questions = {stage: _json(path / file) for stage in stages if (path / (file := f"{stage}_question.json")).is_file()}
    for number, entry in enumerate(prompts):
        given = {name: value for name, value in entry.items() if name != "caption"}
        for stage, entries in questions.items():
            if entries[number]["caption"].strip() != entry["caption"].strip():
                raise ValueError(f"{stage}_question.json, entry {number}: another caption than in prompts.json")
            given[stage] = entries[number][stages[stage]]
        if explicit:
            given["explicit_caption"] = explicit[number]["explicit_caption"]
        yield SuitePrompt(
            id=f"phygenbench-{number + 1:03d}",
            prompt=entry["caption"],
            auxiliary_info=given,
            number=number,
        )


def read_evalcrafter(path: Path) -> Iterator[SuitePrompt]:
    """metadata.json ({"0000": {"prompt", "attributes"}}), or a text file with a prompt a line."""
    if path.suffix == ".txt":
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
        entries: Mapping[str, Any] = {f"{i:04d}": {"prompt": line} for i, line in enumerate(line for line in lines if line)}
    else:
        entries = _json(path)
    for key, entry in entries.items():
        attributes = dict(entry.get("attributes") or {})
        yield SuitePrompt(id=f"evalcrafter-{key}", prompt=entry["prompt"], auxiliary_info=attributes, number=int(key))


READERS: dict[str, Callable[[Path], Iterable[SuitePrompt]]] = {
    "vbench": read_vbench,
    "vbench_category": read_category,
    "vbench2": read_vbench2,
    "t2v_compbench": read_compbench,
    "videophy": read_videophy,
    "videophy2": read_videophy2,
    "phygenbench": read_phygenbench,
    "evalcrafter": read_evalcrafter,
}


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8-sig"))


def _by_caption(path: Path) -> dict[str, list[Mapping[str, Any]]]:
    if path.suffix == ".csv":
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows: list[Mapping[str, Any]] = list(csv.DictReader(file))
    elif path.suffix == ".jsonl":
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    else:
        rows = _json(path)
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        found.setdefault(str(row["caption"]).strip(), []).append(row)
    return found


def _texts(value: Any) -> list[str]:
    """A list of texts, or its text as JSON or as Python writes it; anything else holds none."""
    if isinstance(value, str) and value.strip().startswith("["):
        try:
            value = json.loads(value)
        except ValueError:
            try:
                value = ast.literal_eval(value)
            except (ValueError, SyntaxError):
                return []
    return [text.strip() for text in value if isinstance(text, str) and text.strip()] if isinstance(value, list) else []
