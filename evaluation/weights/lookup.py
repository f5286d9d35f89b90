"""Where weights are: a path that is named, `weights_folder`, the Hugging Face cache, VBench's cache; in this order."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.errors import WeightsError
from evaluation.weights.table import WEIGHTS, Weights

__all__ = ["Found", "find", "provenance", "weights_folder"]

#: Files that hold the weights of a model folder.
_FILES = ("model.safetensors", "pytorch_model.bin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Weights on this machine.

    Attributes:
        name: in `WEIGHTS`.
        path: a file, or a model folder.
        revision: the hub's commit; None where the file does not come from the hub's cache.
        licence: to be shown when they are loaded.
    """

    name: str
    path: Path
    revision: str | None
    licence: str


def find(names: Iterable[str], given: Mapping[str, str | Path] | None = None) -> dict[str, Found]:
    """Every one of the weights ``names``; ``given`` are paths by name. Of ``a|b`` the first that is there.

    Raises:
        WeightsError: one line for each that is missing: its file, where it was looked for, where it can be had, its licence.
    """
    given = given or {}
    problems = [f"{name}: no such weights; known: {', '.join(WEIGHTS)}" for name in given if name not in WEIGHTS]
    found: dict[str, Found] = {}
    for name in dict.fromkeys(names):
        answers = [_find(WEIGHTS[one], given.get(one)) for one in name.split("|")]
        answer = next((one for one in answers if isinstance(one, Found)), None)
        if answer is not None:
            found[answer.name] = answer
        else:
            problems.append("\n  or ".join(str(one) for one in answers))
    if problems:
        raise WeightsError("\n".join(problems))
    return found


def provenance(found: Found) -> dict[str, str | None]:
    """What goes into a result: name, file, revision, sha256 of the weights and licence."""
    path = found.path
    if found.name in WEIGHTS and WEIGHTS[found.name].code:
        digest = _of_code(path)
        return {"name": found.name, "file": path.name, "revision": None, "sha256": digest, "licence": found.licence}
    if path.is_dir():
        path = next((path / name for name in _FILES if (path / name).is_file()), path)
        if path.is_dir():
            raise WeightsError(f"{path}: holds neither {' nor '.join(_FILES)}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": found.name, "file": path.name, "revision": found.revision, "sha256": digest, "licence": found.licence}


def weights_folder() -> Path:
    """``$EVALUATION_WEIGHTS``, or a folder in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(os.environ.get("EVALUATION_WEIGHTS") or Path(cache) / "evaluation-weights")


def _find(weights: Weights, given: str | Path | None) -> Found | str:
    """The first place that has them, or what to say if none has."""
    if given is not None:
        if Path(given).exists():
            return Found(name=weights.name, path=Path(given), revision=None, licence=weights.licence)
        return f"{weights.name}: {given} does not exist"
    if weights.code:
        return (
            f"{weights.name}: {weights.file} is needed, which runs: name its folder, --weights {weights.name}=FOLDER; "
            f"to be had at {weights.source}, licence: {weights.licence}"
        )
    looked = []
    for place, revision in _places(weights):
        if place.is_file() or (place / "config.json").is_file():
            return Found(name=weights.name, path=place, revision=revision, licence=weights.licence)
        looked.append(str(place))
    where = f"; looked for at {', '.join(looked)}"
    return f"{weights.name}: {weights.file} is missing{where}; to be had at {weights.source}, licence: {weights.licence}"


def _of_code(folder: Path) -> str:
    """The sha256 of a folder's Python files and of their names."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*.py")):
        for part in (file.relative_to(folder).as_posix().encode(), file.read_bytes()):
            digest.update(len(part).to_bytes(8, "big") + part)
    return digest.hexdigest()


def _places(weights: Weights) -> list[tuple[Path, str | None]]:
    places: list[tuple[Path, str | None]] = [(weights_folder() / weights.file, None)]
    if weights.hub and not weights.hub_file:
        places.append((weights_folder() / weights.hub.rpartition("/")[2], None))
    if weights.hub:
        places.append(_in_hub_cache(weights.hub, weights.hub_file))
    if weights.vbench:
        cache = os.environ.get("VBENCH_CACHE_DIR") or Path.home() / ".cache" / "vbench"
        places.append((Path(cache) / weights.vbench, None))
    if weights.bundled:
        places.append((Path(__file__).parents[1] / weights.bundled, None))
    return list(dict.fromkeys(places))


def _in_hub_cache(repository: str, file: str | None) -> tuple[Path, str | None]:
    """(file or model folder of the main branch as it was last fetched, its commit); None for the commit if never fetched."""
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    root = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{repository.replace('/', '--')}"
    main = root / "refs" / "main"
    if not main.is_file():
        return root, None
    revision = main.read_text(encoding="utf-8").strip()
    folder = root / "snapshots" / revision
    return (folder / file if file else folder), revision
