"""What ``rapo graph`` does, step by step: captions to phrases to a graph folder, and what is found in one."""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import InputError
from rapo_lightning.graph_tools import Tools, encoder_of, graph_tools, phrases_of, place
from rapo_lightning.interruption import StopSignals
from rapo_lightning.progress import Listen
from rapo_lightning.project import project_file
from rapo_lightning.protocols import TextEncoder
from rapo_lightning.retrieval import graph_data, growing, store
from rapo_lightning.retrieval.captions import CaptionFile, SkipRecord, open_captions
from rapo_lightning.retrieval.identity import check_encoder
from rapo_lightning.types import CaptionPhrases

__all__ = ["Growth", "add", "build", "convert"]

DEFAULT = "configs/graph/default.yaml"
PUBLISHED_ENCODER, PUBLISHED_DIMENSION = "sentence-transformers/all-MiniLM-L6-v2", 384
_SKIPPED = "skipped.jsonl"
_SOURCE = "source.sha256"  # of what an unfinished graph is made
_REASONS = 3  # told in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """What building or adding came to: the folder, what was added, how many rows were skipped for which reason.

    ``failed``: how many of these rows the language model failed on; adding the same file asks about them again.
    """

    folder: Path
    added: growing.Added
    skipped: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    seconds: float

    def exit_code(self, *, strict: bool = False) -> int:
        """3 where a model failed on captions, and, if ``strict``, where any row was skipped; else 0."""
        return 3 if self.failed or (strict and self.skipped) else 0


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
    """Make a graph folder from captions; it appears when it is whole. After an interruption, the same call goes on.

    Raises:
        InputError: a graph is there already, the captions cannot be used, or none of them can.
        ConfigError: the configuration is wrong, or names no encoder.
        Stopped: a signal asked to stop.
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
    with growing.locked(aside), StopSignals() as signals:
        place(tools, device)
        there_already = _begun(aside, _source(captions, column, limit, tools), tools.encoder)
        if there_already.captions and listen is not None:
            listen(f"{there_already.captions:,} captions are there already, from a build that was interrupted")
        try:
            growth = _grow(aside, file, tools, tools.encoder, limit, listen, signals)
        except InputError:
            _forget(aside)
            raise
        (aside / _SOURCE).unlink()
        if out.is_dir():
            out.rmdir()
        aside.replace(out)
    (out / ".lock").unlink(missing_ok=True)
    # What was there came by once more, as known.
    added = growth.added + there_already + growing.Added(duplicates=-there_already.captions)
    seconds = time.perf_counter() - began
    return Growth(folder=out, added=added, skipped=growth.skipped, failed=growth.failed, seconds=seconds)


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
    """Add captions to a graph folder, with its own encoder unless a configuration names one; see `growing.add`.

    Raises:
        InputError: there is no graph, the captions cannot be used, or none of them can.
        Stopped: a signal asked to stop; what was added by then stays, and the same call goes on.
    """
    store.read_manifest(folder)
    file = open_captions(captions, column)
    tools = graph_tools(config_file or project_file(DEFAULT), overrides, allow, encodes=False, extracts=not file.has_phrases)
    encoder = encoder_of(folder, config_file, overrides, allow)
    with StopSignals() as signals:
        place(tools, device, encoder)
        return _grow(folder, file, tools, encoder, limit, listen, signals)


def convert(source: Path, out: Path, *, encoder: str | None = None, merge_aliases: bool = False) -> dict[str, Any]:
    """A published ``graph_data`` folder to a graph of ours, or the other way round; says which, and what had to be repaired.

    ``encoder`` made the published embeddings, and makes anew those that are missing; None: all-MiniLM-L6-v2, as in the release,
    if they have its dimension, and none is missing.
    """
    from rapo_lightning.language import SentenceEncoder
    from rapo_lightning.types import ModelReference

    notes: list[str] = []
    if (source / "graph.json").is_file():
        graph_data.write_published(store.load_graph(source), out)
        return {"form": "published graph_data", "folder": str(out), "notes": notes}
    made_by = SentenceEncoder(ModelReference(encoder or PUBLISHED_ENCODER))
    name, able = made_by.name, None if encoder is None else made_by
    graph = graph_data.read_published(source, encoder_name=name, encoder=able, merge_aliases=merge_aliases, notes=notes)
    if encoder is None and graph.dimension != PUBLISHED_DIMENSION:
        raise InputError(f"{source}: embeddings of {graph.dimension} numbers are not {name}'s; name their encoder with --encoder")
    store.save_graph(graph, out)
    return {"form": "relation graph", "folder": str(out), "notes": notes}


