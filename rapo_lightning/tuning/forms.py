"""How pairs become lessons: a conversation, put exactly as at use, and the answer that is to be learned.

    teacher(RefactorForm(task="refactor", style="..."), "sft")(pair)

See `rapo_lightning.sections_train` for the three forms. By DPO a pair is one unit of two lessons, the better answer's and the
worse one's; otherwise each lesson is a unit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.retrieval.refiner_styles import STYLES, conversation, style_template
from rapo_lightning.sections_train import RefactorForm, RefineForm, SelectForm
from rapo_lightning.templates import Template
from rapo_lightning.types import Message, Prompt, PromptPair

__all__ = ["Lesson", "Teacher", "teacher"]

#: A conversation and its answer.
Lesson = tuple[Sequence[Message], str]
#: Makes the units of one pair.
Teacher = Callable[[PromptPair], list[tuple[Lesson, ...]]]


def teacher(form: RefineForm | RefactorForm | SelectForm, objective: Literal["sft", "dpo"]) -> Teacher:
    """What makes units of lessons of pairs; ``select`` and ``dpo`` need a rejected text and raise `InputError` without.

    Raises:
        ConfigError: no such style or template; a graph's folder without a style; selection is not taught by DPO.
    """
    if isinstance(form, SelectForm):
        if objective == "dpo":
            raise ConfigError("objective: selection is taught by sft: its answer is A or B")
        return _select()
    asked = _refine(form) if isinstance(form, RefineForm) else _refactor(form)
    if objective == "sft":
        return lambda pair: [((asked(pair), pair.completion),)]
    return lambda pair: [((asked(pair), pair.completion), (asked(pair), _rejected(pair)))]


def _rejected(pair: PromptPair) -> str:
    if pair.rejected is None:
        raise InputError(f"the pair of {pair.prompt[:80]!r} has no rejected text and teaches no preference")
    return pair.rejected


def _refine(form: RefineForm) -> Callable[[PromptPair], Sequence[Message]]:
    template = style_template(form.style)
    words = form.max_words or STYLES.get(form.style, STYLES["plain"]).max_words
    return lambda pair: conversation(template, Prompt.of(pair.prompt), words)


def _refactor(form: RefactorForm) -> Callable[[PromptPair], Sequence[Message]]:
    template = Template.load("refactor").required({"style", "sentence"})
    style = form.style
    if style is None:
        from rapo_lightning.retrieval.store import load_style

        profile = load_style(Path(str(form.graph)))
        if profile is None:
            raise ConfigError(f"form.graph: {form.graph}: no captions' style lies there; give form.style")
        style = profile.describe()
    return lambda pair: template.messages(style=style, sentence=pair.prompt)


def _select() -> Teacher:
    template = Template.load("select").required({"request", "a", "b"})

    def lessons(pair: PromptPair) -> list[tuple[Lesson, ...]]:
        better, worse = pair.completion, _rejected(pair)
        return [
            ((template.messages(request=pair.prompt, a=better, b=worse), "A"),),
            ((template.messages(request=pair.prompt, a=worse, b=better), "B"),),
        ]

    return lessons
