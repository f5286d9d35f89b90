"""The rewriting steps of Stage 1, for a batch of prompts at once: merging details one by one, restyling, the naive rewrite.

Each step asks a language model once and then looks whether the user's sentence survived (`retrieval.guard`). A step that lost
something, or failed, is undone: it leaves the text as it was, and a reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapo_lightning.errors import PartError
from rapo_lightning.keeping import holds
from rapo_lightning.language.answers import clean, complaint, count_words
from rapo_lightning.protocols import LanguageModel, TextEncoder
from rapo_lightning.retrieval.guard import Same, alternatives, losses, open_words, worked_in
from rapo_lightning.retrieval.phrases import key
from rapo_lightning.templates import Template
from rapo_lightning.types import Failure, Message, Modifier, Prompt, Reply, Retrieved

__all__ = ["Asking", "Merge", "Merged", "Restyled", "check_restyled", "merge", "naive_rewrite", "refactor", "same_meaning"]

#: How many words a merge may add (the spec's limit on Table 1's template).
_ADDED = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """A language model and how it is asked: greedily, at most ``max_new_tokens`` tokens an answer."""

    model: LanguageModel
    max_new_tokens: int
    seed: int

    def __call__(self, conversations: Sequence[Sequence[Message]]) -> list[Reply | Failure]:
        """One answer a conversation, with the bare text of each; no call when there are none."""
        if not conversations:
            return []
        answers = self.model.chat(conversations, max_new_tokens=self.max_new_tokens, seed=self.seed)
        if len(answers) != len(conversations):
            raise PartError(f"the language model gave {len(answers)} answers to {len(conversations)} conversations")
        return [Reply(text=clean(a.text), tokens=a.tokens) if isinstance(a, Reply) else a for a in answers]


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """One merge: the modifier, the text before, what the model made of it (empty: no answer), and why that was undone."""

    modifier: Modifier
    before: str
    answer: str
    undone: str | None = None

    @property
    def after(self) -> str:
        """The text that the next merge begins from."""
        return self.answer if self.undone is None else self.before


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """A prompt with its modifiers merged: ``text``, the ``steps`` that led to it, and their tokens."""

    text: str
    steps: tuple[Merge, ...] = ()
    tokens: int = 0

    @property
    def modifiers(self) -> tuple[Modifier, ...]:
        """Those that are in the text."""
        return tuple(step.modifier for step in self.steps if step.undone is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Restyled:
    """A refactored or naively rewritten text, the tokens it cost, and why it is not used (None: it may be)."""

    text: str
    tokens: int = 0
    undone: str | None = None


def merge(prompts: Sequence[Prompt], found: Sequence[Sequence[Retrieved]], template: Template, ask: Asking) -> list[Merged]:
    """Merge each prompt's modifiers into its text, byte for byte as it stands, in descending similarity (RAPO++ Eq. 1).

    One modifier a call; the m-th calls of all prompts are one batch. Not asked for is a modifier that the text says already, and
    one that is an alternative of another of its kind that was merged, so that no two paces of one movement are said.
    """
    queues = [sorted(one, key=lambda item: -item.similarity) for one in found]
    texts = [prompt.text for prompt in prompts]
    steps: list[list[Merge]] = [[] for _ in prompts]
    tokens = [0] * len(prompts)
    for step in range(max(map(len, queues), default=0)):
        active = [row for row, queue in enumerate(queues) if step < len(queue)]
        modifiers = {row: queues[row][step].modifier for row in active}
        for row in [*active]:
            if (needless := _needless(modifiers[row], texts[row], prompts[row], steps[row])) is not None:
                active.remove(row)
                steps[row].append(Merge(modifier=modifiers[row], before=texts[row], answer="", undone=needless))
        answers = ask([template.messages(body=texts[row], modifier=modifiers[row].text) for row in active])
        for row, answer in zip(active, answers, strict=True):
            before = texts[row]
            undone = _merge_fault(answer, before, modifiers[row], prompts[row])
            text = answer.text if isinstance(answer, Reply) else ""
            tokens[row] += answer.tokens if isinstance(answer, Reply) else 0
            steps[row].append(Merge(modifier=modifiers[row], before=before, answer=text, undone=undone))
            texts[row] = steps[row][-1].after
    return [Merged(text=text, steps=tuple(done), tokens=cost) for text, done, cost in zip(texts, steps, tokens, strict=True)]


def refactor(texts: Sequence[str], style: str, template: Template, ask: Asking) -> list[Restyled]:
    """Say each text in the captions' style (RAPO++ Table 2); not checked yet."""
    return [_restyled(answer) for answer in ask([template.messages(style=style, sentence=text) for text in texts])]


