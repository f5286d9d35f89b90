"""The chat endpoint against a server that has every fault: each conversation ends in a reply or a failure, and no key is told."""

from __future__ import annotations

import asyncio
import builtins
import logging
import random
import socket
import time
import traceback
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest

from rapo_lightning.errors import ConfigError
from rapo_lightning.language import OpenAIChat
from rapo_lightning.language.openai import LARGEST_BODY, LONGEST_WAIT
from rapo_lightning.protocols import LanguageModel, Placeable
from rapo_lightning.types import Failure, Message, Reply
from tests import contracts
from tests.language.fault_server import FAULTS, FaultServer, completion, fault_server, fault_word

KEY = "sk-sentinel-5f1c9a7e2b4d"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that would have been slept between attempts."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("stamina._core._smart_sleep", sleep)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    return slept


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with fault_server() as one:
        yield one


def ask(*texts: str) -> list[list[Message]]:
    return [[{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}] for text in texts]


def one(server: FaultServer, plan: Any, **arguments: Any) -> Reply | Failure:
    """The answer to one conversation when the server does always the same."""
    server.plan = lambda request, attempt: plan
    [answer] = OpenAIChat("m", server.url, **arguments).chat(ask("a ball"))
    return answer


def test_it_keeps_its_contract(server: FaultServer) -> None:
    model = OpenAIChat("m", server.url, concurrency=3)
    assert isinstance(model, LanguageModel)
    assert not isinstance(model, Placeable)
    contracts.check_language_model(model, ask("a red ball", "two cats", "rain", "a very long road", "snow"), max_new_tokens=4)


def test_the_request_says_what_was_asked(server: FaultServer) -> None:
    OpenAIChat("org/model", server.url + "/").chat(ask("a ball"), max_new_tokens=7, temperature=0.3, seed=9)
    assert server.requests == [
        {
            "model": "org/model",
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "a ball"}],
            "temperature": 0.3,
            "seed": 9,
            "max_tokens": 7,
        }
    ]
    assert server.keys == [f"Bearer {KEY}"]


def test_servers_that_differ_are_asked_in_their_way(server: FaultServer) -> None:
    server.plan = lambda request, attempt: (200, completion("A ball."))
    extra = {"chat_template_kwargs": {"enable_thinking": False}}
    model = OpenAIChat("m", server.url, max_tokens_field="max_completion_tokens", leave_out=["seed"], extra_body=extra)
    model.chat(ask("a"), max_new_tokens=3)
    [request] = server.requests
    assert {name: value for name, value in request.items() if name != "messages"} == {
        "model": "m",
        "temperature": 0.0,
        "max_completion_tokens": 3,
        **extra,
    }


def test_answers_in_order_with_bounded_concurrency(server: FaultServer) -> None:
    """The first is the slowest; never more than five are on their way, and five really are."""
    texts = [f"prompt {n}" for n in range(40)]

    def plan(request: dict[str, Any], attempt: int) -> Any:
        text = request["messages"][-1]["content"]
        time.sleep(0.3 if text == "prompt 0" else 0.02)
        return 200, completion(text.upper())

    server.plan = plan
    answers = OpenAIChat("m", server.url, concurrency=5).chat(ask(*texts))
    assert answers == [Reply(text=text.upper(), tokens=5) for text in texts]
    assert server.most_active == 5


def test_a_mix_of_faults_ends_in_replies_and_failures(server: FaultServer, waits: list[float]) -> None:
    rng = random.Random(0)
    scripts: dict[str, list[str]] = {}
    for n in range(200):
        faults = [rng.choice(FAULTS) for _ in range(rng.choice([0, 0, 1, 1, 2, 3, 4, 6]))]
        if n % 8:  # those that the client has to wait for come in an eighth of the scripts, for the test's sake
            faults = ["500" if fault in {"stall", "drip"} else fault for fault in faults]
        scripts[f"prompt {n}"] = faults
    assert {fault for script in scripts.values() for fault in script} == set(FAULTS)

    def plan(request: dict[str, Any], attempt: int) -> Any:
        script = scripts[request["messages"][-1]["content"]]
        return script[attempt - 1] if attempt <= len(script) else (200, completion(fault_word(request)))

    server.plan = plan
    answers = OpenAIChat("m", server.url, timeout=1.0, concurrency=40).chat(ask(*scripts))
    assert len(answers) == len(scripts)
    assert max(server.attempts.values()) == 4
    assert max(waits) <= LONGEST_WAIT
    by_text = {request["messages"][-1]["content"]: fault_word(request) for request in server.requests}
    for (text, script), answer in zip(scripts.items(), answers):
        if isinstance(answer, Reply):
            assert answer.text == by_text[text]
            assert len(script) < 4
        else:
            assert len(answer.error.splitlines()) == 1
            assert answer.error.endswith("(4 attempts)")
            # On a busy machine a request may come too late to the server, or its right answer to the client.
            assert len(script) >= 4 or server.attempts[text] < 4 or "no answer within" in answer.error
    assert sum(isinstance(answer, Reply) for answer in answers) >= 120


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("429", "HTTP 429: slow down (2 attempts)"),
        ("500", "HTTP 500: broken (2 attempts)"),
        ("reset", "the connection broke: "),
        ("stall", "no answer within 0.3 s (2 attempts)"),
        ("truncated", "the connection broke: peer closed connection"),
        ("half", "the answer is not JSON but "),
        ("html", "bytes of text/html (2 attempts)"),
        ("error-in-200", "an error in the answer: overloaded (2 attempts)"),
        ("drip", "no answer within 0.3 s (2 attempts)"),
    ],
)
def test_each_fault_is_told_once_the_attempts_are_used_up(server: FaultServer, fault: str, says: str) -> None:
    patience = 0.3 if fault in {"stall", "drip"} else 10.0
    answer = one(server, fault, attempts=2, timeout=patience)
    assert isinstance(answer, Failure)
    assert says in answer.error
    assert len(server.requests) == 2


