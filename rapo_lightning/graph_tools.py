"""The models that ``rapo graph`` works with: from a graph configuration, or the encoder that a graph names as its own.

And what the language model does there: it extracts the phrases of captions that come without them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rapo_lightning.errors import InputError, WeightsError
from rapo_lightning.parts import Builder
from rapo_lightning.progress import Listen, Tally
from rapo_lightning.protocols import LanguageModel, Placeable, TextEncoder
from rapo_lightning.retrieval import store
from rapo_lightning.retrieval.captions import CaptionFile, Progress, Skipped, extract
from rapo_lightning.sections import GraphConfig, Part
from rapo_lightning.settings import load
from rapo_lightning.types import CaptionPhrases

__all__ = ["Tools", "encoder_of", "graph_tools", "model_name", "phrases_of", "place", "tell"]


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


def model_name(part: Part, **settings: Any) -> str:
    """What a chat model's answers are kept under: its name and, of all else that decides them and is not usual, a hash."""
    arguments = {
        name: value for name, value in part.init_args.items() if name not in ("model", "batch_size") and value is not None
    }
    usual = {name: field.default for name, field in GraphConfig.model_fields.items()}
    arguments |= {name: value for name, value in settings.items() if value != usual.get(name)}
    name = str(part.init_args.get("model", part.class_path))
    return name if not arguments else f"{name} {hashlib.sha256(json.dumps(arguments, sort_keys=True).encode()).hexdigest()[:8]}"


def phrases_of(
    folder: Path, file: CaptionFile, tools: Tools, limit: int | None, listen: Listen | None
) -> Iterator[CaptionPhrases | Skipped]:
    """What each of a file's first ``limit`` captions holds, or why it was skipped; extracted where the file does not tell.

    What the language model finds is kept in ``folder``, in a log for each template and model.
    """
    if file.has_phrases:
        return islice(file.phrases(), limit)
    if tools.model is None:
        raise InputError(f"{file.name}: plain captions, and the configuration has no language_model to extract their phrases")
    config = tools.config
    assert config.language_model is not None
    model = model_name(config.language_model, max_new_tokens=config.max_new_tokens)
    return extract(
        islice(file.captions(), limit),
        tools.model,
        folder / f"extraction-{hashlib.sha256(f'{config.template} {model}'.encode()).hexdigest()[:8]}.jsonl",
        model_name=model,
        batch_size=config.batch_size,
        max_new_tokens=config.max_new_tokens,
        template=config.template,
        counted=None if listen is None else islice(file.captions(), limit),
        listen=None if listen is None else lambda progress: tell(progress, listen),
    )


def tell(progress: Progress, listen: Listen, *, verb: str = "extracted", dropped: str = "phrases dropped") -> None:
    """Say what is to be done at the beginning, and where it stands from then on."""
    if not progress.done:
        about = f"{progress.before:,} known already, {progress.to_ask:,} to ask the language model about"
        listen(f"{progress.total:,} captions: {about}")
    known = f" ({progress.known:,} known already)" if progress.known else ""
    text = f"{verb}: {progress.done:,} of {progress.total:,} captions{known}, {progress.skipped:,} skipped"
    listen(Tally(text=f"{text}, {progress.dropped:,} {dropped}", done=progress.asked, total=progress.to_ask))
