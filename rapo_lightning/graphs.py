"""What ``rapo graph`` does, step by step: captions to phrases to a graph folder, and what is found in one."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.parts import Builder
from rapo_lightning.project import project_file
from rapo_lightning.protocols import LanguageModel, TextEncoder
from rapo_lightning.retrieval import describe, graph_data, growing, pictures, store
from rapo_lightning.retrieval.captions import CaptionFile, Progress, Skipped, extract, open_captions
from rapo_lightning.retrieval.pictures import SceneView, view
from rapo_lightning.retrieval.style import profile
from rapo_lightning.sections import GraphConfig
from rapo_lightning.settings import load
from rapo_lightning.types import CaptionPhrases

__all__ = ["Growth", "Tools", "add", "build", "convert", "draw", "encoder_of", "graph_tools", "search", "statistics"]

DEFAULT = "configs/graph/default.yaml"
_SKIPPED = "skipped.jsonl"
_EXTRACTION = "extraction.jsonl"

Listen = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What building or adding came to: the folder, what was added, how many rows were skipped for which reason."""

    folder: Path
    added: growing.Added
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Tools:
    """A graph configuration with its parts."""

    config: GraphConfig
    encoder: TextEncoder | None
    model: LanguageModel | None


def build(
    captions: Path,
    *,
    out: Path,
    config_file: Path | None = None,
    column: str | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    listen: Listen | None = None,
) -> Growth:
    """Make a graph folder from captions; it appears when it is whole. What was extracted before an interruption is kept.

    Raises:
        InputError: a graph is there already, the captions cannot be used, or none of them can.
        ConfigError: the configuration is wrong, or names no encoder.
    """
    if out.is_dir() and any(out.iterdir()):
        more = "a graph is there; `rapo graph add` adds to it" if (out / "graph.json").is_file() else "is not empty"
        raise InputError(f"{out}: {more}")
    began = time.perf_counter()
    file = open_captions(captions, column)
    tools = graph_tools(config_file or project_file(DEFAULT), overrides, allow)
    if tools.encoder is None:
        raise InputError(f"{config_file}: names no encoder")
    aside = out.with_name(f".{out.name}.building")
    shutil.rmtree(aside / "segments", ignore_errors=True)
    for name in ("graph.json", _SKIPPED):
        (aside / name).unlink(missing_ok=True)
    growing.create(aside, tools.encoder)
    growth = _grow(aside, file, tools, tools.encoder, limit, listen)
    if not growth.added.captions:
        shutil.rmtree(aside)
        why = ", ".join(f"{reason} ({count})" for reason, count in growth.skipped.items()) or "no scene with a modifier"
        raise InputError(f"{captions}: no caption can be used: {why}")
    store.save_style(aside, profile(_texts(file, limit)))
    if out.is_dir():
        out.rmdir()
    (aside / ".lock").unlink(missing_ok=True)
    aside.replace(out)
    return Growth(folder=out, added=growth.added, skipped=growth.skipped, seconds=time.perf_counter() - began)


def add(
    folder: Path,
    captions: Path,
    *,
    config_file: Path | None = None,
    column: str | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    listen: Listen | None = None,
) -> Growth:
    """Add captions to a graph folder, with its own encoder unless a configuration names one; see `growing.add`."""
    began = time.perf_counter()
    store.read_manifest(folder)
    file = open_captions(captions, column)
    tools = graph_tools(config_file or project_file(DEFAULT), overrides, allow)
    encoder = encoder_of(folder, config_file, overrides, allow)
    growth = _grow(folder, file, tools, encoder, limit, listen)
    return Growth(folder=folder, added=growth.added, skipped=growth.skipped, seconds=time.perf_counter() - began)


def convert(source: Path, out: Path, *, encoder: str, merge_aliases: bool = False) -> dict[str, Any]:
    """A published ``graph_data`` folder to a graph of ours, or the other way round; says which, and what had to be repaired."""
    notes: list[str] = []
    if (source / "graph.json").is_file():
        graph_data.write_published(store.load_graph(source), out)
        return {"form": "published graph_data", "folder": str(out), "notes": notes}
    graph = graph_data.read_published(source, encoder_name=encoder, merge_aliases=merge_aliases, notes=notes)
    store.save_graph(graph, out)
    return {"form": "relation graph", "folder": str(out), "notes": notes}


def statistics(folder: Path) -> dict[str, Any]:
    """What is in a graph, as plain JSON."""
    return describe.statistics(store.load_graph(folder))