def test_what_is_no_answer_is_a_failure_at_once(server: FaultServer) -> None:
    assert one(server, (200, {"choices": []})) == Failure(error="the answer has no choices")
    assert len(server.requests) == 1


def test_what_the_body_holds_decides_not_its_type(server: FaultServer) -> None:
    body = completion("<think>hm</think> A ball.", tokens=9)
    assert one(server, (200, body, {"content_type": "text/plain"})) == Reply(text="A ball.", tokens=9)


def test_an_endless_body_is_refused_before_it_fills_the_memory(server: FaultServer) -> None:
    assert one(server, (200, b" " * (LARGEST_BODY + 70_000))) == Failure(error="the answer is larger than 16 MB")


@pytest.mark.parametrize(
    ("after", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("9999", LONGEST_WAIT, LONGEST_WAIT),
        ("-3", 0, 0),
        ("soon", 0.5, 1.5),
        ("nan", 0.5, 1.5),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 0, 0),
    ],
)
def test_retry_after_is_honoured_up_to_the_cap(
    server: FaultServer, waits: list[float], after: str, least: float, most: float
) -> None:
    one(server, (429, {}, {"retry_after": after}), attempts=2)
    assert len(waits) == 1
    assert least <= waits[0] <= most


def test_retry_after_may_be_a_date(server: FaultServer, waits: list[float]) -> None:
    one(server, (503, {}, {"retry_after": formatdate(time.time() + 20, usegmt=True)}), attempts=2)
    assert 10 < waits[0] <= 20


def test_waits_grow_up_to_the_cap(server: FaultServer, waits: list[float]) -> None:
    one(server, "500", attempts=10)
    assert len(waits) == 9
    assert 0.5 <= waits[0] <= 1.5
    assert 2.0 <= waits[2] <= 3.0
    assert waits[-1] == LONGEST_WAIT == max(waits)


@pytest.mark.parametrize("status", [400, 403, 408, 413, 422])
def test_a_rejected_request_is_not_repeated(server: FaultServer, status: int) -> None:
    assert one(server, (status, {"error": {"message": "bad"}})) == Failure(error=f"HTTP {status}: bad")
    assert len(server.requests) == 1


def test_a_failed_conversation_costs_the_others_nothing(server: FaultServer) -> None:
    def plan(request: dict[str, Any], attempt: int) -> Any:
        text = request["messages"][-1]["content"]
        return (400, {"detail": "too long"}) if text == "b" else (200, completion(text))

    server.plan = plan
    answers = OpenAIChat("m", server.url).chat(ask("a", "b", "\ud83d"))
    assert answers == [Reply(text="a", tokens=5), Failure(error="HTTP 400: too long"), Reply(text="?", tokens=5)]


@pytest.mark.parametrize(
    ("plan", "says"),
    [
        ((401, {"error": {"message": f"Incorrect key {KEY}"}}), "it refuses the key in OPENAI_API_KEY (HTTP 401)"),
        ((404, {"error": {"message": "The model `m` does not exist"}}), "no model 'm', or no chat endpoint (HTTP 404: The model"),
        ((402, {}), "no credit is left (HTTP 402)"),
        ((429, {"error": {"message": "pay", "code": "insufficient_quota"}}), "no credit is left (HTTP 429: pay)"),
        ((307, {}, {"location": "http://127.0.0.1:9/v1"}), "it redirects (HTTP 307)"),
    ],
)
def test_what_concerns_every_conversation_ends_the_run(server: FaultServer, plan: Any, says: str) -> None:
    server.plan = lambda request, attempt: plan
    with pytest.raises(ConfigError) as caught:
        OpenAIChat("m", server.url, concurrency=4).chat(ask(*map(str, range(50))))
    assert caught.value.exit_code == 2
    assert f"endpoint {server.url}: {says}" in str(caught.value)
    assert KEY not in str(caught.value)
    assert len(server.requests) < 50


def test_a_server_that_wants_a_key_is_told_apart(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ConfigError, match=r"asks for a key, and OPENAI_API_KEY holds none \(HTTP 401: who\?\)"):
        one(server, (401, {"error": {"message": "who?"}}))


