"""From a configuration's files of pairs to lessons as tokens: what is learned from and what is validated on."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from rapo_lightning.errors import InputError
from rapo_lightning.language.loading import context_length, load_format
from rapo_lightning.retrieval.phrases import key
from rapo_lightning.sections_train import TrainConfig
from rapo_lightning.tuning.forms import teacher
from rapo_lightning.tuning.pair_files import read_pairs, split, unique
from rapo_lightning.tuning.tokens import Unit, tokenise
from rapo_lightning.types import PromptPair

__all__ = ["Lessons", "gather"]

#: Pairs whose lessons are tokenised together.
_AT_ONCE = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Lessons:
    """What is learned from: units of lessons to ``learn`` and to ``validate`` on, and of how many pairs they are.

    ``hash``: of all conversations and answers and the chat template; a run goes on with the same lessons only. ``held_out`` are
    the pairs to validate on; ``repeated`` pairs were passed over, ``out`` units, by reason, left out.
    """

    learn: Sequence[Unit]
    validate: Sequence[Unit]
    pairs: int
    validation_pairs: int
    hash: str
    held_out: Sequence[PromptPair] = ()
    repeated: int = 0
    out: Mapping[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        """The numbers, for records."""
        numbers = {"lessons": len(self.learn), "validation_lessons": len(self.validate), "pairs": self.pairs}
        return {
            **numbers,
            "validation_pairs": self.validation_pairs,
            "repeated": self.repeated,
            "left_out": dict(self.out),
            "tokens": sum(len(lesson.ids) for unit in self.learn for lesson in unit),
        }


def gather(config: TrainConfig) -> Lessons:
    """The lessons of a configuration whose files and weights have been located; no weights are read.

    Raises:
        InputError: a file cannot be used, prompts of the validation are learned from, too, or nothing is left to learn.
        ConfigError: the form cannot be made. WeightsError: the model's tokenizer cannot be loaded.
    """
    given = [pair for file in config.data.train for pair in read_pairs(Path(file))]
    pairs = unique(given)
    if isinstance(config.data.validation, list):
        files = map(Path, config.data.validation)
        learn, validate = pairs, unique([pair for file in files for pair in read_pairs(file, may_be_empty=True)])
        known = {key(pair.prompt) for pair in learn}
        if shared := [pair.prompt for pair in validate if key(pair.prompt) in known]:
            raise InputError(f"data.validation: {len(shared)} prompts are in data.train, too, e.g. {shared[0]!r}")
    else:
        learn, validate = split(pairs, config.data.validation, config.seed)
    teach = teacher(config.form, config.objective)
    format = load_format(config.model, config.adapter)
    longest = min(config.data.max_length, context_length(config.model) or config.data.max_length)
    # Not of the tokens: a template may write today's date.
    digest = hashlib.sha256(str(format.tokenizer.chat_template).encode())
    out: Counter[str] = Counter()

    def tokens(chosen: Sequence[PromptPair]) -> tuple[list[Unit], list[PromptPair]]:
        """The units, and the pairs that gave some."""
        units: list[Unit] = []
        used = []
        for start in range(0, len(chosen), _AT_ONCE):
            some = chosen[start : start + _AT_ONCE]
            taught = [teach(pair) for pair in some]
            for lessons in taught:
                digest.update(json.dumps(lessons, ensure_ascii=False).encode())
            made = iter(tokenise(list(chain.from_iterable(taught)), format, longest))
            for pair, lessons in zip(some, taught, strict=True):
                found = list(islice(made, len(lessons)))
                out.update(one for one in found if isinstance(one, str))
                good = [one for one in found if not isinstance(one, str)]
                units += good
                used += [pair] * bool(good)
        return units, used

    (learned, taught), (validated, held_out) = tokens(learn), tokens(validate)
    if not learned:
        why = ", ".join(f"{reason} ({count})" for reason, count in out.items()) or "all prompts fell to the validation"
        raise InputError(f"{', '.join(config.data.train)}: nothing to learn from: {why}")
    if config.patience is not None and not validated:
        raise InputError("patience: nothing is kept apart to validate on; see data.validation")
    return Lessons(
        learn=learned,
        validate=validated,
        pairs=len(taught),
        validation_pairs=len(held_out),
        hash=digest.hexdigest()[:12],
        held_out=held_out,
        repeated=len(given) - len(pairs),
        out=dict(out),
    )
