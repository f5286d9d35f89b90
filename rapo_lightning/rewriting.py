"""What ``rapo rewrite`` does: the augmenter of a configuration alone, on prompts; no video model is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rapo_lightning import records
from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.parts import Builder
from rapo_lightning.prompts import load_prompts
from rapo_lightning.protocols import Augmenter, Placeable
from rapo_lightning.retrieval.augmentation import Augmentation
from rapo_lightning.settings import load_optimize
from rapo_lightning.sspo.guard import refusal
from rapo_lightning.types import Candidate, Failure, Prompt, Trajectory

__all__ = ["Rewrite", "gather", "read_lines", "rewrite", "write_rewrites"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A prompt and what became of it: ``text`` (the prompt's own where it was kept), and why it was kept or refused.

    ``explained``: every step, where the augmenter tells them.
    """

    prompt: Prompt
    text: str
    kept: str | None = None
    candidate: Candidate | None = None
    explained: Augmentation | None = None

    @property
    def failed(self) -> bool:
        """Whether no rewrite could be made or used, other than by choice."""
        return self.kept is not None and self.candidate is None

    @property
    def tokens(self) -> int:
        """Tokens of all answers, those of steps that were undone included where the augmenter tells its steps."""
        return self.explained.tokens if self.explained else self.candidate.cost.tokens if self.candidate else 0

    def row(self) -> dict[str, Any]:
        """Plain JSON for programs."""
        modifiers = self.candidate.modifiers if self.candidate else ()
        return {
            "id": self.prompt.id,
            "prompt": self.prompt.text,
            "rewritten": self.text,
            "kept": self.kept,
            "failed": self.failed,
            "modifiers": [{"kind": modifier.kind, "text": modifier.text} for modifier in modifiers],
            "tokens": self.tokens,
        }


@runtime_checkable
class _Explains(Protocol):
    def explain(self, prompts: Sequence[Prompt]) -> list[Augmentation]: ...


def rewrite(
    path: Path,
    prompts: Sequence[Prompt],
    *,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    device: str | None = None,
) -> Iterator[Rewrite]:
    """Rewrite prompts with the augmenter of an ``optimize`` configuration, a batch at a time; only this part is built.

    ``device``: where its models run; None: a GPU if there is one.

    Raises:
        ConfigError: the configuration is wrong or has no augmenter.
    """
    config, positions = load_optimize(path, overrides, allow)
    if config.augmenter is None:
        raise ConfigError(f"{path}: augmenter: missing; `rapo rewrite` runs this part alone")
    builder = Builder(positions, allow)
    augmenter: Augmenter = builder.part(config.augmenter, ("augmenter",), Augmenter)
    builder.finish()
    if isinstance(augmenter, Placeable):
        augmenter.to(device or _device())
    return _rewritten(augmenter, prompts, config.batch_size)


def read_lines(lines: Iterator[str]) -> list[Prompt]:
    """Prompts from text, one a line, as from standard input."""
    try:
        texts = [line.strip() for line in lines if line.strip()]
        "".join(texts).encode()
    except UnicodeError as error:
        raise InputError("standard input: not UTF-8") from error
    if not texts:
        raise InputError("standard input: holds no prompts")
    return [Prompt.of(text) for text in texts]


def gather(text: str | None, file: Path | None, limit: int | None) -> list[Prompt] | None:
    """The prompts of the command line; None when it names none."""
    if text is not None and file is not None:
        raise InputError("--prompt and --prompts: give one of them")
    if text is not None and not text.strip():
        raise InputError("--prompt: the prompt is empty")
    if text is not None:
        return [Prompt.of(text.strip())]
    return None if file is None else load_prompts(file)[:limit]


def write_rewrites(out: Path, rewrites: Sequence[Rewrite]) -> None:
    """Write the rewritten prompts, by the file's name: ``.txt`` one a line, ``.jsonl`` with all that is known of each.

    Raises:
        InputError: another ending.
    """
    if out.suffix.lower() == ".txt":
        text = "".join(" ".join(one.text.split()) + "\n" for one in rewrites)
    elif out.suffix.lower() == ".jsonl":
        text = "".join(json.dumps(one.row(), ensure_ascii=False) + "\n" for one in rewrites)
    else:
        raise InputError(f"{out}: rewritten prompts go to a .txt or .jsonl file")
    records.write_text_atomic(out, text)


def _rewritten(augmenter: Augmenter, prompts: Sequence[Prompt], batch: int) -> Iterator[Rewrite]:
    for start in range(0, len(prompts), batch):
        chunk = prompts[start : start + batch]
        explained: Sequence[Augmentation | None] = [None] * len(chunk)
        if isinstance(augmenter, _Explains):
            told = augmenter.explain(chunk)
            answers, explained = [one.candidate() for one in told], told
        else:
            answers = augmenter.augment(chunk)
        for prompt, answer, steps in zip(chunk, answers, explained, strict=True):
            yield _checked(prompt, answer, steps)


def _checked(prompt: Prompt, answer: Candidate | Failure, steps: Augmentation | None) -> Rewrite:
    """The answer, refused where the loop would refuse it, so that what is printed is what would be rendered."""
    if isinstance(answer, Failure):
        return Rewrite(prompt=prompt, text=prompt.text, kept=answer.error, explained=steps)
    if answer.error is not None:
        return Rewrite(prompt=prompt, text=prompt.text, kept=answer.error, candidate=answer, explained=steps)
    if (reason := refusal(answer.text, Trajectory(prompt=prompt), repeats=True)) is not None:
        return Rewrite(prompt=prompt, text=prompt.text, kept=f"refused: {reason}", explained=steps)
    return Rewrite(prompt=prompt, text=answer.text, candidate=answer, explained=steps)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
