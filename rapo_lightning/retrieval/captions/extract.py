"""Extraction: a language model lists the scenes, subjects, actions and atmosphere of each caption (RAPO++ section 3.1).

What was found, or why nothing was, goes to a log that a second call goes on from (`retrieval.captions.extraction_log`).
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rapo_lightning.errors import PartError
from rapo_lightning.protocols import LanguageModel
from rapo_lightning.retrieval.captions.extraction_log import Extracted, ExtractionHeader, ExtractionLog
from rapo_lightning.retrieval.captions.ingest import unusable
from rapo_lightning.retrieval.captions.replies import read_reply
from rapo_lightning.retrieval.captions.rows import Skipped, text_fault
from rapo_lightning.templates import Template
from rapo_lightning.types import CaptionPhrases, Failure, Message

__all__ = ["Progress", "extract"]

#: Temperature of the second asking: greedily, the model would say the same again.
SECOND_TEMPERATURE = 0.7
#: Captions that wait for a batch to fill up, in batches: known ones between new ones are not held back for ever.
WAITING_BATCHES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Where an extraction stands, in captions: how many are ``done``; of these, taken from the log (``known``), ``asked``, asked
    twice (``asked_again``) and ``skipped``; and how many phrases of the replies were ``dropped``.

    Where they were counted at the start: how many there are (``total``), were known ``before``, and are ``to_ask`` about.
    """

    total: int = 0
    before: int = 0
    to_ask: int = 0
    done: int = 0
    known: int = 0
    asked: int = 0
    asked_again: int = 0
    skipped: int = 0
    dropped: int = 0


def extract(
    captions: Iterable[tuple[str, str] | Skipped],
    model: LanguageModel,
    log: Path,
    *,
    model_name: str,
    batch_size: int = 64,
    max_new_tokens: int = 256,
    template: str = "extract",
    seed: int = 0,
    counted: Iterable[tuple[str, str] | Skipped] | None = None,
    listen: Callable[[Progress], None] | None = None,
) -> Iterator[CaptionPhrases | Skipped]:
    """The phrases of each caption, or why there are none, in the captions' order; what was skipped before stays so.

    A caption in the log, letter by letter the same, is not asked about again; one that the model itself failed on is not in the
    log. An answer that cannot be read is asked for once more. Memory does not grow with the captions, but for 16 bytes each.

    Args:
        captions: (place, caption); a `Skipped` passes through.
        model: asked greedily, then at temperature 0.7 with ``seed``.
        log: the file that keeps what was found; made when missing.
        model_name: the model, as the log names it.
        batch_size: conversations of one call.
        max_new_tokens: of an answer.
        template: asks for the lists; must hold ``{caption}``.
        counted: the same captions once more, to be counted before the first question; None: they are not.
        listen: told when they are counted, and after each batch.

    Raises:
        InputError: the log was made by another template or model.
        ConfigError: the template cannot be used.
        PartError: the model gave another number of answers than asked for.
        RecordError: the log is damaged.
        StorageError: the log cannot be written.
    """
    wording = Template.load(template).required({"caption"})
    header = ExtractionHeader(template=wording.name, template_hash=wording.hash, model=model_name)
    progress = Progress()
    with ExtractionLog(log, header) as book:
        if counted is not None:
            progress = _counted(counted, book)
            if listen is not None:
                listen(progress)
        for waiting, new in _batches(captions, book, batch_size):
            found, again = _ask(new, model, wording, max_new_tokens=max_new_tokens, seed=seed)
            book.append([item for item in found.values() if not isinstance(item, Skipped)])
            results = [_result(item, found) for item in waiting]
            progress = replace(
                progress,
                done=progress.done + len(results),
                known=progress.known + sum(isinstance(item, Extracted) for item in waiting),
                asked=progress.asked + len(new),
                asked_again=progress.asked_again + again,
                skipped=progress.skipped + sum(isinstance(result, Skipped) for result in results),
                dropped=progress.dropped + sum(len(item.dropped) for item in found.values() if isinstance(item, Extracted)),
            )
            if listen is not None:
                listen(progress)
            yield from results


