"""Takes a bare prompt out of a language model's answer, and says what is wrong with it. Pure functions, no weights.

The published release uses the answer as it comes; labels, quotes, lists and commentary then reach the video model.
"""

from __future__ import annotations

import re

from rapo_lightning.language.thinking import strip_thinking

__all__ = ["clean", "complaint", "count_words"]

#: How much longer than asked an answer may be before it is refused: models do not count well.
_SLACK = 1.25

_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_MARKER = re.compile(r"(?:[-*+•–>]|#{1,6}|\(?\d{1,2}[.)])\s+")
_POLITE = r"(?:sure(?:\ thing)?|certainly|of\ course|okay|ok|absolutely|great)\b[,.!]*"
_NAME = r"""(?:(?:the|my|your|an?|one|new|improved|revised|final|rewritten|refined|better|updated|optimi[sz]ed|enhanced|video
    |text-to-video|t2v)\s+)*(?:prompts?|captions?|rewrite|answer|output|response|result|sentence|description)(?:\s+\d{1,2})?
    |新?提示词"""
#: What stands before a prompt and ends in a colon: "Prompt:", "**New prompt 2:**", "Sure! Here is your video:".
_LABEL = re.compile(
    rf"(?:{_POLITE}\s*)?[*_]*(?:(?:here(?:['’]s|\ is|\ are)|this\ is)\b[^:：\n]{{0,80}}|{_NAME})[*_\s]*[:：][*_]*\s*",
    re.IGNORECASE | re.VERBOSE,
)
#: A line that holds no prompt though it has no colon: "Sure!", "## Improved prompt".
_HEADING = re.compile(rf"[\#*_\s]*(?:{_POLITE}|{_NAME})[*_\s]*", re.IGNORECASE | re.VERBOSE)
_COMMENT = re.compile(r"[*_(\[]*(?:note|explanation|reasoning|changes|rationale)\b[^:：\n]{0,40}[:：]", re.IGNORECASE)
_QUOTES = (
    *(("**", "**"), ("__", "__"), ("*", "*"), ("_", "_"), ("`", "`"), ('"', '"'), ("“", "”"), ("«", "»"), ("「", "」")),
    *(("『", "』"), ("'", "'"), ("‘", "’")),
)
_APOSTROPHE = re.compile(r"(?<=\w)['’](?=\w)")
_ABOUT_ITSELF = re.compile(r"\b(?:feedback|critiques?|score)\b", re.IGNORECASE)
#: Chinese and Japanese are written without blanks: each character counts as a word, their punctuation does not.
_LETTERS = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_LETTERS}]|[^\s{_LETTERS}\u3000-\u303f\uff01-\uff0f\uff1a-\uff20]+")


def clean(answer: str) -> str:
    """The prompt in ``answer``: its first paragraph on one line, without thoughts, labels, quotes, fences and list markers.

    Quotation marks and labels inside a prompt stay. The result is empty when the answer holds no prompt.
    """
    text = strip_thinking(answer)
    if (fenced := _FENCED.search(text)) and fenced[1].strip():
        text = fenced[1]
    return next(filter(None, map(_bare, _paragraphs(text.replace("```", "\n\n")))), "")


def complaint(text: str, *, request: str, max_words: int) -> str | None:
    """What is wrong with a cleaned answer, as words that can be told to the model; None when it may be used.

    Wrong are an empty text, one more than a quarter longer than ``max_words``, and one that speaks of feedback, critiques or
    a score where the user's ``request`` does not.
    """
    if not text:
        return "it holds no prompt"
    if (words := count_words(text)) > max_words * _SLACK:
        return f"it has {words} words, more than {max_words}"
    for mention in _ABOUT_ITSELF.finditer(text):
        word = mention[0].lower()
        if word not in request.lower():
            return f"it mentions the word '{word}'"
    return None


def count_words(text: str) -> int:
    """Words between blanks; in Chinese and Japanese writing, characters."""
    return len(_WORD.findall(text))


def _paragraphs(text: str) -> list[str]:
    """Paragraphs, each on one line. A blank line, a list marker and a heading end one; a closing comment ends the last."""
    paragraphs = [""]
    for line in (line.strip() for line in text.splitlines()):
        if _COMMENT.match(line) and any(map(_bare, paragraphs)):
            break
        last = paragraphs[-1]
        if not line or _MARKER.match(line) or _LABEL.fullmatch(last) or _HEADING.fullmatch(last):
            paragraphs.append("")
        paragraphs[-1] = f"{paragraphs[-1]} {line}".strip()
    return paragraphs


def _bare(paragraph: str) -> str:
    """Peels list markers, labels and quotation marks off, however they are nested; empty when nothing else was there."""
    text, peeled = "", " ".join(paragraph.split())
    while peeled != text:
        text = peeled
        for prefix in (_MARKER, _LABEL):
            if found := prefix.match(peeled):
                peeled = peeled[found.end() :]
        peeled = _unquoted(peeled)
    return "" if _HEADING.fullmatch(text) else text


def _unquoted(text: str) -> str:
    """``text`` without quotation marks that enclose all of it, or that open at its start and never close."""
    for opening, closing in _QUOTES:
        if not text.startswith(opening):
            continue
        whole = text[:-1] if text.endswith((f"{closing}.", f"{closing},")) else text
        inner = whole.removeprefix(opening)
        enclosed = inner.endswith(closing)
        inner = inner.removesuffix(closing)
        others = _APOSTROPHE.sub("", inner)
        if opening not in others and closing not in others and (enclosed or opening not in "'‘"):
            return inner.strip()
    return text
