"""What ``rapo graph`` does, step by step: captions to phrases to a graph folder, and what is found in one."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.graph_tools import Tools, encoder_of, graph_tools, place
from rapo_lightning.project import project_file
from rapo_lightning.protocols import TextEncoder
from rapo_lightning.retrieval import graph_data, growing, store
from rapo_lightning.retrieval.captions import CaptionFile, Progress, Skipped, extract, open_captions
from rapo_lightning.retrieval.style import StyleCount
from rapo_lightning.types import CaptionPhrases

__all__ = ["Growth", "add", "build", "convert"]

DEFAULT = "configs/graph/default.yaml"
PUBLISHED_ENCODER, PUBLISHED_DIMENSION = "sentence-transformers/all-MiniLM-L6-v2", 384
_SKIPPED = "skipped.jsonl"
_REASONS = 3  # told in an error

Listen = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What building or adding came to: the folder, what was added, how many rows were skipped for which reason."""

    folder: Path
    added: growing.Added
    skipped: dict[str, int] = field(default_factory=dict)
    seconds: float


def build(
    captions: Path,
    *,
    out: Path,
    config_file: Path | None = None,
    column: str | None = None,
    limit: int | None = None,
    overrides: Sequence[str] = (),
    allow: Sequence[str] = (),
    device: str | None = None,
    listen: Listen | None = None,
) -> Growth:
    """Make a graph folder from captions; it appears when it is whole. What was extracted before an interruption is kept.

    Raises:
        InputError: a graph is there already, the captions cannot be used, or none of them can.
        ConfigError: the configuration is wrong, or names no encoder.
    """
    out = out.resolve()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        there = "a graph is there; `rapo graph add` adds to it" if (out / "graph.json").is_file() else "is not an empty folder"
        raise InputError(f"{out}: {there}")
    began = time.perf_counter()
    file = open_captions(captions, column)
    tools = graph_tools(config_file or project_file(DEFAULT), overrides, allow, extracts=not file.has_phrases)
    if tools.encoder is None:
        raise InputError(f"{config_file}: names no encoder")
    aside = out.with_name(f".{out.name}.building")
    aside.mkdir(parents=True, exist_ok=True)
    with growing.locked(aside):
        shutil.rmtree(aside / "segments", ignore_errors=True)
        for name in ("graph.json", _SKIPPED):
            (aside / name).unlink(missing_ok=True)
        place(tools, device)
        growing.create(aside, tools.encoder)
        style = StyleCount()
        try:
            growth = _grow(aside, file, tools, tools.encoder, limit, listen, style)
        except InputError:
            _forget(aside)
            raise
        store.save_style(aside, style.profile())
        if out.is_dir():
            out.rmdir()
        aside.replace(out)
    (out / ".lock").unlink(missing_ok=True)
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
    device: str | None = None,
    listen: Listen | None = None,
) -> Growth:
    """Add captions to a graph folder, with its own encoder unless a configuration names one; see `growing.add`."""
    began = time.perf_counter()
    store.read_manifest(folder)
    file = open_captions(captions, column)
    tools = graph_tools(config_file or project_file(DEFAULT), overrides, allow, encodes=False, extracts=not file.has_phrases)
    encoder = encoder_of(folder, config_file, overrides, allow)
    place(tools, device, encoder)
    growth = _grow(folder, file, tools, encoder, limit, listen)
    return Growth(folder=folder, added=growth.added, skipped=growth.skipped, seconds=time.perf_counter() - began)


def _forget(aside: Path) -> None:
    """Remove an unfinished graph, unless a language model has found something for it that is worth keeping."""
    if not any(log.read_bytes().count(b"\n") > 1 for log in aside.glob("extraction-*.jsonl")):
        shutil.rmtree(aside)