def search(
    folder: Path, prompt: str, encoder: TextEncoder, *, scenes: int = 3, modifiers: int = 5, threshold: float = 0.0
) -> list[SceneView]:
    """The scenes nearest to a prompt with their nearest modifiers, all of them ranked."""
    if not prompt.strip():
        raise InputError("the prompt is empty")
    growing.check_encoder(folder, store.read_manifest(folder), encoder)
    vector = encoder.encode([prompt])[0]
    return view(store.load_graph(folder), prompt, vector, scenes=scenes, modifiers=modifiers, threshold=threshold)


def draw(
    folder: Path,
    prompt: str,
    out: Path,
    encoder: TextEncoder,
    *,
    scenes: int = 3,
    modifiers: int = 8,
    threshold: float = 0.6,
) -> None:
    """Write the picture of what `search` finds, as SVG or HTML."""
    if out.suffix.lower() not in {".svg", ".html", ".htm"}:
        raise InputError(f"{out}: a picture's name ends in .svg or .html")
    views = search(folder, prompt, encoder, scenes=scenes, modifiers=modifiers, threshold=threshold)
    manifest = store.read_manifest(folder)
    note = f"{folder.resolve().name}: {manifest.captions:,} captions, encoder {manifest.encoder}"
    pictures.write(out, prompt, views, title="Scenes and modifiers near a prompt", threshold=threshold, note=note)


def encoder_of(
    folder: Path, config_file: Path | None = None, overrides: Sequence[str] = (), allow: Sequence[str] = ()
) -> TextEncoder:
    """The encoder that a configuration names, else the one that a graph names as its own, found as weights are."""
    if config_file is not None and (encoder := graph_tools(config_file, overrides, allow).encoder) is not None:
        return encoder
    from rapo_lightning.language import SentenceEncoder
    from rapo_lightning.types import ModelReference
    from rapo_lightning.weights import locate, refuse_code

    located = locate(store.read_manifest(folder).encoder, folder)
    if Path(located).is_dir():
        refuse_code(located)
    return SentenceEncoder(ModelReference(located))


def graph_tools(config_file: Path, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> Tools:
    """The parts of a graph configuration, built but not loaded."""
    config, positions = load(config_file, GraphConfig, overrides, allow)
    builder = Builder(positions, allow)
    encoder = builder.part(config.encoder, ("encoder",), TextEncoder) if config.encoder else None
    model = builder.part(config.language_model, ("language_model",), LanguageModel) if config.language_model else None
    builder.finish()
    return Tools(config=config, encoder=encoder, model=model)


def _grow(
    folder: Path, file: CaptionFile, tools: Tools, encoder: TextEncoder, limit: int | None, listen: Listen | None
) -> Growth:
    reasons: Counter[str] = Counter()
    skipped: list[Skipped] = []

    def usable() -> Iterator[CaptionPhrases]:
        for number, row in enumerate(_phrases(folder, file, tools, listen)):
            if number == limit:
                return
            if isinstance(row, CaptionPhrases):
                yield row
            else:
                reasons[row.reason] += 1
                skipped.append(row)

    def told(added: growing.Added) -> None:
        if listen is not None:
            listen(f"{added.captions:,} captions, {sum(added.nodes.values()):,} phrases, {sum(reasons.values()):,} rows skipped")

    began = time.perf_counter()
    added = growing.add(folder, usable(), encoder, listen=told)
    if skipped:
        records.write(folder / _SKIPPED, skipped)
    return Growth(folder=folder, added=added, skipped=dict(reasons), seconds=time.perf_counter() - began)


def _phrases(folder: Path, file: CaptionFile, tools: Tools, listen: Listen | None) -> Iterator[CaptionPhrases | Skipped]:
    if file.has_phrases:
        return file.phrases()
    if tools.model is None:
        raise InputError(f"{file.name}: plain captions, and the configuration has no language_model to extract their phrases")
    config = tools.config
    assert config.language_model is not None
    return extract(
        file.captions(),
        tools.model,
        folder / _EXTRACTION,
        model_name=str(config.language_model.init_args.get("model", config.language_model.class_path)),
        batch_size=config.batch_size,
        max_new_tokens=config.max_new_tokens,
        template=config.template,
        listen=lambda progress: listen(_extraction_text(progress)) if listen is not None else None,
    )


def _extraction_text(progress: Progress) -> str:
    known = f" ({progress.known:,} known already)" if progress.known else ""
    return f"extracted: {progress.done:,} captions{known}, {progress.skipped:,} skipped, {progress.dropped:,} phrases dropped"


def _texts(file: CaptionFile, limit: int | None) -> Iterator[str]:
    for number, row in enumerate(file.captions()):
        if number == limit:
            return
        if not isinstance(row, Skipped):
            yield row[1]
