"""Asks a chat model for each trajectory's next text, checks the answer, and asks once more when it cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

from rapo_lightning.errors import PartError
from rapo_lightning.language.answers import clean, complaint
from rapo_lightning.protocols import LanguageModel, Placeable
from rapo_lightning.rewriters.memory import conversation
from rapo_lightning.templates import Template
from rapo_lightning.types import Failure, Message, Reply, Trajectory

if TYPE_CHECKING:
    import torch

__all__ = ["LLMRewriter"]

#: A greedy model would give the same bad answer again.
_RETRY_TEMPERATURE = 0.7


@final
class LLMRewriter:
    """A `Rewriter` that shows a chat model the user's prompt and everything tried for it (RAPO++ section 4.1, Table 4).

    Args:
        language_model: the chat model.
        template: a name (``rewrite``, ``rewrite_physics``) or a file with the placeholders ``{request}`` and ``{tries}`` and,
            if wanted, ``{notes}`` (physical rule, locked words) and ``{words}``.
        max_words: how long a text may be, as told to the model; one more than a quarter longer is refused.
        temperature: of the first answer; a second one is asked for at 0.7 or this, whichever is higher.
        max_new_tokens: the most tokens of an answer.
        seed: of the sampling.
        memory_words: above this many words the oldest tries are told by their scores alone; None tells all in full.
    """

    def __init__(
        self,
        language_model: LanguageModel,
        template: str = "rewrite",
        max_words: int = 120,
        temperature: float = 0.0,
        max_new_tokens: int = 512,
        seed: int = 0,
        memory_words: int | None = 2000,
    ) -> None:
        if max_words < 1 or max_new_tokens < 1:
            raise ValueError("max_words and max_new_tokens must be at least 1")
        if temperature < 0:
            raise ValueError(f"temperature is {temperature}; it cannot be negative")
        self._language_model = language_model
        self._template = Template.load(template).required({"request", "tries"}, optional={"notes", "words"})
        self._max_words = max_words
        self._temperature = temperature
        self._max_new_tokens = max_new_tokens
        self._seed = seed
        self._memory_words = memory_words

    def to(self, device: torch.device | str) -> LLMRewriter:
        """Moves the chat model, when it is one that can be moved."""
        if isinstance(self._language_model, Placeable):
            self._language_model.to(device)
        return self

    def rewrite(self, trajectories: Sequence[Trajectory]) -> list[Reply | Failure]:
        """One new text a trajectory, in at most two calls of the chat model; a reply's tokens are those of all its answers.

        A `Failure` says that the chat model failed, or what was wrong with its second answer.
        """
        conversations = [
            conversation(trajectory, self._template, max_words=self._max_words, memory_words=self._memory_words)
            for trajectory in trajectories
        ]
        requests = [trajectory.prompt.text for trajectory in trajectories]
        answers = self._ask(conversations, self._temperature)
        results, faults = self._check(answers, requests)
        if not faults:
            return results

        corrections = [
            [*conversations[index], *_correction(answers[index], fault, self._max_words)] for index, fault in faults.items()
        ]
        seconds = self._ask(corrections, max(self._temperature, _RETRY_TEMPERATURE))
        results_2, faults_2 = self._check(seconds, [requests[index] for index in faults])
        for position, (index, result) in enumerate(zip(faults, results_2, strict=True)):
            if position in faults_2:
                result = Failure(error=f"the second answer cannot be used either: {faults_2[position]}")
            elif isinstance(result, Reply):
                result = Reply(text=result.text, tokens=result.tokens + _tokens(results[index]))
            results[index] = result
        return results

    def _ask(self, conversations: Sequence[Sequence[Message]], temperature: float) -> list[Reply | Failure]:
        answers = self._language_model.chat(
            conversations, max_new_tokens=self._max_new_tokens, temperature=temperature, seed=self._seed
        )
        if len(answers) != len(conversations):
            raise PartError(f"the language model gave {len(answers)} answers to {len(conversations)} conversations")
        return answers

    def _check(self, answers: Sequence[Reply | Failure], requests: Sequence[str]) -> tuple[list[Reply | Failure], dict[int, str]]:
        """The answers cleaned, and what is wrong with each that cannot be used, by its index."""
        results: list[Reply | Failure] = []
        faults: dict[int, str] = {}
        for index, (answer, request) in enumerate(zip(answers, requests, strict=True)):
            if isinstance(answer, Reply):
                answer = Reply(text=clean(answer.text), tokens=answer.tokens)
                if fault := complaint(answer.text, request=request, max_words=self._max_words):
                    faults[index] = fault
            results.append(answer)
        return results, faults


def _correction(answer: Reply | Failure, fault: str, max_words: int) -> list[Message]:
    """The two turns that follow an answer which cannot be used."""
    said = answer.text if isinstance(answer, Reply) else ""
    ask = f"This cannot be used: {fault}. Answer again with the prompt only, in at most {max_words} words."
    return [{"role": "assistant", "content": said}, {"role": "user", "content": ask}]


def _tokens(reply: Reply | Failure) -> int:
    return reply.tokens if isinstance(reply, Reply) else 0
