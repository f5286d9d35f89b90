"""From a configuration file to the parts of a run, and the means to tell two configurations apart.

``load_optimize`` reads and checks without importing a part; ``build_optimize`` imports and constructs. The resolved configuration
has every value, those that the parts' constructors add included, so that a default that changes is a configuration that changes.
It goes into the run folder, where it is compared with the next one but is never a source of class paths.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from pydantic import BaseModel

from rapo_lightning.class_paths import class_path_problems
from rapo_lightning.config import read, validate
from rapo_lightning.defaults import with_defaults
from rapo_lightning.errors import ConfigError
from rapo_lightning.parts import Builder
from rapo_lightning.positions import Positions
from rapo_lightning.protocols import Augmenter, Generator, Judge, Reward, Rewriter, Selection
from rapo_lightning.sections import OptimizeConfig

__all__ = [
    "OptimizeParts",
    "build_optimize",
    "config_hash",
    "differences",
    "identity",
    "load",
    "load_optimize",
    "resolved",
]

Model = TypeVar("Model", bound=BaseModel)

SECRET_KEYS = frozenset({"access_token", "api_key", "auth_token", "hf_token", "password", "secret", "token"})
#: Sections whose defaults are Lightning's.
LIGHTNING = frozenset({"logger", "trainer"})
#: What may change between two starts of one run: none of it changes a result.
IMMATERIAL = frozenset({"batch_size", "budget", "logger", "trainer"})
#: The same of a training, whose batches are part of what it learns.
IMMATERIAL_TO_TRAINING = frozenset(
    {"check", "compile", "gradient_checkpointing", "logger", "micro_batch_size", "save_every", "trainer"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizeParts:
    """The parts of one ``rapo optimize`` run, constructed but not loaded.

    ``models`` says where the weights of each are: a folder, or the hub id of what is fetched at its first use, by the dotted
    key of its reference (``rewriter.init_args.language_model.init_args.adapter``).
    """

    generator: Generator
    judges: Mapping[str, Judge]
    rewriter: Rewriter
    augmenter: Augmenter | None
    reward: Reward
    selection: Selection
    models: Mapping[str, str] = field(default_factory=dict)


def load(
    path: str | os.PathLike[str], model: type[Model], overrides: Sequence[str] = (), allow: Sequence[str] = ()
) -> tuple[Model, Positions]:
    """A configuration file as a pydantic model, and where its values were written.

    Keys, values and class-path prefixes are checked, all problems reported as one `ConfigError`; no part is imported.
    """
    data, positions = read(path, overrides)
    problems = class_path_problems(data, positions, allow)
    try:
        config = validate(model, data, positions)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from error
    if problems:
        raise ConfigError(problems)
    return config, positions


def load_optimize(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), allow: Sequence[str] = ()
) -> tuple[OptimizeConfig, Positions]:
    """The configuration of ``rapo optimize``; see `load`."""
    return load(path, OptimizeConfig, overrides, allow)


def build_optimize(config: OptimizeConfig, positions: Positions, allow: Sequence[str] = ()) -> OptimizeParts:
    """Import and construct every part; all problems of all parts are reported as one `ConfigError`."""
    builder = Builder(positions, allow)
    parts = OptimizeParts(
        generator=builder.part(config.generator, ("generator",), Generator),
        judges={name: builder.part(part, ("judges", name), Judge) for name, part in config.judges.items()},
        rewriter=builder.part(config.rewriter, ("rewriter",), Rewriter),
        augmenter=builder.part(config.augmenter, ("augmenter",), Augmenter) if config.augmenter else None,
        reward=builder.part(config.reward, ("reward",), Reward),
        selection=builder.part(config.selection, ("selection",), Selection),
    )
    builder.finish()
    return replace(parts, models=builder.models)


def resolved(config: BaseModel, allow: Sequence[str] = ()) -> dict[str, Any]:
    """Every value of a configuration as plain JSON types, the defaults of its parts' constructors included.

    Of Lightning's own classes (``trainer``, ``logger``) there is what is written. What looks like a secret is ``***``. Imports
    the parts, constructs none.
    """
    values = config.model_dump(mode="json")
    parts = with_defaults({name: value for name, value in values.items() if name not in LIGHTNING}, allow)
    return cast(dict[str, Any], _masked({name: parts.get(name, value) for name, value in values.items()}))


def identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a resolved configuration that results depend on: no devices, batch size, budget or logger.

    Of a training: no devices, no logger, nothing that only trades memory for time.
    """
    immaterial = IMMATERIAL_TO_TRAINING if "lora" in values else IMMATERIAL
    trainer = values.get("trainer") or {}
    precision = {"trainer": {"precision": trainer["precision"]}} if "precision" in trainer else {}
    return {name: value for name, value in values.items() if name not in immaterial} | precision


def config_hash(values: Mapping[str, Any]) -> str:
    """12 hex digits of the SHA-256 of a resolved configuration's `identity`: equal hashes, equal results."""
    text = json.dumps(identity(values), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def differences(a: Any, b: Any, key: str = "") -> list[str]:
    """The dotted keys at which two resolved configurations differ."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        names = sorted(a.keys() | b.keys())
        missing = object()
        return [
            found
            for name in names
            for found in differences(a.get(name, missing), b.get(name, missing), f"{key}.{name}".lstrip("."))
        ]
    return [] if a == b and type(a) is type(b) else [key]


def _masked(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _masked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_masked(item) for item in value]
    if isinstance(value, str):
        return "***" if key.lower() in SECRET_KEYS else re.sub(r"://[^/@\s]+@", "://***@", value)
    return value
