"""Validation that means something: what the model writes at held-out prompts is read, and rendered and judged if wanted.

A loss says how likely the known answers are; here the model answers by itself, greedily. ``checks.jsonl`` in the run folder has a
line a validation, ``checks/step-N/`` the texts with their videos, scores and faults.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, final

import torch
from lightning import Callback, LightningModule, Trainer

from rapo_lightning import records
from rapo_lightning.keeping import lost_fixtures
from rapo_lightning.language import HuggingFaceChat
from rapo_lightning.language.answers import clean, complaint, count_words
from rapo_lightning.protocols import Placeable
from rapo_lightning.retrieval.select import label
from rapo_lightning.sspo.evaluate import evaluate
from rapo_lightning.sspo.options import LoopOptions, Parts
from rapo_lightning.tracking_tolerant import TolerantLogger
from rapo_lightning.tuning.forms import Teacher
from rapo_lightning.types import Candidate, Prompt, PromptPair, Reply, candidate_id, prompt_id

__all__ = ["CheckTexts", "Checked"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What was found at a validation after ``step`` steps: how many ``prompts`` (of selections: pairs) were answered; the share
    of ``usable`` texts, their mean length in ``words``, the mean ``reward`` of their videos; or that of ``right`` selections.
    """

    step: int
    prompts: int
    usable: float | None = None
    words: float | None = None
    reward: float | None = None
    right: float | None = None


@final
class CheckTexts(Callback):
    """At each validation, lets the model answer ``pairs``.

    Args:
        pairs: held-out pairs; their prompts are asked about.
        teach: puts the question, as in training.
        selects: answers are labels, not texts.
        max_words: how long a text may be.
        max_new_tokens: the most tokens of an answer.
        parts: generator, judges and reward; None: texts are only read.
        seed: of the videos' noise.
        folder: the run folder.
    """

    def __init__(
        self,
        pairs: Sequence[PromptPair],
        teach: Teacher,
        *,
        selects: bool,
        max_words: int,
        max_new_tokens: int,
        parts: Parts | None,
        seed: int,
        folder: Path,
    ) -> None:
        self._pairs, self._teach, self._selects = pairs, teach, selects
        self._max_words, self._max_new_tokens = max_words, max_new_tokens
        self.last: Checked | None = None
        self._requests = {prompt_id(pair.prompt): pair.prompt for pair in pairs}
        self._parts, self._options, self._folder = parts, LoopOptions(run_seed=seed), folder

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module: Any = pl_module
        sharded: bool = module.answers.sharded
        generate = module.answers.generate if sharded else None
        chat = HuggingFaceChat.around(module.loaded, trainer.strategy.root_device, generate=generate)
        share = slice(trainer.global_rank, None, trainer.world_size)
        # Each token takes all devices of a sharded model, so that every process asks all.
        pairs = self._pairs if sharded else self._pairs[share]
        answers = self._answers(chat, pairs)
        if sharded:
            pairs, answers = pairs[share], answers[share]
        found: list[Any] = self._labels(pairs, answers) if self._selects else self._texts(pairs, answers, trainer)
        if trainer.world_size > 1:
            parts: list[Any] = [None] * trainer.world_size
            torch.distributed.all_gather_object(parts, found)
            found = [one for part in parts for one in part]
        if trainer.is_global_zero:
            self._note(trainer, self._selected(trainer, found) if self._selects else self._read(trainer, found))

    def _answers(self, chat: HuggingFaceChat, pairs: Sequence[PromptPair]) -> list[list[str]]:
        """For each pair the answers to its lessons' conversations; empty where the model failed."""
        asked = [[unit[0][0] for unit in self._teach(pair)] for pair in pairs]
        with torch.compiler.set_stance("force_eager"):  # compiled layers would be compiled anew for what generating gives them
            replies = iter(chat.chat([one for some in asked for one in some], max_new_tokens=self._max_new_tokens))
        texts = [[next(replies) for _ in some] for some in asked]
        return [[one.text if isinstance(one, Reply) else "" for one in some] for some in texts]

    def _labels(self, pairs: Sequence[PromptPair], answers: Sequence[Sequence[str]]) -> list[bool]:
        """Whether each selection is right in both orders."""
        wanted = [[unit[0][1] for unit in self._teach(pair)] for pair in pairs]
        given = [[label(text) for text in texts] for texts in answers]
        return [one == right for one, right in zip(given, wanted, strict=True)]

    def _texts(self, pairs: Sequence[PromptPair], answers: Sequence[Sequence[str]], trainer: Trainer) -> list[Candidate]:
        prompts = [Prompt.of(pair.prompt) for pair in pairs]
        written = [self._candidate(prompt, clean(texts[0])) for prompt, texts in zip(prompts, answers, strict=True)]
        if self._parts is None:
            return written
        for part in (self._parts.generator, *self._parts.judges.values()):
            if isinstance(part, Placeable):
                part.to(trainer.strategy.root_device)
        folder = self._step_folder(trainer)
        good = [(one, prompt) for one, prompt in zip(written, prompts, strict=True) if one.error is None]
        rendered = evaluate(
            [one for one, _ in good],
            [prompt for _, prompt in good],
            self._parts,
            self._options,
            video_path=lambda prompt, name, seed: str(folder / f"{prompt}-{seed}.mp4"),
            clock=lambda: 0.0,
        )
        shown = {one.prompt_id: one for one in rendered}
        if failed := [one for one in rendered if one.error is not None]:
            log.warning("%d of %d texts could not be rendered, e.g. %s", len(failed), len(rendered), failed[0].error)
        return [shown.get(one.prompt_id, one) for one in written]

    def _candidate(self, prompt: Prompt, text: str) -> Candidate:
        return Candidate(
            id=candidate_id(0, text),
            prompt_id=prompt.id,
            round=0,
            text=text,
            origin="refiner",
            error=self._fault(prompt.id, text),
        )

    def _fault(self, prompt_id: str, text: str) -> str | None:
        """What is wrong with a text's form, length, language or the words that had to be kept."""
        request = self._requests[prompt_id]
        fault = complaint(text, request=request, max_words=self._max_words)
        return fault or "; ".join(lost_fixtures(request, text)) or None

    def _read(self, trainer: Trainer, candidates: Sequence[Candidate]) -> Checked:
        records.write(self._step_folder(trainer) / "candidates.jsonl", candidates)
        for logger in trainer.loggers:
            if isinstance(logger, TolerantLogger):
                logger.log_texts(candidates, trainer.global_step)
        rewards = [one.reward for one in candidates if one.reward is not None]
        return Checked(
            step=trainer.global_step,
            prompts=len(candidates),
            usable=mean(self._fault(one.prompt_id, one.text) is None for one in candidates),
            words=mean(count_words(one.text) for one in candidates),
            reward=mean(rewards) if rewards else None,
        )

    def _selected(self, trainer: Trainer, right: Sequence[bool]) -> Checked:
        return Checked(step=trainer.global_step, prompts=len(right), right=mean(right))

    def _note(self, trainer: Trainer, checked: Checked) -> None:
        records.append(self._folder / "checks.jsonl", checked)
        self.last = checked
        figures = {name: getattr(checked, name) for name in ("usable", "words", "reward", "right")}
        known: Mapping[str, float] = {f"check_{name}": float(value) for name, value in figures.items() if value is not None}
        for logger in trainer.loggers:
            logger.log_metrics(dict(known), checked.step)

    def _step_folder(self, trainer: Trainer) -> Path:
        return self._folder / "checks" / f"step-{trainer.global_step}"
