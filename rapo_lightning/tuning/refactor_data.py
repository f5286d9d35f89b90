"""Training data of L_r, the model that writes in the captions' style (RAPO++ section 3.2), made backwards.

A language model says each training caption as people would type it; the model to be trained then learns to get the caption back.
What was made lies in a folder: ``pairs.jsonl`` (prompt: what people would type; completion: the caption), ``refused.jsonl``
(answers that could not be used, and why), ``skipped.jsonl`` (rows that gave no answer the last time, and why) and ``data.json``.
A second call goes on where the first was stopped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from rapo_lightning import records
from rapo_lightning.errors import InputError, PartError
from rapo_lightning.language.answers import clean, count_words
from rapo_lightning.protocols import LanguageModel, TextEncoder
from rapo_lightning.retrieval.captions import Progress, Skipped, SkipRecord
from rapo_lightning.retrieval.phrases import hash_keys, key
from rapo_lightning.templates import Template
from rapo_lightning.types import Failure, PromptPair, Reply

__all__ = ["Refused", "write_refactor_data"]

#: How much longer than the caption an answer may be.
_LONGER = 2.0
_COUNTED = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """An answer that makes no lesson: for which ``caption``, what it said, and the ``reason``."""

    caption: str
    answer: str
    reason: str


def write_refactor_data(
    captions: Iterable[tuple[str, str] | Skipped],
    model: LanguageModel,
    folder: Path,
    *,
    model_name: str,
    source: str,
    template: str = "deformat",
    temperature: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    max_new_tokens: int = 256,
    encoder: TextEncoder | None = None,
    alike: float = 0.6,
    counted: Iterable[tuple[str, str] | Skipped] | None = None,
    listen: Callable[[Progress], None] | None = None,
    pause: Callable[[], None] = lambda: None,
) -> dict[str, Any]:
    """Make pairs from captions; returns what ``data.json`` says: settings and counts.

    Args:
        captions: (place, caption); each caption is asked about once.
        model: says captions as people do, sampled at ``temperature`` so that it does not always say it in one way.
        folder: where the data go; data of another source there, or made by another model, template or temperature, are refused.
        model_name: what the model is called in ``data.json``.
        source: the same of the captions.
        template: asks for the sentence; must hold ``{caption}``.
        encoder: tells whether answer and caption mean the same; None leaves that check out.
        alike: from which cosine on they do.
        counted: the same captions once more, to be counted before the first question; None: they are not.
        listen: told when they are counted, and after each batch; of `Progress`, ``dropped`` are answers that were refused.
        pause: called between two batches; what it raises ends the call, and the next one goes on.

    Raises:
        InputError: the folder holds other data, or no caption was usable.
        PartError: the model gave another number of answers than asked for.
    """
    wording = Template.load(template).required({"caption"})
    made_of = {"source": source, "template": wording.name, "template_hash": wording.hash, "model": model_name}
    settings: dict[str, Any] = {**made_of, "temperature": temperature, "seed": seed, "alike": alike if encoder else None}
    known = _known(folder, settings)
    (folder / "skipped.jsonl").unlink(missing_ok=True)
    skipped = SkipRecord(folder / "skipped.jsonl")
    progress = Progress() if counted is None else _counted(counted, known)
    if counted is not None and listen is not None:
        listen(progress)
    rest = iter(captions)
    while chunk := list(islice(rest, batch_size)):
        pause()
        places: dict[str, str] = {}
        for item in chunk:
            if isinstance(item, Skipped):
                skipped.add(item)
            else:
                places.setdefault(item[1].strip(), item[0])
        new = [text for text, hashed in zip(places, hash_keys(places).tolist(), strict=True) if hashed not in known]
        pairs, refused, failed = _broken(new, model, wording, temperature, seed, max_new_tokens, encoder, alike)
        known.update(hash_keys(caption for caption in new if caption not in failed).tolist())
        for caption, reason in failed.items():  # the next call asks again
            skipped.add(Skipped(place=places[caption], reason=reason, failed=True))
        # Refusals first: a kill between the two writes then asks about some captions again, and loses none.
        records.append(folder / "refused.jsonl", *refused)
        records.append(folder / "pairs.jsonl", *pairs)
        skipped.flush()
        progress = replace(
            progress,
            done=progress.done + len(chunk),
            known=progress.known + len(places) - len(new),
            asked=progress.asked + len(new),
            skipped=skipped.reasons.total(),
            dropped=progress.dropped + len(refused),
        )
        if listen is not None:
            listen(progress)
    return _finish(folder, settings, skipped)


def _counted(captions: Iterable[tuple[str, str] | Skipped], known: Set[int]) -> Progress:
    """How many captions there are, are known, and are to be asked about: each once."""
    total = before = 0
    new: set[int] = set()
    rest = iter(captions)
    while chunk := list(islice(rest, _COUNTED)):
        hashes = hash_keys(item[1] for item in chunk if not isinstance(item, Skipped)).tolist()
        total += len(chunk)
        before += sum(hashed in known for hashed in hashes)
        new.update(hashed for hashed in hashes if hashed not in known)
    return Progress(total=total, before=before, to_ask=len(new))


def _broken(
    captions: Sequence[str],
    model: LanguageModel,
    wording: Template,
    temperature: float,
    seed: int,
    max_new_tokens: int,
    encoder: TextEncoder | None,
    alike: float,
) -> tuple[list[PromptPair], list[Refused], dict[str, str]]:
    """The pairs, the answers that make none, and why the model failed on a caption."""
    if not captions:
        return [], [], {}
    conversations = [wording.messages(caption=caption) for caption in captions]
    answers = model.chat(conversations, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
    if len(answers) != len(captions):
        raise PartError(f"the language model gave {len(answers)} answers to {len(captions)} conversations")
    texts = [clean(answer.text) if isinstance(answer, Reply) else "" for answer in answers]
    cosines = (encoder.encode(captions) * encoder.encode(texts)).sum(dim=1).tolist() if encoder else [1.0] * len(texts)
    pairs, refused = [], []
    failed: dict[str, str] = {}
    for caption, answer, text, cosine in zip(captions, answers, texts, cosines, strict=True):
        if isinstance(answer, Failure):
            failed[caption] = f"the language model failed: {answer.error}"
        elif (reason := _fault(caption, text, cosine, alike)) is None:
            pairs.append(PromptPair(prompt=text, completion=caption))
        else:
            refused.append(Refused(caption=caption, answer=text, reason=reason))
    return pairs, refused, failed


def _fault(caption: str, text: str, cosine: float, alike: float) -> str | None:
    if not text:
        return "empty"
    if key(text) == key(caption):
        return "the caption itself"
    if count_words(text) > _LONGER * count_words(caption):
        return "more than twice as long as the caption"
    return "means something else" if cosine < alike else None


def _known(folder: Path, settings: Mapping[str, Any]) -> set[int]:
    """Hashes of the captions that were asked about before, with the same settings."""
    card = folder / "data.json"
    if card.is_file():
        found = records.parse_json(card.read_bytes()).get("settings")
        if found != dict(settings):
            before = found if isinstance(found, dict) else {}
            changed = [
                f"{name} ({before.get(name)}, not {value})" for name, value in settings.items() if before.get(name) != value
            ]
            raise InputError(f"{folder}: holds data made with another {', '.join(changed)}")
    elif folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder}: is not empty")
    else:
        _write_card(folder, settings, {})
    known: set[int] = set()
    for name, kind, field in (("pairs.jsonl", PromptPair, "completion"), ("refused.jsonl", Refused, "caption")):
        if (folder / name).is_file():
            known.update(hash_keys(getattr(record, field) for record in records.read(folder / name, kind)).tolist())
    return known


def _finish(folder: Path, settings: Mapping[str, Any], skipped: SkipRecord) -> dict[str, Any]:
    pairs = sum(1 for _ in records.read(folder / "pairs.jsonl", PromptPair)) if (folder / "pairs.jsonl").is_file() else 0
    refused = Counter(record.reason for record in records.read(folder / "refused.jsonl", Refused))
    if not pairs:
        reasons = [f"{reason} ({count})" for reason, count in [*refused.items(), *skipped.reasons.items()]]
        first = f"; the first at {skipped.first.place}" if skipped.first else ""
        raise InputError(f"{folder}: no caption gave a pair: {', '.join(reasons) or 'there were none'}{first}")
    counts = {"pairs": pairs, "refused": dict(refused), "skipped": dict(skipped.reasons), "failed": skipped.failed}
    return _write_card(folder, settings, counts)


def _write_card(folder: Path, settings: Mapping[str, Any], counts: Mapping[str, Any]) -> dict[str, Any]:
    values = {"kind": "refactor", "settings": dict(settings), **counts}
    records.write_text_atomic(folder / "data.json", json.dumps(values, indent=2, ensure_ascii=False) + "\n")
    return values
