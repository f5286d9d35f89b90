"""A judge behind an OpenAI-compatible address: vLLM, SGLang, or a provider. Frames are sent as pictures.

OpenAIJudge("Qwen/Qwen2.5-VL-72B-Instruct", base_url="http://127.0.0.1:8000/v1", frames=8, max_side=448)
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, final

from evaluation.errors import ClipError
from evaluation.judge.base import Answer, Ask
from evaluation.judge.frames import FramePolicy, View
from evaluation.judge.http import Endpoint

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["OpenAIJudge"]

HOME = "https://api.openai.com/v1"


@final
class OpenAIJudge:
    """A `BatchJudge` that asks a chat endpoint, several questions at a time, at temperature 0.

    Args:
        model: the name that the server knows it by.
        base_url: the address above ``/chat/completions``; None: ``OPENAI_BASE_URL``, else OpenAI's own.
        revision: of the model, if you know it: the server does not tell, and results of other weights would look alike.
        frames, at, layout, columns, max_side: its `FramePolicy`, where a metric does not say otherwise.
        api_key_env: the environment variable with the key. The key is never an argument, and never shown or stored.
        image: "jpeg" (quality 95) or "png", of frames; the former loses a little.
        top_logprobs: likeliest first tokens that are asked for; 20 is OpenAI's limit. A candidate that is not among them has
            no probability: a `yes_no` then needs both words there, a `likert` all digits.
        concurrency: questions asked at once, all of one video.
        timeout, attempts, first_wait: see `Endpoint`.
        max_tokens_field: what the server calls the limit.
        leave_out: of ``temperature`` and ``seed`` what the server refuses.
        extra_body: more fields, e.g. ``{"chat_template_kwargs": {"enable_thinking": False}}``.

    A question with a ``prefix`` ends with the assistant's own words and asks the server to go on with them, as vLLM and SGLang
    do (``continue_final_message``); a server that cannot refuses it. Answers are as repeatable as the server makes them.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        revision: str | None = None,
        frames: int = 16,
        at: Literal["ends", "linspace", "middle"] = "ends",
        layout: Literal["sequence", "grid"] = "sequence",
        columns: int = 0,
        max_side: int | None = None,
        api_key_env: str = "OPENAI_API_KEY",
        image: Literal["jpeg", "png"] = "jpeg",
        top_logprobs: int = 20,
        concurrency: int = 8,
        timeout: float = 120.0,
        attempts: int = 4,
        first_wait: float = 0.5,
        max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        leave_out: Sequence[Literal["temperature", "seed"]] = (),
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if not model.strip() or concurrency < 1 or top_logprobs < 0 or image not in ("jpeg", "png"):
            raise ValueError("model must be named, concurrency at least 1, top_logprobs at least 0, image jpeg or png")
        if taken := sorted({"model", "messages", "temperature", "seed", "logprobs", "stream", "n"} & set(extra_body or ())):
            raise ValueError(f"extra_body cannot set {', '.join(taken)}")
        self._model, self._revision = model, revision
        self._endpoint = Endpoint(
            url=base_url or os.environ.get("OPENAI_BASE_URL") or HOME,
            api_key_env=api_key_env,
            timeout=timeout,
            attempts=attempts,
            first_wait=first_wait,
        )
        self._policy = FramePolicy(n=frames, at=at, layout=layout, columns=columns, max_side=max_side)
        self._image, self._top, self._concurrency = image, top_logprobs, concurrency
        self._fixed = {name: 0 for name in ("temperature", "seed") if name not in leave_out} | dict(extra_body or {})
        self._max_tokens_field = max_tokens_field

    @property
    def policy(self) -> FramePolicy:
        """Its own frame policy."""
        return self._policy

    @property
    def id(self) -> str:
        """Model, revision if known, address, the way of the pictures and its frame policy."""
        return f"{self._model}@{self._revision or 'unknown'}|{self._endpoint.url}|{self._image}|{self._policy.id}{self._more}"

    @property
    def _more(self) -> str:
        """What is sent otherwise than usual."""
        told = json.dumps(self._fixed, sort_keys=True, default=str)
        return "" if self._fixed == {"temperature": 0, "seed": 0} else f"|{hashlib.sha256(told.encode()).hexdigest()[:8]}"

    @property
    def provenance(self) -> Mapping[str, str | None]:
        """For a result; a server's weights have no hash."""
        return {"backbone": f"{self._model}|{self._image}{self._more}", "revision": self._revision, "sha256": None}

    def generate(self, video: View | None, text: str, **more: Any) -> str:
        """The reply.

        Raises:
            ClipError, EvaluationError: as `Endpoint.post`.
        """
        return self.answer([Ask(video=video, text=text, **more)])[0].text

    def token_logprobs(self, video: View | None, text: str, candidates: Sequence[str], **more: Any) -> dict[str, float]:
        """Log probability of those candidates that are among the likeliest first tokens.

        Raises:
            ClipError, EvaluationError: as `Endpoint.post`.
        """
        item = Ask(video=video, text=text, candidates=tuple(candidates), reply=False, **more)
        return self.answer([item])[0].logprobs

    def answer(self, asks: Sequence[Ask]) -> list[Answer]:
        """Answers in order, each from one request; the first error is raised.

        Raises:
            ClipError, EvaluationError: as `Endpoint.post`.
        """
        pictures: dict[int, list[str]] = {}
        for item in asks:
            if item.video is not None and id(item.video) not in pictures:
                pictures[id(item.video)] = [self._url(frame) for frame in item.video.frames_THWC]
        with ThreadPoolExecutor(min(self._concurrency, max(1, len(asks)))) as pool:
            return list(pool.map(lambda item: self._one(item, pictures.get(id(item.video), [])), asks))

    def _one(self, item: Ask, pictures: Sequence[str]) -> Answer:
        content: Any = item.text
        if pictures:
            frames = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
            content = [*frames, {"type": "text", "text": item.text}]
        messages = [{"role": "system", "content": item.system}] if item.system else []
        messages.append({"role": "user", "content": content})
        body: dict[str, Any] = {"model": self._model, "messages": messages, **self._fixed}
        body[self._max_tokens_field] = item.max_new_tokens if item.reply else 1
        if item.prefix:
            messages.append({"role": "assistant", "content": item.prefix})
            body |= {"continue_final_message": True, "add_generation_prompt": False}
        if item.candidates:
            body |= {"logprobs": True, "top_logprobs": self._top}
        return read_answer(self._endpoint.post(body), item)

    def _url(self, frame_HWC: NDArray[np.uint8]) -> str:
        from PIL import Image

        buffer = io.BytesIO()
        more: dict[str, Any] = {"quality": 95, "subsampling": 0} if self._image == "jpeg" else {}
        Image.fromarray(frame_HWC).save(buffer, self._image.upper(), **more)
        return f"data:image/{self._image};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def read_answer(answer: Mapping[str, Any], item: Ask) -> Answer:
    """Reply and probabilities in an object of OpenAI's chat completions.

    Raises:
        ClipError: ``bad_reply``: it has no text, or the model refused.
    """
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        raise ClipError("bad_reply", "the endpoint's answer has no message")
    if message.get("refusal") or choice.get("finish_reason") == "content_filter":
        raise ClipError("bad_reply", "the endpoint's model refused to answer")
    text = message.get("content")
    if item.reply and not isinstance(text, str):
        raise ClipError("bad_reply", "the endpoint's answer has no text")
    reply = text.strip() if item.reply and isinstance(text, str) else ""
    return Answer(text=reply, logprobs=_first_token(choice, item.candidates))


def _first_token(choice: Mapping[str, Any], candidates: Sequence[str]) -> dict[str, float]:
    given = choice.get("logprobs")
    content = given.get("content") if isinstance(given, dict) else None
    first = content[0] if isinstance(content, list) and content else None
    top = first.get("top_logprobs") if isinstance(first, dict) else None
    known = {
        entry["token"]: float(entry["logprob"])
        for entry in (top if isinstance(top, list) else [])
        if isinstance(entry, dict) and isinstance(entry.get("token"), str) and isinstance(entry.get("logprob"), int | float)
    }
    return {candidate: known[candidate] for candidate in candidates if candidate in known}
