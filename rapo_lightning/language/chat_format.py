"""A model's chat format: conversations to tokens and answers back to text, through its tokenizer and chat template."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, final

from rapo_lightning.errors import WeightsError
from rapo_lightning.language.piecewise import piecewise
from rapo_lightning.types import Failure, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ChatFormat"]


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class ChatFormat:
    """A tokenizer with its chat template; ``markers`` are the control tokens, which no message may contain."""

    tokenizer: PreTrainedTokenizerBase
    enable_thinking: bool
    markers: tuple[str, ...]

    @classmethod
    def of(
        cls, tokenizer: PreTrainedTokenizerBase, chat_template: str | None = None, *, enable_thinking: bool = False, name: str
    ) -> ChatFormat:
        """The format of ``tokenizer``, with ``chat_template`` in place of its own when one is given.

        ``name`` is the model's, for the `WeightsError` raised when there is no chat template at all.
        """
        if chat_template is not None:
            tokenizer.chat_template = chat_template
        if not tokenizer.chat_template:
            raise WeightsError(f"{name}: the tokenizer has no chat template (a base model?); use an instruct model or give one")
        special = {token.content for token in tokenizer.added_tokens_decoder.values() if token.special}
        markers = special.union(tokenizer.all_special_tokens)
        return cls(tokenizer=tokenizer, enable_thinking=enable_thinking, markers=tuple(sorted(filter(None, markers))))

    def encode(self, conversation: Sequence[Message]) -> list[int] | Failure:
        """The tokens of a conversation, up to where the answer begins; a `Failure` when the template refuses it.

        The template writes the control tokens (a start token among them, where the model has one), so nothing is added to them.
        Where a template knows no system role, the system message opens the first message of the user.
        """
        text = self._render(conversation)
        return text if isinstance(text, Failure) else self._tokens(text)

    def encode_lesson(self, conversation: Sequence[Message], answer: str) -> tuple[list[int], list[int]] | Failure:
        """The tokens of a conversation, as `encode` gives them, and those of ``answer`` with the token that ends it.

        The answer is written as the template writes one, e.g. with a blank before it, and nothing is left of what the template
        puts after its end.
        """
        written = self._write(conversation, answer, self._render(conversation))
        return written if isinstance(written, Failure) else self._apart(*written, list(map(self._tokens, written)))

    def encode_lessons(self, lessons: Sequence[tuple[Sequence[Message], str]]) -> list[tuple[list[int], list[int]] | Failure]:
        """What `encode_lesson` gives for each, in a fraction of the time: what they share is rendered and tokenised once."""
        starts: dict[str, str | Failure] = {}
        written = []
        for conversation, answer in lessons:
            asked = json.dumps(conversation)
            if asked not in starts:
                starts[asked] = self._render(conversation)
            written.append(self._write(conversation, answer, starts[asked]))
        texts = [text for one in written if not isinstance(one, Failure) for text in one]
        tokens = iter(piecewise(self.tokenizer, texts))
        return [one if isinstance(one, Failure) else self._apart(*one, [next(tokens), next(tokens)]) for one in written]

    def _write(self, conversation: Sequence[Message], answer: str, start: str | Failure) -> tuple[str, str] | Failure:
        """A lesson's texts: up to where the answer begins, which is given, and up to the answer's end."""
        if isinstance(start, Failure):
            return start
        said = self._harmless(answer).strip()
        if not said:
            return Failure(error="nothing is left of the answer without its control tokens")
        whole = self._render([*conversation, {"role": "assistant", "content": said}], answered=True)
        if isinstance(whole, Failure):
            return whole
        tail = whole[len(start) :] if whole.startswith(start) else self._after_the_question(conversation, start, whole)
        before, found, after = tail.partition(said)
        if not found:
            return Failure(error="the chat template does not write the answer as it is")
        ends = [(after.index(marker) + len(marker)) for marker in self.markers if marker in after]
        return start, start + before + said + (after[: min(ends)] if ends else str(self.tokenizer.eos_token or ""))

    def _apart(self, start: str, whole: str, tokens: Sequence[list[int]]) -> tuple[list[int], list[int]]:
        """The tokens of a lesson's two texts as those of the conversation and of the answer."""
        head, joined = tokens
        # What follows is cut into tokens as at use, where the conversation's own are given.
        return head, joined[len(head) :] if joined[: len(head)] == head else self._tokens(whole[len(start) :])

    def _after_the_question(self, conversation: Sequence[Message], start: str, whole: str) -> str:
        """What ``whole`` has after its last question and what follows there in ``start``, too.

        A template may open an answer otherwise than it writes it afterwards (Qwen3 puts an empty thought before it), or write the
        messages before otherwise once there is an answer (Mistral's moves the system message).
        """
        question = self._harmless(conversation[-1]["content"]).strip()
        asked = start.count(question)  # an answer may repeat the question
        opening, rest = start.rpartition(question)[2], whole.split(question, asked)[-1] if question else whole
        return rest[sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(opening, rest))) :]

    def decode(self, tokens: list[int]) -> str:
        """The text of an answer, without control tokens and otherwise as it was written."""
        text = self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        assert isinstance(text, str)
        return text

    def _render(self, conversation: Sequence[Message], *, answered: bool = False) -> str | Failure:
        """The conversation as the template writes it; ``answered``: it ends with the answer, else where that begins."""
        from jinja2 import TemplateError

        messages = [{"role": message["role"], "content": self._harmless(message["content"])} for message in conversation]
        try:
            return self._apply(messages, answered)
        except TemplateError as error:
            if len(messages) < 2 or messages[0]["role"] != "system":
                return Failure(error=f"the chat template refuses the conversation: {error}")
        first = {"role": messages[1]["role"], "content": f"{messages[0]['content']}\n\n{messages[1]['content']}"}
        try:
            return self._apply([first, *messages[2:]], answered)
        except TemplateError as error:
            return Failure(error=f"the chat template refuses the conversation: {error}")

    def _apply(self, messages: list[dict[str, str]], answered: bool) -> str:
        text = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=not answered, tokenize=False, enable_thinking=self.enable_thinking
        )
        return str(text)

    def _tokens(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _harmless(self, text: str) -> str:
        """``text`` without control tokens: a caption or a critique must not be able to end its own message."""
        before = None
        while before != text:
            before = text
            for marker in self.markers:
                text = text.replace(marker, "")
        return text
