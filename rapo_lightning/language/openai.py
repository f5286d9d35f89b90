"""Chat models behind an OpenAI-compatible address: vLLM, SGLang, LM Studio, llama.cpp, Ollama, or a provider.

OpenAIChat("Qwen/Qwen2.5-7B-Instruct", base_url="http://127.0.0.1:8000/v1")

Needs ``pip install "rapo-lightning[endpoint]"``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, final

from rapo_lightning.errors import ConfigError
from rapo_lightning.language.endpoint import Again, Secret, read_answer, seconds_to_wait, told, whole, wrong_address
from rapo_lightning.types import Failure, Message, Reply

if TYPE_CHECKING:
    import openai

__all__ = ["OpenAIChat"]

#: No wait between two attempts is longer, whatever the server asks for; in seconds.
LONGEST_WAIT = 30.0
#: A body beyond this is no chat model's answer; in bytes.
LARGEST_BODY = 16_000_000

_HOME = "https://api.openai.com/v1"
_log = logging.getLogger(__name__)
T = TypeVar("T")


@final
class OpenAIChat:
    """A `LanguageModel` that asks an OpenAI-compatible chat endpoint, several conversations at a time.

    Args:
        model: the name that the server knows the model, or a LoRA adapter that it serves, by.
        base_url: the address above ``/chat/completions``, mostly ending in ``/v1``. None: ``OPENAI_BASE_URL``, else OpenAI's own.
        api_key_env: the environment variable with the key; the key itself is never an argument. Local servers need none.
        concurrency: the most conversations asked at once.
        timeout: seconds that one attempt may take in all, however slowly its answer drips.
        attempts: how often a conversation is asked when the server is busy (429), broken (5xx), silent, or hangs up. Waits
            between them grow from half a second, or follow ``Retry-After``, and are never longer than 30 s.
        max_tokens_field: what the server calls the limit; OpenAI's reasoning models want ``max_completion_tokens``.
        leave_out: of ``temperature`` and ``seed`` what the server refuses.
        extra_body: more fields of the request, e.g. ``{chat_template_kwargs: {enable_thinking: false}}`` for vLLM.

    Answers come in the order of the conversations. One that cannot be had is a `Failure` that says why in a line: a refusal, a
    request that the server rejects, an answer of another form, attempts used up. Thoughts (``<think>``) never appear in a
    reply; its tokens are the server's count, 0 where it does not count. Greedy and sampled answers are as repeatable as the
    server makes them. Nothing is fetched before the first call; redirects are not followed.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key_env: str = "OPENAI_API_KEY",
        concurrency: int = 16,
        timeout: float = 120.0,
        attempts: int = 4,
        max_tokens_field: Literal["max_tokens", "max_completion_tokens"] = "max_tokens",
        leave_out: Sequence[Literal["temperature", "seed"]] = (),
        extra_body: Mapping[str, Any] | None = None,
    ) -> None:
        if not model.strip():
            raise ValueError("model is empty")
        if concurrency < 1 or attempts < 1:
            raise ValueError("concurrency and attempts must be at least 1")
        if not timeout > 0:
            raise ValueError(f"timeout is {timeout}; it must be more than 0 seconds")
        if unknown := sorted({*leave_out} - {"temperature", "seed"}):
            raise ValueError(f"leave_out is of temperature and seed, not {', '.join(unknown)}")
        if taken := sorted({"model", "messages", "stream", "n", "temperature", "seed", max_tokens_field} & set(extra_body or ())):
            raise ValueError(f"extra_body cannot set {', '.join(taken)}")
        if base_url is not None and (problem := wrong_address(base_url)):
            raise ValueError(f"base_url {problem}")
        self._model = model
        self._base_url = base_url
        self._api_key_env = api_key_env
        self._concurrency = concurrency
        self._timeout = timeout
        self._attempts = attempts
        self._max_tokens_field = max_tokens_field
        self._leave_out = frozenset(leave_out)
        self._extra_body = dict(extra_body or {})
        self._reached = False

    def chat(
        self,
        conversations: Sequence[Sequence[Message]],
        *,
        max_new_tokens: int = 512,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> list[Reply | Failure]:
        """Answer each conversation.

        Raises:
            ConfigError: what concerns every conversation: nothing listens at the address, it redirects or knows no such model,
                the key is missing or refused, no credit is left, or the extra ``endpoint`` is not installed.
        """
        if not conversations:
            return []
        settings: dict[str, Any] = {"temperature": temperature, "seed": seed}
        settings = {name: value for name, value in settings.items() if name not in self._leave_out}
        return _run(self._all(conversations, settings | {self._max_tokens_field: max_new_tokens}))

    async def _all(self, conversations: Sequence[Sequence[Message]], settings: dict[str, Any]) -> list[Reply | Failure]:
        try:
            import httpx2
            import openai
            import stamina  # noqa: F401  # here, so that its lack is told before anything is asked
        except ImportError as error:
            raise ConfigError(f'OpenAIChat needs {error.name}: pip install "rapo-lightning[endpoint]"') from None
        logging.getLogger("stamina").addHandler(logging.NullHandler())  # else its bare event names reach the terminal
        url, secret = self._address(), Secret.of(self._api_key_env)
        if not secret.key and url == _HOME:
            raise ConfigError(f"endpoint {url}: no key in {self._api_key_env}; for a server of your own give base_url")
        limits = httpx2.Timeout(self._timeout, connect=min(10.0, self._timeout))
        client = openai.AsyncOpenAI(
            api_key=secret.key or "none",
            base_url=url,
            timeout=limits,
            max_retries=0,  # they are stamina's part
            http_client=openai.DefaultAsyncHttpxClient(follow_redirects=False, timeout=limits),
        )
        call = _Call(client=client, url=url, secret=secret, settings=settings)
        answers: dict[int, Reply | Failure] = {}
        pending = iter(enumerate(conversations))

        async def work() -> None:
            for index, conversation in pending:
                answers[index] = await self._one(call, conversation)

        try:
            async with client, asyncio.TaskGroup() as group:
                for _ in range(min(self._concurrency, len(conversations))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:  # the other tasks have been cancelled
            raise errors.exceptions[0] from None
        if call.repeated:
            _log.warning("endpoint %s: %d requests had to be repeated, the last as %s", url, call.repeated, call.reason)
        return [answers[index] for index in range(len(conversations))]

    async def _one(self, call: _Call, conversation: Sequence[Message]) -> Reply | Failure:
        import stamina

        def wait(error: Exception) -> bool | float:
            if not isinstance(error, Again):
                return False
            call.reason = str(error)
            return error.wait is None or min(error.wait, LONGEST_WAIT)

        number = 0
        try:
            async for attempt in stamina.retry_context(
                on=wait, attempts=self._attempts, timeout=None, wait_initial=0.5, wait_max=LONGEST_WAIT
            ):
                number = attempt.num
                call.repeated += number > 1
                with attempt:
                    return await self._attempt(call, conversation)
        except Again as error:
            if error.unreachable and not self._reached:
                raise ConfigError(f"endpoint {call.url}: {error}") from None
            return Failure(error=f"{error} ({number} attempts)")
        raise AssertionError("an attempt returns or raises")

    async def _attempt(self, call: _Call, conversation: Sequence[Message]) -> Reply | Failure:
        """One request. `Again` when another may succeed; its text and that of a `Failure` hold no key."""
        import httpx2
        import openai

        messages: Any = [{field: whole(text) for field, text in message.items()} for message in conversation]
        body = {**call.settings, **self._extra_body}
        content = bytearray()
        try:
            async with (
                asyncio.timeout(self._timeout),
                call.client.chat.completions.with_streaming_response.create(
                    model=self._model, messages=messages, extra_body=body
                ) as response,
            ):
                self._reached = True
                kind = response.headers.get("content-type", "no content type")
                async for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > LARGEST_BODY:
                        return Failure(error=f"the answer is larger than {LARGEST_BODY // 1_000_000} MB")
        except (TimeoutError, openai.APITimeoutError, httpx2.TimeoutException) as error:
            unreachable = isinstance(error.__cause__, httpx2.ConnectTimeout)
            raise Again("no connection" if unreachable else f"no answer within {self._timeout:g} s", unreachable) from None
        except openai.APIStatusError as error:
            self._reached = True
            return self._refused(error, call)
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            cause = error.__cause__ or error
            unreachable = isinstance(cause, httpx2.ConnectError)
            what = "nothing answers there" if unreachable else "the connection broke"
            raise Again(call.secret.hide(f"{what}: {cause or type(cause).__name__}"), unreachable) from None
        return read_answer(bytes(content), kind=kind, secret=call.secret)

    def _refused(self, error: openai.APIStatusError, call: _Call) -> Failure:
        """What an HTTP status other than 200 means: a `Failure`, raised `Again`, or `ConfigError` for all conversations."""
        status = error.status_code
        where, says = f"endpoint {call.url}:", f"HTTP {status}{told(error.body, call.secret)}"
        if status == 401 and not call.secret.key:
            raise ConfigError(f"{where} it asks for a key, and {self._api_key_env} holds none ({says})") from None
        if status == 401:
            raise ConfigError(f"{where} it refuses the key in {self._api_key_env} (HTTP 401)") from None
        if status == 402 or error.code == "insufficient_quota":
            raise ConfigError(f"{where} no credit is left ({says})") from None
        if status == 404:
            raise ConfigError(
                f"{where} no model {self._model!r}, or no chat endpoint ({says}); most addresses end in /v1"
            ) from None
        if 300 <= status < 400:
            raise ConfigError(f"{where} it redirects (HTTP {status}); give the address that it leads to") from None
        if status == 429 or status >= 500:
            raise Again(says, wait=seconds_to_wait(error.response.headers)) from None
        return Failure(error=says)

    def _address(self) -> str:
        url = self._base_url or os.environ.get("OPENAI_BASE_URL", "").strip() or _HOME
        if problem := wrong_address(url):
            raise ConfigError(f"OPENAI_BASE_URL {problem}")
        return url.rstrip("/")


@dataclass(slots=True, kw_only=True)
class _Call:
    """What the conversations of one call share, and how often a request had to be repeated, the last time for what ``reason``."""

    client: openai.AsyncOpenAI
    url: str
    secret: Secret
    settings: Mapping[str, Any]
    repeated: int = 0
    reason: str = ""


def _run(main: Coroutine[Any, Any, T]) -> T:
    """The coroutine's result; in a notebook, whose loop is running already, by a thread of its own."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main)
    with ThreadPoolExecutor(1) as aside:
        return aside.submit(asyncio.run, main).result()