def naive_rewrite(texts: Sequence[str], style: str, words: int, template: Template, ask: Asking) -> list[Restyled]:
    """A plain caption of each text in about ``words`` words, without any modifier; not checked yet."""
    conversations = [template.messages(style=style, request=text, words=str(words)) for text in texts]
    return [_restyled(answer) for answer in ask(conversations)]


def check_restyled(
    prompts: Sequence[Prompt], texts: Sequence[Restyled], *, max_words: int, encoder: TextEncoder, meaning: float | None
) -> list[Restyled]:
    """The texts with the reason why each may not be used for its prompt.

    Args:
        prompts: what the user asked for.
        texts: what was made of it, one a prompt.
        max_words: longer ones are not used, unless the user's own text is as long.
        encoder: tells whether two phrases mean the same: all phrases of the batch in one call.
        meaning: from which cosine on they do; None leaves this check out.
    """
    same = None
    if meaning is not None:
        pairs = [(prompt.text, one.text) for prompt, one in zip(prompts, texts, strict=True) if one.undone is None]
        same = same_meaning(pairs, encoder, meaning)
    return [_checked(prompt, one, max_words, same) for prompt, one in zip(prompts, texts, strict=True)]


def _needless(modifier: Modifier, text: str, prompt: Prompt, done: Sequence[Merge]) -> str | None:
    """Why a modifier is not asked for; None when it is."""
    if holds(text, modifier.text):
        return "the text says it already"
    merged = (step.modifier for step in done if step.undone is None and step.modifier.kind == modifier.kind)
    rival = next((one.text for one in merged if alternatives(modifier.text, one.text, prompt.text)), None)
    return None if rival is None else f"{rival!r} is merged, which it repeats or contradicts"


def _merge_fault(answer: Reply | Failure, before: str, modifier: Modifier, prompt: Prompt) -> str | None:
    if isinstance(answer, Failure):
        return answer.error
    text, longest = answer.text, count_words(before) + _ADDED
    if text and key(text) == key(before):
        return "it added nothing"
    if fault := _form_fault(text, prompt, longest):
        return fault
    if lost := losses(before, text, locked=prompt.context.get("locked", ()), mode="strict"):
        return "; ".join(lost)
    return None if worked_in(modifier.text, before, text) else "it left the detail out"


def _restyled(answer: Reply | Failure) -> Restyled:
    if isinstance(answer, Failure):
        return Restyled(text="", undone=answer.error)
    return Restyled(text=answer.text, tokens=answer.tokens)


def _checked(prompt: Prompt, one: Restyled, max_words: int, same: Same | None) -> Restyled:
    undone = one.undone or _form_fault(one.text, prompt, max(max_words, count_words(prompt.text)))
    if undone is None and key(one.text) == key(prompt.text):
        undone = "it repeats the user's own words"
    if undone is None:
        undone = "; ".join(losses(prompt.text, one.text, locked=prompt.context.get("locked", ()), same=same)) or None
    return Restyled(text=one.text, tokens=one.tokens, undone=undone)


def _form_fault(text: str, prompt: Prompt, longest: int) -> str | None:
    if (words := count_words(text)) > longest:
        return f"it has {words} words, more than {longest}"
    return complaint(text, request=prompt.text, max_words=longest)


def same_meaning(pairs: Sequence[tuple[str, str]], encoder: TextEncoder, meaning: float) -> Same:
    """Compares by cosine what `losses` will ask about these (request, text) pairs."""
    asked = [open_words(request, text) for request, text in pairs]
    phrases = sorted({phrase for one in asked for word, spans in one.items() for phrase in (word, *spans)})
    if not phrases:
        return lambda a, b: False
    rows_ND = encoder.encode(phrases).cpu().numpy()
    place = {phrase: row for row, phrase in enumerate(phrases)}
    return lambda a, b: float(rows_ND[place[a]] @ rows_ND[place[b]]) >= meaning
