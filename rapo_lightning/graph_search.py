"""What is found in a graph folder: ``rapo graph stats``, ``search`` and ``show``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from rapo_lightning.config import did_you_mean, read
from rapo_lightning.defaults import with_defaults
from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.graph_tools import encoder_of
from rapo_lightning.parts import Builder
from rapo_lightning.prompts import given
from rapo_lightning.protocols import TextEncoder
from rapo_lightning.retrieval import describe, pictures, store
from rapo_lightning.retrieval.graph import NODE_TYPES
from rapo_lightning.retrieval.identity import check_encoder
from rapo_lightning.retrieval.pictures import SceneView, view
from rapo_lightning.settings import load_optimize
from rapo_lightning.types import Kind

__all__ = ["Sight", "draw", "kinds_named", "search", "sight", "statistics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """How a graph is looked at: how many scenes; of which kinds and from which cosine on a modifier is taken; how many are taken
    in all, the nearest first (``most``; None: all of them)."""

    scenes: int = 3
    threshold: float = 0.6
    kinds: tuple[Kind, ...] = cast(tuple[Kind, ...], NODE_TYPES)
    most: int | None = None


def statistics(folder: Path) -> dict[str, Any]:
    """What is in a graph, as plain JSON."""
    return describe.statistics(store.load_graph(folder))


def kinds_named(names: Sequence[str]) -> tuple[Kind, ...]:
    """Kinds from a command line, each name by itself or several with commas between. Errors: `InputError`."""
    found = [name.strip() for some in names for name in some.split(",") if name.strip()]
    if unknown := [name for name in found if name not in NODE_TYPES]:
        raise InputError(f"--kinds: there is no kind {unknown[0]!r}{did_you_mean(unknown[0], NODE_TYPES)}")
    return cast(tuple[Kind, ...], tuple(kind for kind in NODE_TYPES if kind in found))


def sight(
    folder: Path,
    config_file: Path | None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    *,
    default: Sight,
    scenes: int | None = None,
    threshold: float | None = None,
    kinds: tuple[Kind, ...] = (),
) -> tuple[TextEncoder, Sight]:
    """The encoder and how the graph is looked at: as given, else as the augmenter of an ``optimize`` configuration does.

    Args:
        folder: the graph, which names its encoder where no configuration does.
        config_file: a graph configuration, of which only the encoder is used, or an ``optimize`` configuration.
        default: what neither names.
        scenes: if given; as ``threshold`` and ``kinds``.

    Raises:
        ConfigError: the configuration is wrong, or its augmenter takes nothing from a graph.
    """
    if config_file is not None and {"augmenter", "generator"} & read(config_file, overrides)[0].keys():
        encoder, default = _as_configured(config_file, overrides, allow)
    else:
        encoder = encoder_of(folder, config_file, overrides, allow)
    given: dict[str, Any] = {"scenes": scenes, "threshold": threshold, "kinds": kinds or None}
    return encoder, replace(default, **{name: value for name, value in given.items() if value is not None})


def search(folder: Path, prompt: str, encoder: TextEncoder, sight: Sight, *, modifiers: int = 5) -> list[SceneView]:
    """The scenes nearest to a prompt with their nearest modifiers, all of them ranked, and which of them are taken.

    ``modifiers``: how many of a kind and scene are listed.
    """
    given(prompt, "the prompt")
    graph = store.load_graph(folder)
    check_encoder(encoder, graph=str(folder), name=graph.encoder, known=graph.probe, dimension=graph.dimension)
    shared: dict[str, Any] = {"scenes": sight.scenes, "threshold": sight.threshold, "kinds": sight.kinds}
    retrieved = None
    if sight.most is not None:
        from rapo_lightning.retrieval.retrieve import Retriever

        (found,) = Retriever(graph, encoder, modifiers=sight.most, **shared).retrieve([prompt])
        retrieved = {one.modifier for one in found}
    return view(graph, prompt, encoder.encode([prompt])[0], modifiers=modifiers, retrieved=retrieved, **shared)


def draw(folder: Path, prompt: str, out: Path, encoder: TextEncoder, sight: Sight, *, modifiers: int = 8) -> None:
    """Write the picture of what `search` finds, as SVG or HTML."""
    if out.suffix.lower() not in {".svg", ".html", ".htm"}:
        raise InputError(f"{out}: a picture's name ends in .svg or .html")
    views = search(folder, prompt, encoder, sight, modifiers=modifiers)
    manifest = store.read_manifest(folder)
    note = f"{folder.resolve().name}: {manifest.captions:,} captions, encoder {manifest.encoder}"
    pictures.write(out, prompt, views, title="Scenes and modifiers near a prompt", threshold=sight.threshold, note=note)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taking:
    """What an augmenter takes from a graph, by the names of its arguments."""

    encoder: TextEncoder
    scenes: int
    modifiers: int
    threshold: float
    kinds: tuple[Kind, ...]

    def __post_init__(self) -> None:
        if min(self.scenes, self.modifiers) < 1 or not -1 <= self.threshold <= 1:
            raise ValueError("scenes and modifiers must be at least 1, threshold in [-1, 1]")


def _as_configured(config_file: Path, overrides: Sequence[str], allow: Sequence[str]) -> tuple[TextEncoder, Sight]:
    """From the augmenter of an ``optimize`` configuration; of its parts only the encoder is built."""
    config, positions = load_optimize(config_file, overrides, allow)
    part = None if config.augmenter is None else with_defaults(config.augmenter.model_dump(mode="json"), allow)
    names = [field.name for field in fields(_Taking)]
    arguments = {name: value for name, value in (part["init_args"] if part else {}).items() if name in names}
    if set(arguments) != set(names):
        raise ConfigError(f"{config_file}: augmenter: {'takes nothing from a graph' if part else 'missing'}")
    builder = Builder(positions, allow)
    taking: _Taking = builder.construct(_Taking, arguments, ("augmenter", "init_args"))
    builder.finish()
    return taking.encoder, Sight(scenes=taking.scenes, threshold=taking.threshold, kinds=taking.kinds, most=taking.modifiers)
