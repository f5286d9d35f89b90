"""Stage 1 whole (RAPO++ sections 3.1 to 3.3): retrieve, merge, refactor, rewrite naively, select.

    RAPOAugmenter(graph=Path("relation_graph/mine"), encoder=..., language_model=...).augment([Prompt.of("a red ball")])

`RAPOAugmenter.explain` answers with every step on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, final

from rapo_lightning.errors import PartError
from rapo_lightning.protocols import LanguageModel, Placeable, TextEncoder
from rapo_lightning.retrieval.augmentation import Augmentation
from rapo_lightning.retrieval.select import LLMSelector
from rapo_lightning.retrieval.steps import Asking, Merged, Restyled, check_restyled, merge, naive_rewrite, refactor
from rapo_lightning.templates import Template
from rapo_lightning.types import Candidate, Failure, Kind, Prompt, Retrieved

if TYPE_CHECKING:
    import torch

    from rapo_lightning.retrieval.retrieve import Retriever
    from rapo_lightning.retrieval.style import StyleProfile

__all__ = ["RAPOAugmenter"]

#: What is told of the style where neither a style nor a graph with one is given.
_PLAIN = "One plain caption: the subjects and how many, what each of them does, the place, the light."
_LONGEST = 120
#: How much longer than the captions a refactored text may be: models do not count well.
_SLACK = 1.25


@final
class RAPOAugmenter:
    """An `Augmenter` that rewrites a prompt with phrases of the training captions, in their style.

    Args:
        graph: the folder of a relation graph; the captions' style lies in it, too.
        encoder: the sentence encoder that the graph was made with.
        language_model: merges, rewrites naively and, where no other is given, refactors and selects (L of the paper).
        refactorer: the model trained to write captions (L_r); None: ``language_model``, by instruction.
        selector_model: the discriminator (L_d) or another judge; None: ``language_model``.
        scenes: how many scenes are looked at.
        modifiers: the most modifiers merged.
        threshold: the least cosine of a modifier to the prompt.
        kinds: which kinds of modifiers are merged, of scene, subject, action and atmosphere; a model that cannot merge one kind,
            or prompts with many subjects, want fewer.
        style: what the language model is told of the style, in place of the graph's own.
        retrieve: look for modifiers at all. This and the next four switch a step off, for ablations.
        merge: work them in.
        refactor: put the merged text into the captions' style.
        naive: make the second, plain rewrite.
        select: compare the texts; otherwise the refactored one is taken, or else the naive one.
        raw_is_candidate: the user's own words take part in the selection.
        meaning: from which cosine on a phrase stands for a word of the user's that a restyled text lacks; None: not checked.
            It depends on the encoder.
        max_words: how long a refactored text should be at most, one more than a quarter longer is undone; None: the captions'
            95th percentile. The user's own length is always allowed.
        naive_words: the length asked for of the naive rewrite; twice as long is refused.
        max_new_tokens: the most tokens of an answer.
        seed: handed to the language models, which answer greedily.
    """

    origin = "rapo"

    def __init__(
        self,
        graph: Path,
        encoder: TextEncoder,
        language_model: LanguageModel,
        refactorer: LanguageModel | None = None,
        selector_model: LanguageModel | None = None,
        scenes: int = 3,
        modifiers: int = 5,
        threshold: float = 0.6,
        kinds: tuple[Kind, ...] = ("scene", "subject", "action", "atmosphere"),
        style: str | None = None,
        retrieve: bool = True,
        merge: bool = True,
        refactor: bool = True,
        naive: bool = True,
        select: bool = True,
        raw_is_candidate: bool = True,
        meaning: float | None = 0.7,
        max_words: int | None = None,
        naive_words: int = 30,
        max_new_tokens: int = 256,
        seed: int = 0,
    ) -> None:
        if min(scenes, modifiers, naive_words, max_new_tokens, 1 if max_words is None else max_words) < 1:
            raise ValueError("scenes, modifiers, max_words, naive_words and max_new_tokens must be at least 1")
        if not -1 <= threshold <= 1 or not -1 <= (0 if meaning is None else meaning) <= 1:
            raise ValueError(f"threshold ({threshold}) and meaning ({meaning}) are cosines, in [-1, 1]")
        if not (merge or refactor or naive):
            raise ValueError("merge, refactor and naive are all off: nothing would be written")
        self._graph = graph
        self._encoder = encoder
        self._scenes, self._modifiers, self._threshold, self._kinds = scenes, modifiers, threshold, kinds
        self._style = style
        self._retrieve, self._merge, self._refactor, self._naive = retrieve, merge, refactor, naive
        self._raw_is_candidate = raw_is_candidate
        self._meaning = meaning
        self._max_words, self._naive_words = max_words, naive_words
        self._ask = Asking(model=language_model, max_new_tokens=max_new_tokens, seed=seed)
        self._ask_refactorer = Asking(model=refactorer or language_model, max_new_tokens=max_new_tokens, seed=seed)
        judge = selector_model or language_model
        self._selector = LLMSelector(judge, raw_is_candidate=raw_is_candidate, seed=seed) if select else None
        self._models: tuple[object, ...] = (encoder, language_model, refactorer, selector_model)
        self._merge_template = Template.load("merge").required({"body", "modifier"})
        self._refactor_template = Template.load("refactor").required({"style", "sentence"})
        self._naive_template = Template.load("naive").required({"style", "request", "words"})
        self._device: torch.device | str = "cpu"
        self._loaded: Retriever | None = None
        self._profile: tuple[StyleProfile | None] | None = None

    def to(self, device: torch.device | str) -> RAPOAugmenter:
        """Use this device from now on, for retrieval, and for the encoder and language models that can be moved."""
        self._device = device
        if self._loaded is not None:
            self._loaded.to(device)
        placed: list[object] = []
        for model in self._models:
            if isinstance(model, Placeable) and not any(model is other for other in placed):
                model.to(device)
                placed.append(model)
        return self

    def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
        """One candidate a prompt, as `Augmentation.candidate` tells; a `Failure` where no step gave a text that could be used."""
        return [one.candidate() for one in self.explain(prompts)]

    def explain(self, prompts: Sequence[Prompt]) -> list[Augmentation]:
        """What Stage 1 does for each prompt, step by step."""
        # 1. Retrieve, and merge one by one.
        found = self._found(prompts)
        merged = [Merged(text=prompt.text) for prompt in prompts]
        if self._merge:
            merged = merge(prompts, found, self._merge_template, self._ask)

        # 2. Put what was merged into the captions' style; in parallel, rewrite the prompt without it.
        refactored: list[Restyled | None] = [None] * len(prompts)
        naive: list[Restyled | None] = [None] * len(prompts)
        if self._refactor:
            texts = refactor([one.text for one in merged], self._told(), self._refactor_template, self._ask_refactorer)
            refactored = [*self._check(prompts, texts, int(_SLACK * self._longest()))]
        if self._naive:
            texts = naive_rewrite([p.text for p in prompts], self._told(), self._naive_words, self._naive_template, self._ask)
            naive = [*self._check(prompts, texts, 2 * self._naive_words)]

        # 3. Choose among the user's own words and what became of them.
        tried = [
            Augmentation(
                prompt=prompt,
                retrieved=tuple(phrases),
                merged=body,
                refactored=restyled,
                naive=plain,
                raw_is_candidate=self._raw_is_candidate,
            )
            for prompt, phrases, body, restyled, plain in zip(prompts, found, merged, refactored, naive, strict=True)
        ]
        if self._selector is None:
            return tried
        rows = [row for row, one in enumerate(tried) if one.branch is not None]
        choices = self._selector.select([prompts[row] for row in rows], [list(tried[row].options.values()) for row in rows])
        for row, choice in zip(rows, choices, strict=True):
            tried[row] = replace(tried[row], selected=choice)
        return tried

    def _check(self, prompts: Sequence[Prompt], texts: Sequence[Restyled], longest: int) -> list[Restyled]:
        return check_restyled(prompts, texts, max_words=longest, encoder=self._encoder, meaning=self._meaning)

    def _found(self, prompts: Sequence[Prompt]) -> Sequence[tuple[Retrieved, ...]]:
        if not (self._retrieve and prompts):
            return [()] * len(prompts)
        found = self._retriever().retrieve([prompt.text for prompt in prompts])
        if len(found) != len(prompts):
            raise PartError(f"retrieval gave {len(found)} answers for {len(prompts)} prompts")
        return found

    def _retriever(self) -> Retriever:
        if self._loaded is None:
            from rapo_lightning.retrieval.retrieve import Retriever
            from rapo_lightning.retrieval.store import load_graph

            self._loaded = Retriever(
                load_graph(self._graph),
                self._encoder,
                scenes=self._scenes,
                modifiers=self._modifiers,
                threshold=self._threshold,
                kinds=self._kinds,
            ).to(self._device)
        return self._loaded

    def _told(self) -> str:
        """What the language model is told of the style."""
        if self._style is not None:
            return self._style
        profile = self._captions()
        return profile.describe() if profile else _PLAIN

    def _longest(self) -> int:
        if self._max_words is not None:
            return self._max_words
        profile = self._captions()
        return profile.words_high if profile else _LONGEST

    def _captions(self) -> StyleProfile | None:
        """The style that lies with the graph, if one does."""
        if self._profile is None:
            from rapo_lightning.retrieval.store import load_style

            self._profile = (load_style(self._graph),)
        return self._profile[0]