def convert(source: Path, out: Path, *, encoder: str | None = None, merge_aliases: bool = False) -> dict[str, Any]:
    """A published ``graph_data`` folder to a graph of ours, or the other way round; says which, and what had to be repaired.

    ``encoder`` made the published embeddings; None: all-MiniLM-L6-v2, as in the release, if they have its dimension.
    """
    from rapo_lightning.language import SentenceEncoder
    from rapo_lightning.types import ModelReference

    notes: list[str] = []
    if (source / "graph.json").is_file():
        graph_data.write_published(store.load_graph(source), out)
        return {"form": "published graph_data", "folder": str(out), "notes": notes}
    name = SentenceEncoder(ModelReference(encoder or PUBLISHED_ENCODER)).name
    graph = graph_data.read_published(source, encoder_name=name, merge_aliases=merge_aliases, notes=notes)
    if encoder is None and graph.dimension != PUBLISHED_DIMENSION:
        raise InputError(f"{source}: embeddings of {graph.dimension} numbers are not {name}'s; name their encoder with --encoder")
    store.save_graph(graph, out)
    return {"form": "relation graph", "folder": str(out), "notes": notes}


def _grow(
    folder: Path,
    file: CaptionFile,
    tools: Tools,
    encoder: TextEncoder,
    limit: int | None,
    listen: Listen | None,
    style: StyleCount | None = None,
) -> Growth:
    """Add a file's captions and note what was skipped. Errors: `InputError` when none of them could be used."""
    reasons: Counter[str] = Counter()
    skipped: list[Skipped] = []
    first: list[str] = []

    def note() -> None:
        if skipped:
            records.append(folder / _SKIPPED, *skipped)
            skipped.clear()

    def usable() -> Iterator[CaptionPhrases]:
        for row in _phrases(folder, file, tools, limit, listen):
            if isinstance(row, CaptionPhrases):
                if style is not None:
                    style.add(row.caption)
                yield row
                continue
            if not reasons:
                first.append(f"the first at {row.place}; ")
            reasons[row.reason] += 1
            skipped.append(row)
            if len(skipped) >= 1000:
                note()

    def told(added: growing.Added) -> None:
        note()
        if listen is not None:
            listen(f"{added.captions:,} captions, {sum(added.nodes.values()):,} phrases, {sum(reasons.values()):,} rows skipped")

    began = time.perf_counter()
    added = growing.add(folder, usable(), encoder, listen=told)
    note()
    if not added.captions and not added.duplicates:
        worst = (
            "; ".join(f"{reason} ({count:,})" for reason, count in reasons.most_common(_REASONS)) or "no scene with a modifier"
        )
        more = f"; and {len(reasons) - _REASONS:,} other reasons" if len(reasons) > _REASONS else ""
        raise InputError(f"{file.name}: no caption can be used: {first[0] if first else ''}{worst}{more}")
    return Growth(folder=folder, added=added, skipped=dict(reasons), seconds=time.perf_counter() - began)


def _phrases(
    folder: Path, file: CaptionFile, tools: Tools, limit: int | None, listen: Listen | None
) -> Iterator[CaptionPhrases | Skipped]:
    if file.has_phrases:
        return islice(file.phrases(), limit)
    if tools.model is None:
        raise InputError(f"{file.name}: plain captions, and the configuration has no language_model to extract their phrases")
    config = tools.config
    assert config.language_model is not None
    model = str(config.language_model.init_args.get("model", config.language_model.class_path))
    return extract(
        islice(file.captions(), limit),
        tools.model,
        folder / f"extraction-{hashlib.sha256(f'{config.template} {model}'.encode()).hexdigest()[:8]}.jsonl",
        model_name=model,
        batch_size=config.batch_size,
        max_new_tokens=config.max_new_tokens,
        template=config.template,
        listen=lambda progress: listen(_extraction_text(progress)) if listen is not None else None,
    )


def _extraction_text(progress: Progress) -> str:
    known = f" ({progress.known:,} known already)" if progress.known else ""
    return f"extracted: {progress.done:,} captions{known}, {progress.skipped:,} skipped, {progress.dropped:,} phrases dropped"
