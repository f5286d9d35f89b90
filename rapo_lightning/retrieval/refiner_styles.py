"""How T2V models' own refiners are asked: their templates and limits, for use (`ChatRefiner`) and for training alike."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import final

from rapo_lightning.errors import ConfigError
from rapo_lightning.templates import Template
from rapo_lightning.types import Message, Prompt

__all__ = ["STYLES", "Style", "conversation", "style_template"]

#: How many of the allowed words are asked for at the least, where a template asks for that.
_LEAST = 0.8


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How a T2V model's own refiner works: its limits in words and tokens, its ``temperature``, its ``attempts`` an answer."""

    template: str
    max_words: int
    max_new_tokens: int = 512
    temperature: float = 0.0
    attempts: int = 2


#: Limits as published: Wan 80 to 100 words and 512 tokens, Open-Sora 250 tokens, temperature 0.01 and 3 attempts. The others are
#: ours: HunyuanVideo reads 256 tokens, of which its modes take a half and nearly all. All texts are our own wording.
STYLES = {
    "wan": Style(template="refine_wan", max_words=100),
    "hunyuan": Style(template="refine_hunyuan", max_words=80),
    "hunyuan_master": Style(template="refine_hunyuan_master", max_words=150),
    "open_sora_plan": Style(template="refine_open_sora_plan", max_words=120),
    "open_sora": Style(template="refine_open_sora", max_words=120, max_new_tokens=250, temperature=0.01, attempts=3),
    "plain": Style(template="refine", max_words=80),
}


def conversation(template: Template, prompt: Prompt, max_words: int) -> list[Message]:
    """What the model is asked about a prompt: its text, its locked words, and how long the answer may be."""
    locked = prompt.context.get("locked")
    values = {
        "request": " ".join(prompt.text.split()),
        "notes": f"\nWords to keep: {', '.join(locked)}" if locked else "",
        "words": str(max_words),
        "least": str(max(1, int(max_words * _LEAST))),
    }
    return [*template.messages(**{name: values[name] for name in template.placeholders})]


def style_template(style: str) -> Template:
    """The template of a style, or of a ``.md`` file. Errors: `ConfigError`."""
    try:
        template = Template.load(STYLES[style].template if style in STYLES else style)
    except ConfigError:
        if style.endswith(".md"):
            raise
        near = difflib.get_close_matches(style, STYLES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(STYLES)}; a file of your own ends in .md"
        raise ConfigError(f"no style is named {style!r}, {hint}") from None
    return template.required({"request"}, optional={"notes", "words", "least"})