def test_nothing_listens(waits: list[float], server: FaultServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        model = OpenAIChat("m", address, attempts=3, concurrency=1)
        with pytest.raises(ConfigError, match=f"endpoint {address}: nothing answers there"):
            model.chat(ask("a", "b"))
        assert len(waits) == 2
        # Once it has answered, a server that goes away is a failure of what was asked then.
        model._base_url = server.url
        assert isinstance(model.chat(ask("a"))[0], Reply)
        model._base_url = address
        assert "nothing answers there" in str(model.chat(ask("a")))


def test_no_key_is_ever_told(server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    """The server sends the key back in every place that it can."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpcore2", "openai"):  # at this level they tell of every header; a user has to ask for that
        caplog.set_level(logging.INFO, logger=name)
    echo = f"Bearer {KEY} and {KEY[:12]} and {KEY[5:]} and sk-other12345678"
    plans: list[Any] = [(code, {"error": {"message": echo, "code": code}}) for code in (200, 400, 429, 500)]
    plans += [(500, echo.encode(), {"content_type": "text/plain"}), (400, {"detail": echo})]
    plans += [(200, echo.encode(), {"content_type": echo}), (200, completion(None, refusal=echo)), (200, completion(KEY))]
    plans += [(200, completion(None, finish=echo)), (200, {"message": echo})]
    told = [str(one(server, plan, attempts=2)) for plan in plans]
    for code in (401, 402, 404):
        with pytest.raises(ConfigError) as caught:
            one(server, (code, {"error": {"message": echo}}))
        told += traceback.format_exception(caught.value)
    told += [record.getMessage() + str(record.__dict__) for record in caplog.records]
    told += [repr(vars(OpenAIChat("m", server.url)))]
    everything = "\n".join(told)
    assert "***" in everything
    assert [piece for piece in (KEY, KEY[:8], KEY[-8:], "other12345678") if piece in everything] == []


@pytest.mark.parametrize("key", ["sk-line\nbreak-123456", "sk-ключ-12345678"])
def test_a_key_that_no_header_can_carry_is_not_told_either(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(ConfigError, match=r"^MY_KEY holds characters that no key has$"):
        one(server, "500", api_key_env="MY_KEY")
    assert server.requests == []


def test_the_address_may_come_from_the_environment(server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.delenv("OPENAI_API_KEY")
    assert isinstance(OpenAIChat("m").chat(ask("a"))[0], Reply)
    assert server.keys == ["Bearer none"]
    monkeypatch.setenv("OPENAI_BASE_URL", "http://me:secret@host/v1")
    with pytest.raises(ConfigError, match=r"^OPENAI_BASE_URL has a user"):
        OpenAIChat("m").chat(ask("a"))
    monkeypatch.delenv("OPENAI_BASE_URL")
    for own in (None, "https://api.openai.com/v1/"):
        with pytest.raises(ConfigError, match="no key in OPENAI_API_KEY; for a server of your own give base_url"):
            OpenAIChat("m", own).chat(ask("a"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"model": " "}, "model is empty"),
        ({"concurrency": 0}, "concurrency"),
        ({"attempts": 0}, "attempts"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"leave_out": ["top_p"]}, "not top_p"),
        ({"extra_body": {"seed": 1}}, "extra_body cannot set seed"),
        ({"base_url": "localhost:8000/v1"}, "base_url is no address"),
        ({"base_url": "http://:80/v1"}, "base_url is no address"),
        ({"base_url": "http://host:port/v1"}, "base_url is no address"),
        ({"base_url": "https://u:p@host/v1"}, "base_url has a user"),
        ({"base_url": "https://host/v1?key=1"}, "base_url has a user"),
    ],
)
def test_wrong_arguments_are_told_at_construction(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        OpenAIChat(**{"model": "m", **arguments})


def test_construction_and_no_conversations_touch_no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a socket was made")

    monkeypatch.setattr(socket, "socket", forbidden)
    assert OpenAIChat("m", "http://192.0.2.1/v1").chat([]) == []


def test_a_missing_package_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name == "stamina":
            raise ImportError("No module named 'stamina'", name="stamina")
        return real(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigError, match=r'OpenAIChat needs stamina: pip install "rapo-lightning\[endpoint\]"'):
        OpenAIChat("m", "http://127.0.0.1:9/v1").chat(ask("a"))


def test_it_works_inside_a_running_loop(server: FaultServer) -> None:
    """As in a notebook."""

    async def cell() -> list[Reply | Failure]:
        return OpenAIChat("m", server.url).chat(ask("a"))

    assert isinstance(asyncio.run(cell())[0], Reply)


def test_repetitions_are_logged_once_a_call(server: FaultServer, caplog: pytest.LogCaptureFixture) -> None:
    server.plan = lambda request, attempt: "500" if attempt < 3 else (200, completion("A ball."))
    OpenAIChat("m", server.url).chat(ask("a", "b"))
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("rapo_lightning")]
    assert lines == [f"endpoint {server.url}: 4 requests had to be repeated, the last as HTTP 500: broken"]
