"""Other refiners in Stage 1's place: a chat model is asked to write a prompt as a given T2V model likes it.

    augmenter:
      class_path: rapo_lightning.retrieval.refiners.ChatRefiner
      init_args:
        style: wan
        language_model:
          class_path: rapo_lightning.language.OpenAIChat
          init_args: {model: Qwen/Qwen2.5-7B-Instruct, base_url: "http://127.0.0.1:8000/v1"}

A T2V model's own fine-tuned refiner is the same class with its weights and, in a file of yours, the text it was trained with:

    augmenter:
      class_path: rapo_lightning.retrieval.refiners.ChatRefiner
      init_args:
        style: prompts/open_sora_plan_refiner.md   # with {request} where the user's prompt goes
        max_words: 120
        language_model:
          class_path: rapo_lightning.language.HuggingFaceChat
          init_args: {model: meta-llama/Llama-3.1-8B-Instruct, adapter: ckpt/open_sora_plan_refiner}
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from rapo_lightning.errors import PartError
from rapo_lightning.language.answers import clean, complaint
from rapo_lightning.protocols import LanguageModel, Placeable, TextEncoder
from rapo_lightning.retrieval.guard import Same, losses
from rapo_lightning.retrieval.refiner_styles import STYLES, conversation, style_template
from rapo_lightning.retrieval.steps import same_meaning
from rapo_lightning.types import Candidate, Cost, Failure, Message, Origin, Prompt, Reply, candidate_id

if TYPE_CHECKING:
    import torch

__all__ = ["ChatRefiner"]

#: A greedy model would give the same bad answer again.
_RETRY_TEMPERATURE = 0.7
#: A model that speaks to the user: how its answer opens, and what it says about the answer.
_SPEAKS = re.compile(
    r"""\A(?:(?:i(?:['’](?:m|ve|ll|d)|\ (?:am|can|cannot|have|will|would|apologi[sz]e|understand))|as\ an\ ai|as\ requested
    |sorry|apologies|unfortunately|let\ me|please\ provide)\b)
    |\b(?:let\ me\ know|would\ you\ like\ me|hope\ this\ helps|feel\ free\ to
    |(?:this|the)\ (?:(?:refined|expanded|rewritten|above)\ (?:description|caption|version|text)|prompt|rewrite|request|user)
    |word\ count|\d+\ words)\b""",
    re.IGNORECASE | re.VERBOSE,
)


@final
class ChatRefiner:
    """An `Augmenter` that asks a chat model for a fuller prompt, in the style of a T2V model's own refiner.

    Args:
        language_model: any chat model.
        style: ``wan``, ``hunyuan``, ``hunyuan_master``, ``open_sora_plan``, ``open_sora``, ``plain``; or a template: a ``.md``
            file of yours with ``{request}`` and, if wanted, ``{notes}`` (locked words), ``{words}`` and ``{least}``.
        max_words: how long a prompt may be, as told to the model; one more than a quarter longer is refused. None here and below:
            as the style has it; a template has the limits of ``plain``.
        max_new_tokens: the most tokens of an answer; one that takes them all is taken as cut off.
        temperature: of the first answer; later ones are asked for at 0.7 or this, whichever is higher.
        seed: of the sampling.
        attempts: how many answers may be asked for until one can be used.
        encoder: tells whether another phrase stands for a word of the user's that an answer lacks; None: this is not checked.
        meaning: from which cosine on it does.

    Refused are answers without a prompt, over-long or cut off, that speak to the user, or that lose what the user fixed: quoted
    text, numbers, counts, symbols, locked words, the writing system and, with an ``encoder``, what else the user says. After the
    last attempt the prompt is a `Failure`: the loop then has the user's own text alone, marked so. What the model cannot answer
    at all is not asked for again.

    Open-Sora's refiner also guesses a motion score; here that is left to the generator's settings.
    """

    origin: Origin = "refiner"

    def __init__(
        self,
        language_model: LanguageModel,
        style: str = "plain",
        max_words: int | None = None,
        max_new_tokens: int | None = None,
        temperature: float | None = None,
        seed: int = 0,
        attempts: int | None = None,
        encoder: TextEncoder | None = None,
        meaning: float = 0.7,
    ) -> None:
        base = STYLES.get(style, STYLES["plain"])
        self._language_model = language_model
        self._template = style_template(style)
        self._max_words = base.max_words if max_words is None else max_words
        self._max_new_tokens = base.max_new_tokens if max_new_tokens is None else max_new_tokens
        self._temperature = base.temperature if temperature is None else temperature
        self._attempts = base.attempts if attempts is None else attempts
        self._seed = seed
        self._encoder, self._meaning = encoder, meaning
        if not -1 <= meaning <= 1:
            raise ValueError(f"meaning is {meaning}; it must be a cosine, in [-1, 1]")
        if min(self._max_words, self._max_new_tokens, self._attempts) < 1:
            raise ValueError("max_words, max_new_tokens and attempts must be at least 1")
        if self._temperature < 0:
            raise ValueError(f"temperature is {self._temperature}; it cannot be negative")

    def to(self, device: torch.device | str) -> ChatRefiner:
        """Moves the chat model and the encoder, when they can be moved."""
        parts: tuple[object, ...] = (self._language_model, self._encoder)
        for part in parts:
            if isinstance(part, Placeable):
                part.to(device)
        return self

    def augment(self, prompts: Sequence[Prompt]) -> list[Candidate | Failure]:
        """One candidate a prompt, in one call of the chat model an attempt; its cost are the tokens of all its answers."""
        results: dict[int, Candidate | Failure] = {}
        conversations: dict[int, list[Message]] = {
            index: conversation(self._template, prompt, self._max_words) for index, prompt in enumerate(prompts)
        }
        tokens = dict.fromkeys(conversations, 0)
        for attempt in range(self._attempts):
            waiting = sorted(conversations.keys() - results.keys())
            answers = self._ask([conversations[index] for index in waiting], attempt)
            same = self._same([(prompts[i].text, clean(a.text)) for i, a in zip(waiting, answers) if isinstance(a, Reply)])
            for index, answer in zip(waiting, answers, strict=True):
                if isinstance(answer, Failure):
                    results[index] = answer
                    continue
                prompt, text = prompts[index], clean(answer.text)
                tokens[index] += answer.tokens
                if fault := self._fault(answer, text, prompt, same):
                    conversations[index] = [
                        *conversation(self._template, prompt, self._max_words),
                        *self._correction(answer, fault),
                    ]
                    if attempt == self._attempts - 1:
                        results[index] = Failure(error=f"no answer of {self._attempts} can be used, the last as {fault}")
                    continue
                results[index] = Candidate(
                    id=candidate_id(0, text),
                    prompt_id=prompt.id,
                    round=0,
                    text=text,
                    origin=self.origin,
                    cost=Cost(tokens=tokens[index]),
                )
        return [results[index] for index in range(len(prompts))]

    def _ask(self, conversations: Sequence[Sequence[Message]], attempt: int) -> list[Reply | Failure]:
        if not conversations:
            return []
        temperature = max(self._temperature, _RETRY_TEMPERATURE) if attempt else self._temperature
        answers = self._language_model.chat(
            conversations, max_new_tokens=self._max_new_tokens, temperature=temperature, seed=self._seed + attempt
        )
        if len(answers) != len(conversations):
            raise PartError(f"the language model gave {len(answers)} answers to {len(conversations)} conversations")
        return answers

    def _same(self, pairs: Sequence[tuple[str, str]]) -> Same | None:
        return None if self._encoder is None else same_meaning(pairs, self._encoder, self._meaning)

    def _fault(self, answer: Reply, text: str, prompt: Prompt, same: Same | None) -> str | None:
        """What is wrong with an answer, as words that can be told to the model; None when it may be used."""
        if fault := complaint(text, request=prompt.text, max_words=self._max_words):
            return fault
        if answer.tokens >= self._max_new_tokens:
            return f"it was cut off after {answer.tokens} tokens"
        if (found := _SPEAKS.search(text)) and found[0].lower() not in prompt.text.lower():
            return f"it says '{found[0]}', which is no part of a description"
        lost = losses(prompt.text, text, locked=prompt.context.get("locked", ()), same=same)
        return f"it {lost[0]}" if lost else None

    def _correction(self, answer: Reply, fault: str) -> list[Message]:
        """The two turns that follow an answer which cannot be used."""
        ask = f"This cannot be used: {fault}. Answer again with the description only, in at most {self._max_words} words."
        return [{"role": "assistant", "content": answer.text}, {"role": "user", "content": ask}]
