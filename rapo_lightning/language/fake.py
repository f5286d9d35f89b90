"""A chat model without weights, for tests and for trying out other parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import final

from rapo_lightning.types import Failure, Message, Reply

__all__ = ["FakeLanguageModel"]


@final
class FakeLanguageModel:
    """Answers by rule, whatever the temperature and seed; by default it repeats the conversation's last message.

    Args:
        answers: a mapping answers with the value of its first key that the last message contains, and fails when there is
            none; a function answers from the whole conversation.
    """

    def __init__(self, answers: Mapping[str, str] | Callable[[Sequence[Message]], str] | None = None) -> None:
        self.answers = answers

    def chat(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Reply | Failure]:
        """One answer a conversation, cut to ``max_new_tokens`` words; its tokens are its words."""
        return [self._one(conversation, max_new_tokens) for conversation in conversations]

    def _one(self, conversation: Sequence[Message], max_new_tokens: int) -> Reply | Failure:
        last = conversation[-1]["content"]
        if self.answers is None:
            text = last
        elif isinstance(self.answers, Mapping):
            known = next((key for key in self.answers if key in last), None)
            if known is None:
                return Failure(error="the fake language model has no answer to this")
            text = self.answers[known]
        else:
            text = self.answers(conversation)
        words = len(text.split())
        if words > max_new_tokens:
            text, words = " ".join(text.split()[:max_new_tokens]), max_new_tokens
        return Reply(text=text, tokens=words)
