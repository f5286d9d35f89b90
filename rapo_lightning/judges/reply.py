"""Reads a judge's reply: the JSON object in it, its score and its lists of short phrases. Pure, standard library only.

The rule throughout: what cannot be read with certainty is not read. A reply without a clear score is *unscored*, never given
a default, and a reply that holds two different scores (a draft and a final word, or words read off the screen) is unscored too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rapo_lightning.language.thinking import strip_thinking

__all__ = ["Parsed", "parse_alignment", "read_phrases", "read_reply", "read_score", "strip_markers"]

#: Only a reply's end is read: the verdict comes last, and a runaway reply must not cost time.
MAX_CHARACTERS = 8000
MAX_PHRASES = 12
MAX_PHRASE_CHARACTERS = 160

_MARKER = re.compile(r"<\|[^<>|\n]{0,60}\|>|</?request>", re.IGNORECASE)
_NOTHING = {"", "-", "n/a", "na", "nil", "none", "nothing", "null", "no", "false", "true", "not applicable"}
_STRAIGHT = str.maketrans("“”„‟‘’‚‛", "\"\"\"\"''''")
_NUMBER = r"([+-]?[0-9]{1,6}(?:\.[0-9]{1,9})?)"
_FRACTION = re.compile(rf"{_NUMBER}\s*(?:/|(?:out )?of)\s*{_NUMBER}(?:[^\w.][^0-9]*)?", re.IGNORECASE)
_PERCENT = re.compile(rf"{_NUMBER}\s*%")
_PLAIN = re.compile(rf"{_NUMBER}(?:[^\w.%/–-][^0-9/%]*)?\.?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.|\'(?=\w))*)\'')
_VALUE = re.compile(
    r"""\[(?P<list>(?:"(?:[^"\\]|\\.)*"|[^\]"])*)\]?
      | "(?P<double>(?:[^"\\]|\\.)*)"
      | '(?P<single>(?:[^'\\\n]|\\.)*)'
      | (?P<bare>(?:,(?=[0-9])|(?!//)[^,}\]\n"'\[])*)""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parsed:
    """A reply of the alignment judge: ``score`` in [0, 1] (None: unscored) and what the video lacks, gets wrong and adds."""

    score: float | None
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    @property
    def critique(self) -> str:
        """The lists as one line for the rewriter, e.g. ``missing: a, b; wrong: c``."""
        groups = (("missing", self.missing), ("wrong", self.wrong), ("extra", self.extra))
        text = "; ".join(f"{name}: {', '.join(phrases)}" for name, phrases in groups if phrases)
        return text or "nothing is missing or wrong"


def parse_alignment(text: str, scale: tuple[float, float] = (1, 5)) -> Parsed:
    """Read ``{"score": ..., "missing": [...], "wrong": [...], "extra": [...]}`` out of ``text``; never raises.

    ``scale`` is the lowest and the highest score that was asked for; they become 0 and 1.
    """
    score, fields = read_reply(text, ("missing", "wrong", "extra"), scale)
    missing, wrong, extra = (read_phrases(fields.get(name)) for name in ("missing", "wrong", "extra"))
    return Parsed(score=score, missing=missing, wrong=wrong, extra=extra)


def read_reply(text: str, names: Sequence[str], scale: tuple[float, float]) -> tuple[float | None, dict[str, object]]:
    """The score, in [0, 1], and the values of ``names`` (lower case) in the JSON object that ``text`` holds.

    The object may stand anywhere: after thoughts, in a code fence, amid prose, inside another object. Where no valid object
    has a score, the fields are read one by one from the first brace on, which copes with single quotes, bare words, trailing
    commas, comments and a reply that was cut off. Without a brace there is nothing to read.
    """
    text = strip_thinking(text[-4 * MAX_CHARACTERS :])[-MAX_CHARACTERS:]
    objects = [fields for fields in _json_objects(text) if "score" in fields]
    if objects:
        scores = {read_score(fields["score"], scale): fields for fields in objects}
    else:
        loose = text[brace:].translate(_STRAIGHT) if (brace := text.find("{")) >= 0 else ""
        fields: dict[str, object] = {name: next(_loose_values(loose, name), None) for name in names}
        scores = {read_score(value, scale): fields for value in _loose_values(loose, "score")} or {None: fields}
    readable = [score for score in scores if score is not None]
    score = readable[0] if len(readable) == 1 else None
    return score, scores.get(score, {})


def read_score(value: object, scale: tuple[float, float]) -> float | None:
    """``value`` on ``scale`` as a number in [0, 1], or None.

    Read are numbers on the scale, ``"4"``, ``"4 (good)"``, ``"4/5"`` and ``"4 out of 5"`` (of the highest score only), and
    percentages (``"80%"``). A fraction strictly between 0 and 1, where the scale starts above it, is taken as it is.
    Not read: other scales (``"8/10"``), ranges (``"3-4"``), words, booleans, lists.
    """
    low, high = scale
    if isinstance(value, str):
        text = value.strip()
        if match := _PERCENT.fullmatch(text):
            share = float(match[1]) / 100
            return share if 0 <= share <= 1 else None
        if match := _FRACTION.fullmatch(text):
            return read_score(float(match[1]), scale) if float(match[2]) == high and float(match[1]) >= low else None
        match = _PLAIN.fullmatch(text)
        return read_score(float(match[1]), scale) if match else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if low <= value <= high:
        return (value - low) / (high - low)
    return float(value) if 0 < value < 1 <= low else None


def read_phrases(value: object) -> tuple[str, ...]:
    """A list of short phrases: tidied, without repeats, empty and "none" entries, and bounded in number and length."""
    phrases: dict[str, str] = {}
    for item in _strings(value):
        phrase = " ".join(strip_markers(item).split()).strip(" .,;:*-")[:MAX_PHRASE_CHARACTERS].rstrip()
        if phrase.lower() not in _NOTHING:
            phrases.setdefault(phrase.lower(), phrase)
    return tuple(phrases.values())[:MAX_PHRASES]


def strip_markers(text: str) -> str:
    """``text`` without reserved chat markers (``<|...|>``) and the delimiters of the judges' templates, nested ones included."""
    while (stripped := _MARKER.sub("", text)) != text:
        text = stripped
    return text


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            if isinstance(item, dict):
                item = next((part for part in item.values() if isinstance(part, str)), None)
            if isinstance(item, str):
                yield item


def _json_objects(text: str) -> list[dict[str, object]]:
    """Every valid object of ``text``, outermost first, with keys in lower case; those inside a scored object are part of it."""
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_lower_keys)
    objects: list[dict[str, object]] = []
    start = text.find("{")
    while start >= 0:
        end = start + 1
        try:
            fields, after = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            pass
        else:
            objects.append(fields)
            end = after if "score" in fields else end
        start = text.find("{", end)
    return objects


def _lower_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields: dict[str, object] = {}
    for key, value in pairs:
        key = key.strip().lower()
        fields[key] = None if key == "score" and fields.get(key, value) != value else value
    return fields


def _loose_values(text: str, name: str) -> Iterator[object]:
    """What stands after each ``name`` and colon: the strings of a list, or one string."""
    for key in re.finditer(rf"""(?<![\w"'\\])["']?\b{name}\b["']?\s*[:=]\s*""", text, re.IGNORECASE):
        if not (value := _VALUE.match(text, key.end())):
            continue
        if (inside := value["list"]) is not None:
            quoted = [double or single for double, single in _QUOTED.findall(inside)]
            yield quoted or [item for item in inside.split(",") if not re.search("[\"']", item)]
        else:
            yield next(part for part in (value["double"], value["single"], value["bare"]) if part is not None).strip()
