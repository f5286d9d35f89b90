"""Reads what a chat endpoint answers: a reply, or in one line why there is none. It trusts nothing of it, and tells no key.

Pure functions of the standard library.
"""

from __future__ import annotations

import json
import math
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, final
from urllib.parse import urlsplit

from rapo_lightning.errors import ConfigError
from rapo_lightning.language.thinking import strip_thinking
from rapo_lightning.types import Failure, Reply

__all__ = ["Again", "Secret", "read_answer", "seconds_to_wait", "told", "whole", "wrong_address"]

#: A server's own words are cut here; in characters.
_LONGEST_SAYING = 300
#: So many characters of the key in a row are hidden; a shorter key is a placeholder such as "EMPTY".
_TELLING = 8
_KEY_LIKE = re.compile(r"(?i)\bbearer\s+\S+|\b(?:sk|hf|gsk|xai|key)[-_][\w*.-]{8,}")


@final
class Again(Exception):
    """An attempt failed in a way that another may not.

    Attributes:
        unreachable: no connection could be made.
        wait: the seconds that the server asks to wait, if it does.
    """

    def __init__(self, reason: str, unreachable: bool = False, *, wait: float | None = None) -> None:
        super().__init__(reason)
        self.unreachable = unreachable
        self.wait = wait


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A key that is never printed, empty when there is none."""

    key: str = field(repr=False)

    @classmethod
    def of(cls, variable: str) -> Secret:
        """The key in an environment variable. One that no HTTP header can carry: `ConfigError`."""
        key = os.environ.get(variable, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise ConfigError(f"{variable} holds characters that no key has")
        return cls(key=key)

    def hide(self, text: str) -> str:
        """``text`` on one line, cut; ``***`` stands for the key, any 8 characters of it in a row, and what looks like a key."""
        text, key, size = text[: 10 * _LONGEST_SAYING], self.key, _TELLING
        parts = {key[start : start + size] for start in range(len(key) - size + 1)}
        hidden = [any(text[i : i + size] in parts for i in range(max(0, at - size + 1), at + 1)) for at in range(len(text))]
        shown = "".join("\0" if hide else letter for letter, hide in zip(text, hidden))
        return " ".join(_KEY_LIKE.sub("***", re.sub("\0+", "***", shown)).split())[:_LONGEST_SAYING]


def read_answer(body: bytes, *, kind: str, secret: Secret) -> Reply | Failure:
    """The reply in the body of a 200, in the form of OpenAI's chat completions.

    Args:
        body: what the server sent.
        kind: its content type, for the message; what the body holds decides.
        secret: the key, to be hidden.

    Raises:
        Again: the body is not JSON, e.g. cut off or a gateway's page, or holds the error of a busy or broken server.
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise Again(secret.hide(f"the answer is not JSON but {len(body)} bytes of {kind}")) from None
    if not isinstance(answer, dict):
        return Failure(error=f"the answer is {_kind(answer)}, not an object")
    if error := answer.get("error"):
        code = error.get("code") if isinstance(error, dict) else None
        says = f"an error in the answer{told(error, secret)}"
        if str(code) == "429" or re.fullmatch(r"5\d\d", str(code)):
            raise Again(says)
        return Failure(error=says)
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        what = "the answer's first choice has no message" if choices else "the answer has no choices"
        return Failure(error=f"{what}{told(answer, secret)}")
    return _read_choice(choice, message, tokens=_count(answer.get("usage")), secret=secret)


def _read_choice(choice: Mapping[str, Any], message: Mapping[str, Any], *, tokens: int, secret: Secret) -> Reply | Failure:
    reason, text = choice.get("finish_reason"), message.get("content")
    if refusal := message.get("refusal"):
        return Failure(error=f"the model refused: {secret.hide(str(refusal))}")
    if reason in ("content_filter", "error"):
        return Failure(error=f"the answer was stopped (finish_reason {reason})")
    if text is None and reason == "length":
        text = ""
    if not isinstance(text, str):
        return Failure(error=f"the answer's text is {_kind(text)} (finish_reason {secret.hide(str(reason))})")
    text = whole(strip_thinking(text)).strip()
    if len(secret.key) >= _TELLING:
        text = text.replace(secret.key, "***")
    if not text and reason == "length":
        return Failure(error="the tokens were spent before an answer began (finish_reason length)")
    return Reply(text=text, tokens=tokens)


def told(error: object, secret: Secret) -> str:
    """What a server says of an error, as ``: message`` without the key; empty when it says nothing, or a page of HTML."""
    if isinstance(error, Mapping):
        error = next((error[name] for name in ("message", "detail", "error") if isinstance(error.get(name), str)), "")
    if not isinstance(error, str) or error.lstrip().startswith("<"):
        return ""
    says = secret.hide(error)
    return f": {says}" if says else ""


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What ``Retry-After`` asks for, in seconds or as a date; None without one that can be read."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def whole(text: str) -> str:
    """``text`` with ``?`` for halves of surrogate pairs, which cannot be written as UTF-8."""
    return text.encode(errors="replace").decode()


def wrong_address(url: str) -> str | None:
    """What is wrong with an address; the address itself may hold a password and is not told."""
    try:
        parts = urlsplit(url)
        right = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or True)
    except ValueError:
        right = False
    if not right:
        return "is no address such as http://127.0.0.1:8000/v1"
    if parts.username or parts.password or parts.query or parts.fragment:
        return "has a user, a password, a query or a fragment; a key belongs into the environment"
    return None


def _count(usage: object) -> int:
    tokens = usage.get("completion_tokens") if isinstance(usage, dict) else None
    return tokens if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0 else 0


def _kind(value: object) -> str:
    return {type(None): "null", bool: "a boolean", list: "a list", dict: "an object", str: "text"}.get(type(value), "a number")
