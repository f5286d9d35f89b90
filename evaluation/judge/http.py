"""One request to a chat endpoint, again where another attempt may help; what the server says is told without the key."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from evaluation.errors import ClipError, EvaluationError

__all__ = ["Endpoint"]

#: No wait between attempts is longer, whatever the server asks for; in seconds.
LONGEST_WAIT = 30.0
#: A body beyond this is no chat model's answer; in bytes.
LARGEST_BODY = 16_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a chat model listens.

    Attributes:
        url: the address above ``/chat/completions``.
        api_key_env: the environment variable with the key, read at every request and kept nowhere.
        timeout: seconds for an attempt's every step (connecting, sending, each piece of the answer).
        attempts: how often a request is made when the server is busy (429), broken (5xx), silent, hangs up or sends no JSON.
        first_wait: seconds before the second attempt, doubled each time; ``Retry-After`` goes before it.
    """

    url: str
    api_key_env: str
    timeout: float
    attempts: int
    first_wait: float

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.query or parts.fragment:
            raise ValueError("base_url must be http(s)://host[:port]/path, with no name, password, query or fragment")
        if self.attempts < 1 or not self.timeout > 0 or not self.first_wait >= 0:
            raise ValueError("attempts and timeout must be positive, first_wait at least 0")

    def post(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer's JSON object.

        Raises:
            ClipError: ``bad_reply``: this request has no answer: it is refused, or attempts are used up.
            EvaluationError: no request will have one: nothing listens, the key is refused, there is no such model.
        """
        http = _client_library()
        key = os.environ.get(self.api_key_env, "").strip()
        if not (key.isascii() and key.isprintable()):
            raise EvaluationError(f"{self.api_key_env} holds characters that no key has")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        reason, unreachable = "", False
        with http.Client(timeout=self.timeout, follow_redirects=False) as client:
            for attempt in range(self.attempts):
                asked_for = None
                try:
                    unreachable = False
                    response = client.post(f"{self.url.rstrip('/')}/chat/completions", json=dict(body), headers=headers)
                    self._refuse(response, key)
                    if response.status_code == 200:
                        return _object(response.content)
                    reason = f"HTTP {response.status_code}{_told(response, key)}"
                    asked_for = response.headers.get("Retry-After")
                except http.TimeoutException:
                    reason = f"no answer within {self.timeout:g} s"
                except http.TransportError as error:
                    reason, unreachable = type(error).__name__, isinstance(error, http.ConnectError)
                except ValueError as error:
                    reason = _hidden(str(error), key)
                if attempt + 1 < self.attempts:
                    time.sleep(self._wait(attempt, asked_for))
        message = f"endpoint {self.url}: {reason}, after {self.attempts} attempts"
        if unreachable:
            raise EvaluationError(f"{message}; does a server listen there?")
        raise ClipError("bad_reply", message)

    def _refuse(self, response: Any, key: str) -> None:
        """Raise for what another attempt will not mend."""
        code = response.status_code
        says = f"endpoint {self.url}: HTTP {code}{_told(response, key)}"
        if code in (401, 403):
            raise EvaluationError(f"{says}; the key is read from {self.api_key_env}, which is {'set' if key else 'not set'}")
        if code == 404 or 300 <= code < 400:
            raise EvaluationError(f"{says}; no such model or address")
        if 400 <= code < 500 and code not in (408, 409, 425, 429):
            raise ClipError("bad_reply", says)

    def _wait(self, attempt: int, asked_for: str | None) -> float:
        try:
            wait = float(asked_for) if asked_for is not None else self.first_wait * 2**attempt
        except ValueError:
            wait = self.first_wait * 2**attempt
        return min(LONGEST_WAIT, max(0.0, wait)) if wait == wait else self.first_wait


def _client_library() -> Any:
    """httpx by either of its names; huggingface_hub, on which transformers stands, brings one of them."""
    from importlib import import_module

    for name in ("httpx2", "httpx"):
        try:
            return import_module(name)
        except ImportError:
            continue
    raise EvaluationError("an endpoint as judge needs httpx: pip install httpx")


def _object(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a body; ValueError for anything else."""
    if len(body) > LARGEST_BODY:
        raise ValueError(f"the answer has {len(body)} bytes")
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        raise ValueError(f"the answer is {len(body)} bytes that are no JSON") from None
    if not isinstance(answer, dict):
        raise ValueError("the answer is no JSON object")
    return answer


def _told(response: Any, key: str) -> str:
    """What the server says of an error, as ``: message``."""
    try:
        error = _object(response.content).get("error")
    except ValueError:
        return ""
    message = error.get("message") if isinstance(error, dict) else error
    return f": {_hidden(message, key)}" if isinstance(message, str) and message.strip() else ""


def _hidden(text: str, key: str) -> str:
    """Text on one line, cut, without the key or eight of its characters in a row."""
    text, size = text[:5000], min(8, len(key))
    parts = {key[start : start + size] for start in range(len(key) - size + 1)} if key else set()
    hidden = [any(text[i : i + size] in parts for i in range(max(0, at - size + 1), at + 1)) for at in range(len(text))]
    shown = re.sub("\0+", "***", "".join("\0" if hide else letter for letter, hide in zip(text, hidden)))
    return " ".join(shown.split())[:300]