def _source(captions: Path, column: str | None, limit: int | None, tools: Tools) -> str:
    """A hash of all that a build depends on; what was begun with another is not gone on with."""
    found = captions.stat()
    values = [str(captions.resolve()), found.st_size, found.st_mtime_ns, column, limit, tools.config.model_dump(mode="json")]
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _begun(aside: Path, source: str, encoder: TextEncoder) -> growing.Added:
    """What an interrupted build from the same source left, to be gone on with; else nothing, in an empty graph."""
    note = aside / _SOURCE
    (aside / _SKIPPED).unlink(missing_ok=True)
    if note.is_file() and note.read_text(encoding="utf-8") == source:
        try:
            manifest = store.read_manifest(aside)
            check_encoder(encoder, graph=str(aside), name=manifest.encoder, known=manifest.probe, dimension=manifest.dimension)
            return growing.Added(captions=manifest.captions, nodes=manifest.nodes)
        except InputError:
            pass  # damaged, or the encoder's weights are others now: from the beginning
    note.unlink(missing_ok=True)
    shutil.rmtree(aside / "segments", ignore_errors=True)
    for name in ("graph.json", "style.json"):
        (aside / name).unlink(missing_ok=True)
    growing.create(aside, encoder)
    records.write_text_atomic(note, source)
    return growing.Added()


def _forget(aside: Path) -> None:
    """Remove an unfinished graph, unless a language model has found something for it that is worth keeping."""
    if not any(log.read_bytes().count(b"\n") > 1 for log in aside.glob("extraction-*.jsonl")):
        shutil.rmtree(aside)


def _grow(
    folder: Path,
    file: CaptionFile,
    tools: Tools,
    encoder: TextEncoder,
    limit: int | None,
    listen: Listen | None,
    signals: StopSignals,
) -> Growth:
    """Add a file's captions and note what was skipped. Errors: `InputError` when none of them could be used, `Stopped`."""
    skipped = SkipRecord(folder / _SKIPPED)

    def usable() -> Iterator[CaptionPhrases]:
        for row in phrases_of(folder, file, tools, limit, listen):
            signals.check()
            if isinstance(row, CaptionPhrases):
                yield row
            else:
                skipped.add(row)

    def told(added: growing.Added) -> None:
        skipped.flush()
        if listen is not None:
            phrases, left_out = sum(added.nodes.values()), skipped.reasons.total()
            listen(f"{added.captions:,} captions, {phrases:,} phrases, {left_out:,} rows skipped")

    began = time.perf_counter()
    added = growing.add(folder, usable(), encoder, listen=told, pause=signals.check)
    skipped.flush()
    if limit is None:
        skipped.settle(file.name)
    if not added.captions and not added.duplicates:
        raise InputError(f"{file.name}: no caption can be used: {_worst(skipped)}")
    seconds = time.perf_counter() - began
    return Growth(folder=folder, added=added, skipped=dict(skipped.reasons), failed=skipped.failed, seconds=seconds)


def _worst(skipped: SkipRecord) -> str:
    """Why nothing could be used, in a line."""
    if skipped.first is None:
        return "no scene with a modifier"
    reasons = [f"{reason} ({count:,})" for reason, count in skipped.reasons.most_common(_REASONS)]
    more = f"; and {len(skipped.reasons) - _REASONS:,} other reasons" if len(skipped.reasons) > _REASONS else ""
    return f"the first at {skipped.first.place}; {'; '.join(reasons)}{more}"
