"""What ``rapo rewrite`` does: the augmenter of a configuration alone, on prompts; no video model is loaded.

Where rewrites go to a file, each batch is kept beside it (``FILE.partial``) until all are done: the same call goes on from there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rapo_lightning import records
from rapo_lightning.defaults import with_defaults
from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.interruption import StopSignals
from rapo_lightning.parts import Builder
from rapo_lightning.prompts import given, load_prompts
from rapo_lightning.protocols import Augmenter, Placeable
from rapo_lightning.retrieval.augmentation import Augmentation
from rapo_lightning.sections import Part
from rapo_lightning.settings import load_optimize
from rapo_lightning.sspo.guard import refusal
from rapo_lightning.types import Candidate, Failure, Modifier, Prompt, Trajectory

__all__ = ["Rewrite", "gather", "read_lines", "rewrite", "write_rewrites"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewrite:
    """A prompt and what became of it: ``text`` (the prompt's own where it was kept), and why it was ``kept`` or refused.

    ``failed``: no rewrite could be made or used, other than by choice. ``tokens`` are those of all answers, those of steps that
    were undone included where the augmenter tells its steps (``explained``).
    """

    prompt: Prompt
    text: str
    kept: str | None = None
    failed: bool = False
    modifiers: tuple[Modifier, ...] = ()
    tokens: int = 0
    explained: Augmentation | None = None

    def row(self) -> dict[str, Any]:
        """Plain JSON for programs."""
        return {
            "id": self.prompt.id,
            "prompt": self.prompt.text,
            "rewritten": self.text,
            "kept": self.kept,
            "failed": self.failed,
            "modifiers": [{"kind": modifier.kind, "text": modifier.text} for modifier in self.modifiers],
            "tokens": self.tokens,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewritten:
    """A rewrite as it is kept on disk until all are done; ``augmenter`` is a hash of what made it."""

    augmenter: str
    prompt: Prompt
    text: str
    kept: str | None
    modifiers: tuple[Modifier, ...]
    tokens: int


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
    out: Path | None = None,
) -> Iterator[Rewrite]:
    """Rewrite prompts with the augmenter of an ``optimize`` configuration, a batch at a time; only this part is built.

    Args:
        device: where its models run; None: a GPU if there is one.
        out: where the rewrites will go (`write_rewrites`): what an interrupted call kept there is not made again.

    Raises:
        ConfigError: the configuration is wrong or has no augmenter.
        Stopped: a signal asked to stop.
    """
    config, positions = load_optimize(path, overrides, allow)
    if config.augmenter is None:
        raise ConfigError(f"{path}: augmenter: missing; `rapo rewrite` runs this part alone")
    builder = Builder(positions, allow)
    augmenter: Augmenter = builder.part(config.augmenter, ("augmenter",), Augmenter)
    builder.finish()
    if isinstance(augmenter, Placeable):
        augmenter.to(device or _device())
    made_by = hashlib.sha256(json.dumps(_values(config.augmenter, allow), sort_keys=True).encode()).hexdigest()[:12]
    return _rewritten(augmenter, prompts, config.batch_size, None if out is None else _partial(out), made_by)


def read_lines(lines: Iterator[str]) -> list[Prompt]:
    """Prompts from text, one a line, as from standard input."""
    try:
        texts = [line.strip() for line in lines if line.strip()]
        "".join(texts).encode()
    except UnicodeError as error:
        raise InputError("standard input: not UTF-8") from error
    if not texts:
        raise InputError("standard input: holds no prompts")
    if number := next((number for number, text in enumerate(texts, start=1) if "\0" in text), None):
        raise InputError(f"standard input: prompt {number}: a zero byte in it; is it UTF-16?")
    return [Prompt.of(text) for text in texts]


def gather(text: str | None, file: Path | None, limit: int | None) -> list[Prompt] | None:
    """The prompts of the command line; None when it names none."""
    if text is not None and file is not None:
        raise InputError("--prompt and --prompts: give one of them")
    if text is not None:
        return [Prompt.of(given(text, "--prompt"))]
    return None if file is None else load_prompts(file)[:limit]


def write_rewrites(out: Path, rewrites: Sequence[Rewrite]) -> None:
    """Write the rewritten prompts, by the file's name: ``.txt`` one a line, ``.jsonl`` with all that is known of each. What was
    kept of them beside it is deleted.

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
    _partial(out).unlink(missing_ok=True)


def _partial(out: Path) -> Path:
    return out.with_name(f"{out.name}.partial")


def _values(part: Part, allow: Sequence[str]) -> Any:
    return with_defaults(part.model_dump(mode="json"), allow)


def _rewritten(
    augmenter: Augmenter, prompts: Sequence[Prompt], batch: int, partial: Path | None, made_by: str
) -> Iterator[Rewrite]:
    """Rewrites in the prompts' order; each batch is on disk before it is given."""
    known: dict[str, Rewritten] = {}
    if partial is not None and partial.is_file():
        found = (one for one in records.read(partial, Rewritten) if one.augmenter == made_by)
        known = {records.encode(one.prompt): one for one in found}
    with StopSignals() as signals:
        for start in range(0, len(prompts), batch):
            signals.check("the same command continues" if partial else "without --out, nothing but what was printed is kept")
            chunk = prompts[start : start + batch]
            there = [known.get(records.encode(prompt)) for prompt in chunk]
            made = iter(_made(augmenter, [prompt for prompt, one in zip(chunk, there, strict=True) if one is None]))
            rewrites = [next(made) if one is None else _again(one) for one in there]
            if partial is not None:
                fresh = [one for one, before in zip(rewrites, there, strict=True) if before is None and not one.failed]
                records.append(partial, *(_kept(one, made_by) for one in fresh))
            yield from rewrites


def _made(augmenter: Augmenter, prompts: Sequence[Prompt]) -> list[Rewrite]:
    if not prompts:
        return []
    explained: Sequence[Augmentation | None] = [None] * len(prompts)
    if isinstance(augmenter, _Explains):
        told = augmenter.explain(prompts)
        answers, explained = [one.candidate() for one in told], told
    else:
        answers = augmenter.augment(prompts)
    return [_checked(*row) for row in zip(prompts, answers, explained, strict=True)]


def _kept(one: Rewrite, made_by: str) -> Rewritten:
    return Rewritten(
        augmenter=made_by, prompt=one.prompt, text=one.text, kept=one.kept, modifiers=one.modifiers, tokens=one.tokens
    )


def _again(one: Rewritten) -> Rewrite:
    return Rewrite(prompt=one.prompt, text=one.text, kept=one.kept, modifiers=one.modifiers, tokens=one.tokens)


def _checked(prompt: Prompt, answer: Candidate | Failure, steps: Augmentation | None) -> Rewrite:
    """The answer, refused where the loop would refuse it, so that what is printed is what would be rendered."""
    tokens = steps.tokens if steps else 0 if isinstance(answer, Failure) else answer.cost.tokens
    own = Rewrite(prompt=prompt, text=prompt.text, failed=True, tokens=tokens, explained=steps)
    if isinstance(answer, Failure):
        return replace(own, kept=answer.error)
    if answer.error is not None:
        return replace(own, kept=answer.error, failed=False, modifiers=answer.modifiers)
    if (reason := refusal(answer.text, Trajectory(prompt=prompt), repeats=True)) is not None:
        return replace(own, kept=f"refused: {reason}")
    return replace(own, text=answer.text, failed=False, modifiers=answer.modifiers)


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
