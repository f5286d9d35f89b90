"""The models that ``rapo graph`` works with: from a graph configuration, or the encoder that a graph names as its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rapo_lightning.errors import InputError, WeightsError
from rapo_lightning.parts import Builder
from rapo_lightning.protocols import LanguageModel, Placeable, TextEncoder
from rapo_lightning.retrieval import store
from rapo_lightning.sections import GraphConfig
from rapo_lightning.settings import load

__all__ = ["Tools", "encoder_of", "graph_tools", "place"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """A graph configuration with its parts."""

    config: GraphConfig
    encoder: TextEncoder | None
    model: LanguageModel | None


def graph_tools(
    config_file: Path,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    *,
    encodes: bool = True,
    extracts: bool = True,
) -> Tools:
    """The parts of a graph configuration that are needed, built but not loaded."""
    config, positions = load(config_file, GraphConfig, overrides, allow)
    builder = Builder(positions, allow)
    encoder = builder.part(config.encoder, ("encoder",), TextEncoder) if config.encoder and encodes else None
    model = (
        builder.part(config.language_model, ("language_model",), LanguageModel) if config.language_model and extracts else None
    )
    builder.finish()
    return Tools(config=config, encoder=encoder, model=model)


def encoder_of(
    folder: Path, config_file: Path | None = None, overrides: Sequence[str] = (), allow: Sequence[str] = ()
) -> TextEncoder:
    """The encoder that a configuration names, else the one that a graph names as its own, found as weights are."""
    if config_file is not None and (encoder := graph_tools(config_file, overrides, allow, extracts=False).encoder) is not None:
        return encoder
    from rapo_lightning.language import SentenceEncoder
    from rapo_lightning.types import ModelReference
    from rapo_lightning.weights import locate, refuse_code

    name = store.read_manifest(folder).encoder
    try:
        located = locate(name, folder)
    except WeightsError as error:
        raise InputError(
            f"{folder}: made with the encoder {name}, which is not here; --config names another place ({error})"
        ) from error
    if Path(located).is_dir():
        refuse_code(located)
    return SentenceEncoder(ModelReference(located))


def place(tools: Tools, device: str | None, *others: object) -> None:
    """Put the models on a device; None: a GPU if there is one."""
    import torch

    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    models: tuple[object, ...] = (tools.encoder, tools.model, *others)
    for model in models:
        if isinstance(model, Placeable):
            model.to(where)
