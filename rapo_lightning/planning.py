"""What a run will do at most, told before it starts and before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.positions import Positions
from rapo_lightning.prompts import load_prompts
from rapo_lightning.protocols import Generator, LimitsText
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.types import Prompt

__all__ = ["Plan", "check_lengths", "gather_prompts", "model_references", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Upper bounds of a run: numbers of prompts, candidates, videos, judgements and rewrites, and the models it names."""

    prompts: int
    candidates: int
    videos: int
    judgements: int
    rewrites: int
    models: tuple[str, ...]


def gather_prompts(
    config: OptimizeConfig, positions: Positions, *, text: str | None, file: Path | None, limit: int | None
) -> tuple[list[Prompt], str]:
    """The prompts of a run and where they come from: one sentence, a file, or what the configuration names.

    Raises:
        InputError: there are none, or a prompt file is wrong.
    """
    if text is not None and file is not None:
        raise InputError("--prompt and --prompts exclude each other")
    if text is not None:
        if not text.strip():
            raise InputError("--prompt: the prompt is empty")
        return [Prompt.of(text.strip())], "--prompt"
    if file is None:
        if config.prompts is None:
            raise InputError("no prompts: give --prompt TEXT, --prompts FILE, or prompts: in the configuration")
        file = positions.folder / config.prompts
    return load_prompts(file, config.text_column, config.rule_column)[:limit], str(file)


def plan(config: OptimizeConfig, prompts: Sequence[Prompt]) -> Plan:
    """The plan of a run.

    Raises:
        InputError: the configuration asks for more devices than there are prompts.
    """
    devices, nodes = config.trainer.get("devices"), config.trainer.get("num_nodes", 1)
    if isinstance(devices, int) and isinstance(nodes, int) and devices * nodes > len(prompts):
        raise InputError(f"{_count(prompts)} cannot be shared over {devices * nodes} devices; use at most {len(prompts)}")
    candidates = len(prompts) * ((2 if config.augmenter else 1) + config.loop.rounds)
    videos = candidates * config.loop.seeds
    if config.budget.max_videos is not None:
        videos = min(videos, config.budget.max_videos)
    return Plan(
        prompts=len(prompts),
        candidates=candidates,
        videos=videos,
        judgements=videos * len(config.judges),
        rewrites=len(prompts) * config.loop.rounds,
        models=tuple(sorted(set(model_references(config.model_dump())))),
    )


def check_lengths(generator: Generator, prompts: Sequence[Prompt], source: str) -> None:
    """Raise `ConfigError` naming every prompt that the generator's text encoder would cut off."""
    if not isinstance(generator, LimitsText):
        return
    over = generator.tokens_over_limit([prompt.text for prompt in prompts])
    problems = [
        f"{source}: prompt {prompt.id}: {extra} tokens longer than the video model's text encoder reads: "
        f"{prompt.text[:60]}{'...' if len(prompt.text) > 60 else ''}"
        for prompt, extra in zip(prompts, over, strict=True)
        if extra
    ]
    if problems:
        raise ConfigError(problems)


def model_references(value: Any) -> Iterator[str]:
    """Every ``model`` or ``adapter`` named anywhere in a configuration's plain data."""
    if isinstance(value, list):
        for item in value:
            yield from model_references(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("model", "adapter") and isinstance(item, str):
                yield item
            else:
                yield from model_references(item)


def _count(prompts: Sequence[Prompt]) -> str:
    return f"{len(prompts)} prompt{'s' * (len(prompts) != 1)}"
