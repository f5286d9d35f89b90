"""Refuses model folders that could run code: foreign weights are safetensors and configurations, and nothing else.

Checked before a folder is handed to a loader, whatever that loader itself would refuse:

* code: Python or native files, and configuration keys that name code (``auto_map``, ``custom_pipeline``, attention kernels, ...);
* classes: ``model_index.json`` of diffusers and ``modules.json`` of sentence-transformers name classes of those libraries only;
* pickles: weights in any form but safetensors, and safetensors whose header is none;
* links that lead out of the folder; a snapshot of the Hugging Face cache may link to the blobs of its own repository.
"""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rapo_lightning.errors import WeightsError

__all__ = ["refuse_code"]

MAX_FILES = 20_000
MAX_JSON_BYTES = 20_000_000
MAX_HEADER_BYTES = 100_000_000

CODE_SUFFIXES = frozenset({".py", ".pyc", ".so", ".dylib", ".dll", ".pyd"})
PICKLE_SUFFIXES = frozenset(
    {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib", ".h5", ".keras", ".npy", ".npz", ".nemo"}
)
#: peft imports the module that ``megatron_core`` names when there is a ``megatron_config``.
CODE_KEYS = frozenset({"auto_map", "custom_code", "custom_pipeline", "trust_remote_code", "_instantiator", "megatron_config"})
#: An attention implementation may be the hub id of a compiled kernel.
CODE_KEY_PREFIXES = ("_attn_implementation", "attn_implementation")
#: Their keys are words of a vocabulary or names of tensors, and no loader reads settings from them.
DATA_FILES = ("tokenizer.json", "vocab.json", "added_tokens.json", ".index.json")


def refuse_code(folder: str | os.PathLike[str]) -> None:
    """Raise `WeightsError`, naming the file, when anything in a model folder could run code once it is loaded."""
    root = Path(folder).resolve()
    for count, file in enumerate(_files(root)):
        if count >= MAX_FILES:
            raise WeightsError(f"{root}: more than {MAX_FILES} files, which no model has")
        suffix = file.suffix.lower()
        if suffix in CODE_SUFFIXES:
            raise WeightsError(f"{file}: the model brings its own code, which is never run")
        if suffix in PICKLE_SUFFIXES:
            raise WeightsError(f"{file}: only safetensors are loaded; delete it, or get the weights as safetensors")
        if suffix == ".json" and not file.name.endswith(DATA_FILES):
            _check_json(file)
        if suffix == ".safetensors":
            _check_header(file)


def _files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in sorted([*folders, *files]):
            path = Path(folder, name)
            if path.is_symlink() and not _stays_inside(path, root):
                raise WeightsError(f"{path}: a link that leads out of the model's folder, or to nothing")
        for name in sorted(files):
            path = Path(folder, name)
            if not path.is_file():
                raise WeightsError(f"{path}: not a plain file")
            yield path


def _raise(error: OSError) -> None:
    raise WeightsError(f"{error.filename}: cannot be read: {error.strerror}") from error


def _stays_inside(link: Path, root: Path) -> bool:
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    if root.parent.name == "snapshots" and root.parents[1].name.startswith("models--"):
        return target.is_relative_to(root) or target.is_relative_to(root.parents[1] / "blobs")
    return target.is_relative_to(root)


def _check_json(file: Path) -> None:
    if file.stat().st_size > MAX_JSON_BYTES:
        raise WeightsError(f"{file}: too large to be checked")
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{file}: not JSON, so it cannot be checked: {error}") from error
    for key, value in _items(content):
        if value and (key in CODE_KEYS or key.startswith(CODE_KEY_PREFIXES)):
            raise WeightsError(f"{file}: the key {key!r} asks to run code that comes with a model; remove it or the model")
    if file.name == "model_index.json" and isinstance(content, dict):
        for name, entry in content.items():
            if isinstance(entry, list) and entry and not (entry[0] is None or _is_library(entry[0])):
                raise WeightsError(f"{file}: component {name!r} comes from {entry[0]!r}, neither diffusers nor transformers")
    if file.name == "modules.json" and isinstance(content, list):
        for entry in content:
            kind = entry.get("type") if isinstance(entry, dict) else None
            if not str(kind).startswith("sentence_transformers."):
                raise WeightsError(f"{file}: module type {kind!r} is none of sentence_transformers")


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    """Every key and value of a JSON value at any depth."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            yield from value.items()
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


def _is_library(name: object) -> bool:
    """Whether diffusers would load a component from itself (one of its pipeline folders included) or from transformers."""
    if name in {"diffusers", "transformers"}:
        return True
    spec = importlib.util.find_spec("diffusers")
    if spec is None or spec.origin is None or not isinstance(name, str) or not name.isidentifier():
        return False
    return (Path(spec.origin).parent / "pipelines" / name).is_dir()


def _check_header(file: Path) -> None:
    """safetensors: 8 bytes of length (little endian), then so many bytes of a JSON object."""
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        opening = stream.read(1)
    if opening != b"{" or length > min(MAX_HEADER_BYTES, file.stat().st_size - 8):
        raise WeightsError(f"{file}: no safetensors file, whatever its name says")
