"""Prompt texts: Markdown files with placeholders, checked when they are loaded and filled in one pass.

A template is plain text, or parts that each open with a heading ``## system``, ``## user`` or ``## assistant``; text above the
first such heading is a note to the reader and is not sent. ``{name}`` is a placeholder, ``{{`` and ``}}`` are single braces.
Braces inside the values are never looked at, so a prompt or a model's answer cannot expand into anything.
"""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import final

from rapo_lightning.errors import ConfigError

__all__ = ["Template"]

FOLDER = Path(__file__).parent
_HEADING = re.compile(r"^##[ \t]+(system|user|assistant)[ \t]*$", re.MULTILINE | re.IGNORECASE)
_BRACES = re.compile(r"\{\{|\}\}|\{([a-z][a-z0-9_]*)\}|[{}]")


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A prompt text: its ``name``, its ``parts`` as (role, text) and the ``hash`` of its file (12 hex digits of SHA-256)."""

    name: str
    parts: tuple[tuple[str, str], ...]
    hash: str

    @classmethod
    def load(cls, name_or_path: str) -> Template:
        """A template of the suite by name (``rewrite``), or a user's own ``.md`` file. Errors: `ConfigError`."""
        is_file = name_or_path.endswith(".md")
        path = Path(name_or_path) if is_file else FOLDER / f"{name_or_path}.md"
        known = sorted(file.stem for file in FOLDER.glob("*.md"))
        if not is_file and name_or_path not in known:
            near = difflib.get_close_matches(name_or_path, known, n=1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"there are {', '.join(known) or 'none'}; a file of your own ends in .md"
            )
            raise ConfigError(f"no template is named {name_or_path!r}, {hint}")
        try:
            return cls.parse(path.read_text(encoding="utf-8-sig"), name=name_or_path)
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror or error}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{path}: not UTF-8 at byte {error.start}") from error

    @classmethod
    def parse(cls, text: str, *, name: str) -> Template:
        """A template from its text. A stray brace, an empty part or a last part that is not the user's: `ConfigError`."""
        text = text.replace("\r\n", "\n")
        for match in _BRACES.finditer(text, _first_part(text)):
            if match[0] in {"{", "}"}:
                line = text.count("\n", 0, match.start()) + 1
                raise ConfigError(
                    f"{name}:{line}: {match[0]!r} opens or closes no {{placeholder}}; write {match[0] * 2!r} for a brace"
                )
        parts = _split(text)
        if not all(content for _, content in parts):
            raise ConfigError(f"{name}: a part of the template is empty")
        if parts[-1][0] != "user" or "system" in [role for role, _ in parts[1:]]:
            raise ConfigError(f"{name}: a template has at most one system part, first, and ends with a user part")
        return cls(name=name, parts=parts, hash=hashlib.sha256(text.encode()).hexdigest()[:12])

    @property
    def placeholders(self) -> frozenset[str]:
        """The names that `messages` must be given."""
        return frozenset(match[1] for _, text in self.parts for match in _BRACES.finditer(text) if match[1])

    def required(self, names: Collection[str], optional: Collection[str] = ()) -> Template:
        """This template, once it is known to hold every one of ``names`` and nothing beyond them and ``optional``."""
        if missing := sorted(set(names) - self.placeholders):
            raise ConfigError(f"template {self.name!r} lacks {_braced(missing)}")
        if unknown := sorted(self.placeholders - {*names, *optional}):
            raise ConfigError(
                f"template {self.name!r} has {_braced(unknown)}, but only {_braced(sorted({*names, *optional}))} can be filled"
            )
        return self

    def messages(self, **values: str) -> list[dict[str, str]]:
        """The conversation ``[{"role": ..., "content": ...}]`` with every placeholder replaced by its value, verbatim.

        A value that is missing or has no placeholder raises `ConfigError`.
        """
        if values.keys() != self.placeholders:
            difference = sorted(values.keys() ^ self.placeholders)
            raise ConfigError(f"template {self.name!r}: {_braced(difference)} has no value, or a value without a placeholder")
        return [{"role": role, "content": _BRACES.sub(lambda match: _filled(match, values), text)} for role, text in self.parts]


def _filled(match: re.Match[str], values: dict[str, str]) -> str:
    return values[match[1]] if match[1] else match[0][0]


def _first_part(text: str) -> int:
    heading = _HEADING.search(text)
    return heading.end() if heading else 0


def _split(text: str) -> tuple[tuple[str, str], ...]:
    headings = list(_HEADING.finditer(text))
    if not headings:
        return (("user", text.strip()),)
    ends = [heading.start() for heading in headings[1:]] + [len(text)]
    return tuple((heading[1].lower(), text[heading.end() : end].strip()) for heading, end in zip(headings, ends))


def _braced(names: Collection[str]) -> str:
    return ", ".join(f"{{{name}}}" for name in names)
