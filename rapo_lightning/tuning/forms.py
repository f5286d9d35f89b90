"""How pairs become lessons: a conversation, put exactly as at use, and the answer that is to be learned.

    lessons(RefactorForm(task="refactor", style="..."), pair)

See `rapo_lightning.sections_train` for the three forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rapo_lightning.errors import ConfigError, InputError
from rapo_lightning.retrieval.refiner_styles import STYLES, conversation, style_template
from rapo_lightning.sections_train import RefactorForm, RefineForm, SelectForm
from rapo_lightning.templates import Template
from rapo_lightning.types import Message, Prompt, PromptPair

__all__ = ["Lesson", "Teacher", "teacher"]

#: A conversation and its answer.
Lesson = tuple[Sequence[Message], str]
#: Makes the lessons of one pair.
Teacher = Callable[[PromptPair], list[Lesson]]


def teacher(form: RefineForm | RefactorForm | SelectForm) -> Teacher:
    """What makes lessons of pairs. The teacher of ``select`` raises `InputError` at a pair without a rejected text.

    Raises:
        ConfigError: no such style or template; a graph's folder without a style.
    """
    if isinstance(form, RefineForm):
        return _refine(form)
    return _refactor(form) if isinstance(form, RefactorForm) else _select()


def _refine(form: RefineForm) -> Teacher:
    template = style_template(form.style)
    words = form.max_words or STYLES.get(form.style, STYLES["plain"]).max_words
    return lambda pair: [(conversation(template, Prompt.of(pair.prompt), words), pair.completion)]


def _refactor(form: RefactorForm) -> Teacher:
    template = Template.load("refactor").required({"style", "sentence"})
    style = form.style
    if style is None:
        from rapo_lightning.retrieval.store import load_style

        profile = load_style(Path(str(form.graph)))
        if profile is None:
            raise ConfigError(f"form.graph: {form.graph}: no captions' style lies there; give form.style")
        style = profile.describe()
    return lambda pair: [(template.messages(style=style, sentence=pair.prompt), pair.completion)]


def _select() -> Teacher:
    template = Template.load("select").required({"request", "a", "b"})

    def lessons(pair: PromptPair) -> list[Lesson]:
        if pair.rejected is None:
            raise InputError("a pair without a rejected text teaches no selection")
        better, worse = pair.completion, pair.rejected
        return [
            (template.messages(request=pair.prompt, a=better, b=worse), "A"),
            (template.messages(request=pair.prompt, a=worse, b=better), "B"),
        ]

    return lessons