def _counted(captions: Iterable[tuple[str, str] | Skipped], book: ExtractionLog) -> Progress:
    """How many captions there are, are known, and are to be asked about: each once. Memory: 8 bytes a caption to ask about."""
    total = before = 0
    new = array("q")
    for item in captions:
        total += 1
        if isinstance(item, Skipped) or not (caption := item[1].strip()) or text_fault(caption) is not None:
            continue
        if (number := book.missing(caption)) is None:
            before += 1
        else:
            new.append(number)
    return Progress(total=total, before=before, to_ask=len(np.unique(new)))


def _batches(
    captions: Iterable[tuple[str, str] | Skipped], book: ExtractionLog, size: int
) -> Iterator[tuple[list[Extracted | Skipped | tuple[str, str]], dict[str, str]]]:
    """What waits for an answer or has one, in order, and the new captions among it, each once, with its place."""
    waiting: list[Extracted | Skipped | tuple[str, str]] = []
    new: dict[str, str] = {}
    for item in captions:
        if isinstance(item, Skipped):
            waiting.append(item)
        elif not (caption := item[1].strip()):
            waiting.append(Skipped(place=item[0], reason="an empty caption"))
        elif (reason := text_fault(caption)) is not None:
            waiting.append(Skipped(place=item[0], reason=reason))
        elif caption in new or (known := book.find(caption)) is None:
            new.setdefault(caption, item[0])
            waiting.append((item[0], caption))
        else:
            waiting.append(replace(known, place=item[0]))
        if len(new) >= size or len(waiting) >= WAITING_BATCHES * size:
            yield waiting, new
            waiting, new = [], {}
    if waiting:
        yield waiting, new


def _ask(
    new: dict[str, str], model: LanguageModel, wording: Template, *, max_new_tokens: int, seed: int
) -> tuple[dict[str, Extracted | Skipped], int]:
    """What the model finds in each caption, and how many were asked about twice; `Skipped` where the model failed."""

    def once(captions: list[str], temperature: float) -> list[str]:
        """Ask, note what was found, and return the captions whose answer cannot be read."""
        conversations: list[Sequence[Message]] = [wording.messages(caption=caption) for caption in captions]
        replies = model.chat(conversations, max_new_tokens=max_new_tokens, temperature=temperature, seed=seed)
        if len(replies) != len(captions):
            raise PartError(f"the language model gave {len(replies)} answers to {len(captions)} conversations")
        unread = []
        for caption, reply in zip(captions, replies):
            place = new[caption]
            if isinstance(reply, Failure):
                found[caption] = Skipped(place=place, reason=f"the language model failed: {reply.error}", failed=True)
                continue
            try:
                phrases, dropped = read_reply(reply.text, caption)
            except ValueError as error:
                unread.append(caption)
                reason = f"the answer cannot be read: {error}"
                found[caption] = Extracted(place=place, phrases=CaptionPhrases(caption=caption), reason=reason)
            else:
                reason_ = unusable(phrases)
                found[caption] = Extracted(place=place, phrases=phrases, reason=reason_, dropped=tuple(dropped))
        return unread

    found: dict[str, Extracted | Skipped] = {}
    again = once(list(new), 0.0) if new else []
    if again:
        once(again, SECOND_TEMPERATURE)
    return found, len(again)


def _result(item: Extracted | Skipped | tuple[str, str], found: dict[str, Extracted | Skipped]) -> CaptionPhrases | Skipped:
    if isinstance(item, tuple):
        item = replace(found[item[1]], place=item[0])
    if isinstance(item, Skipped):
        return item
    return item.phrases if item.reason is None else Skipped(place=item.place, reason=item.reason)
