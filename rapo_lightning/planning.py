"""What a run will do at most, told before it starts and before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rapo_lightning.errors import ConfigError, InputError, WeightsError
from rapo_lightning.positions import Positions
from rapo_lightning.prompts import given, load_placed
from rapo_lightning.protocols import Generator, LimitsText
from rapo_lightning.sections import OptimizeConfig
from rapo_lightning.types import Prompt
from rapo_lightning.weights import locate

__all__ = ["Plan", "check_lengths", "gather_prompts", "missing_models", "model_references", "plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Upper bounds of a run: numbers of prompts, candidates, seeds a candidate, videos, judgements and rewrites; the models that
    it names, and which of them are not on this machine, as far as that was looked for."""

    prompts: int
    candidates: int
    seeds: int
    videos: int
    judgements: int
    rewrites: int
    models: tuple[str, ...]
    missing: tuple[str, ...] = ()


def gather_prompts(
    config: OptimizeConfig, positions: Positions, *, text: str | None, file: Path | None, limit: int | None
) -> tuple[list[Prompt], list[str]]:
    """The prompts of a run and where each stands: one sentence, a file, or what the configuration names.

    Raises:
        InputError: there are none, or a prompt file is wrong.
    """
    if text is not None and file is not None:
        raise InputError("--prompt and --prompts exclude each other")
    if text is not None:
        return [Prompt.of(given(text, "--prompt"))], ["--prompt"]
    if file is not None:
        placed = load_placed(file, config.text_column, config.rule_column)
    elif config.prompts is None:
        raise InputError(f"{positions.file}: no prompts: give --prompt TEXT, --prompts FILE, or prompts: in the configuration")
    else:
        try:
            placed = load_placed(positions.folder / config.prompts, config.text_column, config.rule_column)
        except InputError as error:
            raise InputError(positions.problem(("prompts",), str(error))) from error
    return [prompt for _, prompt in placed[:limit]], [place for place, _ in placed[:limit]]


def plan(config: OptimizeConfig, positions: Positions, prompts: Sequence[Prompt]) -> Plan:
    """The plan of a run.

    Raises:
        InputError: the configuration asks for more devices than there are prompts.
    """
    devices, nodes = config.trainer.get("devices"), config.trainer.get("num_nodes", 1)
    if isinstance(devices, int) and isinstance(nodes, int) and devices * nodes > len(prompts):
        problem = f"{_count(prompts)} cannot be shared over {devices * nodes} devices; use at most {len(prompts)}"
        raise InputError(positions.problem(("trainer", "devices"), problem))
    candidates = len(prompts) * ((2 if config.augmenter else 1) + config.loop.rounds)
    videos = candidates * config.loop.seeds
    if config.budget.max_videos is not None:
        videos = min(videos, config.budget.max_videos)
    return Plan(
        prompts=len(prompts),
        candidates=candidates,
        seeds=config.loop.seeds,
        videos=videos,
        judgements=videos * len(config.judges),
        rewrites=len(prompts) * config.loop.rounds,
        models=tuple(sorted(set(model_references(config.model_dump())))),
    )


def missing_models(models: Sequence[str], positions: Positions) -> tuple[str, ...]:
    """Those of a configuration's models that are neither in a folder nor in the hub's cache."""
    found = {}
    for model in models:
        try:
            found[model] = Path(locate(model, positions.folder)).is_dir()
        except WeightsError:
            found[model] = False
    return tuple(model for model, here in found.items() if not here)


def check_lengths(generator: Generator, prompts: Sequence[Prompt], places: Sequence[str]) -> None:
    """Raise `ConfigError` naming every prompt that the generator's text encoder would cut off, with its place."""
    if not isinstance(generator, LimitsText):
        return
    over = generator.tokens_over_limit([prompt.text for prompt in prompts])
    problems = [
        f"{place}: prompt {prompt.id}: {extra} tokens longer than the video model's text encoder reads: "
        f"{' '.join(prompt.text.split())[:60]}{'...' if len(prompt.text) > 60 else ''}"
        for prompt, place, extra in zip(prompts, places, over, strict=True)
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
