"""What ``rapo rewrite`` prints: a prompt, what Stage 1 did with it, and what changed, word by word."""

from __future__ import annotations

from rapo_lightning.report_diff import word_changes
from rapo_lightning.rewriting import Rewrite
from rapo_lightning.terminal import one_line

__all__ = ["rewrite_text"]

_COLOURS = {"same": "", "added": "\x1b[32m", "removed": "\x1b[31;9m"}
_MARKS = {"same": ("", ""), "added": ("{+", "+}"), "removed": ("[-", "-]")}


def rewrite_text(one: Rewrite, *, colour: bool = False, steps: bool = False) -> str:
    """A prompt and its rewrite in a few lines; ``colour`` marks changes by colour, else as ``[-old-]{+new+}``."""
    lines = [one_line(one.prompt.text)]
    if steps and one.explained is not None:
        lines += _steps(one)
    if one.kept is not None:
        return "\n".join([*lines, f"  {'failed' if one.failed else 'kept'}: {one_line(one.kept)}"])
    lines.append(f"  -> {one_line(one.text)}")
    lines.append(f"  {_difference(one_line(one.prompt.text), one_line(one.text), colour)}")
    return "\n".join(lines)


def _steps(one: Rewrite) -> list[str]:
    told = one.explained
    assert told is not None
    found = [f"{item.similarity:.2f} {item.modifier.kind} {one_line(item.modifier.text)!r}" for item in told.retrieved]
    lines = [f"  retrieved   {', '.join(found) or 'nothing above the threshold'}"]
    for step in told.merged.steps:
        what = f"undone: {one_line(step.undone)}" if step.undone else one_line(step.after)
        lines.append(f"  merged      {one_line(step.modifier.text)!r}: {what}")
    for name, text in (("refactored", told.refactored), ("naive", told.naive)):
        if text is not None:
            lines.append(f"  {name:<12}{one_line(text.text)}{f'  (undone: {one_line(text.undone)})' if text.undone else ''}")
    if told.selected is not None:
        lines.append(f"  selected    {told.branch}: {one_line(told.selected.reason)}")
    return lines


def _difference(old: str, new: str, colour: bool) -> str:
    parts = []
    for kind, text in word_changes(old, new):
        space = text[len(text.rstrip()) :]
        if colour and kind != "same":
            parts.append(f"{_COLOURS[kind]}{text.rstrip()}\x1b[0m{space}")
        else:
            opening, closing = _MARKS[kind]
            parts.append(f"{opening}{text.rstrip()}{closing}{space}")
    return "".join(parts)
