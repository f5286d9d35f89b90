"""A benchmark's prompts, read from its own files.

for prompt in PromptSuite("vbench").prompts: ...
PromptSuite("t2v_compbench", "T2V-CompBench/meta_data").prompts
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

from evaluation.errors import InputError

__all__ = ["PromptSuite", "SuitePrompt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SuitePrompt:
    """One prompt of a benchmark.

    Attributes:
        id: unique within the suite.
        prompt: as its authors wrote it.
        dimension: what its videos are for, as the suite names it.
        auxiliary_info: what metrics need beside the prompt, as `Record.auxiliary_info` holds it.
        samples_per_prompt: how many videos the suite wants.
        number: its place in its file (of its dimension, where the suite has a file for each), from 0.
    """

    id: str
    prompt: str
    dimension: tuple[str, ...] = ()
    auxiliary_info: Mapping[str, Any] = field(default_factory=dict)
    samples_per_prompt: int = 1
    number: int = 0


@final
class PromptSuite:
    """A benchmark's prompts.

    Args:
        name: of `READERS`: vbench, vbench_category, vbench2, t2v_compbench, videophy, videophy2, phygenbench, evalcrafter.
        path: the suite's own file, or folder where it has several; None: the bundled one (VBench only).
        revision: of the suite's repository, for results.
    """

    def __init__(self, name: str, path: str | Path | None = None, revision: str | None = None) -> None:
        from evaluation.suites.readers import BUNDLED, READERS, SOURCES

        if name not in READERS:
            raise InputError(f"{name}: no such suite; known: {', '.join(READERS)}")
        if path is None and name not in BUNDLED:
            raise InputError(f"{name}: its prompts are not bundled; name a copy of {SOURCES[name]}")
        self.name = name
        self.path = Path(path) if path is not None else BUNDLED[name]
        self.revision = revision or ("vbench 0.1.5" if path is None else None)
        self._read = READERS[name]

    @cached_property
    def prompts(self) -> tuple[SuitePrompt, ...]:
        """All prompts in the suite's order.

        Raises:
            InputError: a file is missing, or is not the suite's.
        """
        try:
            found = tuple(self._read(self.path))
        except FileNotFoundError as error:
            raise InputError(f"{self.name}: {error.filename} is missing") from error
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            raise InputError(f"{self.path}: not {self.name}'s: {type(error).__name__}: {error}") from error
        if not found:
            raise InputError(f"{self.path}: holds no prompts of {self.name}")
        return found

    @property
    def sha256(self) -> str:
        """Of the files that were read, in the order of their names."""
        digest = hashlib.sha256()
        for path in sorted(self.path.glob("*.json")) if self.path.is_dir() else [self.path]:
            digest.update(hashlib.sha256(path.read_bytes()).digest())
        return digest.hexdigest()
