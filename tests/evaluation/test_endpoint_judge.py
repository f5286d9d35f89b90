"""A judge behind a local server: what is sent, what is read, what is tried again, and that the key is told to nobody."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evaluation.errors import ClipError, EvaluationError
from evaluation.judge.base import Ask, BatchJudge
from evaluation.judge.endpoint import OpenAIJudge
from tests.evaluation.videos import clip_of

KEY = "sk-a-very-secret-key-1234567890"
CLIP = clip_of(6, 20, 30, 1)


class Server(ThreadingHTTPServer):
    """Answers with what the test puts into ``answers``: (status, body, headers), the last again and again."""

    daemon_threads = True
    block_on_close = False

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.answers: list[tuple[int, Any, dict[str, str]]] = []
        self.delay = 0.0
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((body, dict(self.headers)))
        time.sleep(self.server.delay)
        answers = self.server.answers
        status, answer, headers = answers.pop(0) if len(answers) > 1 else answers[0]
        data = answer if isinstance(answer, bytes) else json.dumps(answer(body) if callable(answer) else answer).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except OSError:
            pass  # the client has gone

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = Server()
    thread = threading.Thread(target=started.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield started
    started.shutdown()
    started.server_close()


def said(text: str | None, top: dict[str, float] | None = None, **more: Any) -> dict[str, Any]:
    logprobs = (
        {"content": [{"token": "x", "top_logprobs": [{"token": t, "logprob": p} for t, p in top.items()]}]} if top else None
    )
    return {"choices": [{"message": {"content": text, **more}, "logprobs": logprobs, "finish_reason": "stop"}]}


def judge_of(server: Server, **settings: Any) -> OpenAIJudge:
    return OpenAIJudge("some/model", base_url=server.url, **{"frames": 3, "timeout": 5.0, "first_wait": 0.0, **settings})


def test_what_is_sent(server: Server) -> None:
    server.answers = [(200, said(" Yes. ", {"Yes": -0.1, "No": -3.0}), {})]
    judge = judge_of(server, image="png", max_side=15, revision="r7", extra_body={"top_k": 1})
    view = judge.policy.view(CLIP)
    answer = judge.answer(
        [Ask(video=view, text="Is it?", system="Be brief.", candidates=("Yes", "No", "yes"), max_new_tokens=8)]
    )[0]
    assert (answer.text, answer.logprobs) == ("Yes.", {"Yes": -0.1, "No": -3.0})
    body, headers = server.seen[0]
    assert headers["Authorization"] == f"Bearer {KEY}"
    assert {name: body[name] for name in body if name != "messages"} == {
        "model": "some/model", "temperature": 0, "seed": 0, "max_tokens": 8, "logprobs": True, "top_logprobs": 20, "top_k": 1,
    }  # fmt: skip
    system, user = body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    *frames, text = user["content"]
    assert text == {"type": "text", "text": "Is it?"}
    sent = [frame["image_url"]["url"].removeprefix("data:image/png;base64,") for frame in frames]
    shown = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data in sent]
    assert np.array_equal(np.stack(shown), view.frames_THWC)
    assert view.frames_THWC.shape == (3, 10, 15, 3)
    usual, more = judge.id.rsplit("|", 1)
    assert usual == f"some/model@r7|{server.url}|png|ends(3),max15"
    assert judge.provenance == {"backbone": f"some/model|png|{more}", "revision": "r7", "sha256": None}
    plain = OpenAIJudge(model="some/model", image="png")
    assert plain.provenance["backbone"] == "some/model|png"
    others = [{"extra_body": {"top_k": 2}}, {"leave_out": ("seed",)}, {"extra_body": {"top_k": 1}}]
    told = {OpenAIJudge(model="some/model", image="png", **one).provenance["backbone"] for one in others}  # type: ignore[arg-type]
    assert len(told) == 3
    assert judge.provenance["backbone"] in told, "what is sent otherwise decides the answers"
    assert isinstance(judge, BatchJudge)


def test_jpeg_texts_and_prefixes(server: Server) -> None:
    server.answers = [(200, said("4"), {})]
    judge = judge_of(server, leave_out=("seed",), max_tokens_field="max_completion_tokens")
    assert judge.generate(None, "Which?", prefix="Score: ") == "4"
    body, _ = server.seen[0]
    assert body["messages"] == [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "Score: "}]
    assert (body["continue_final_message"], body["add_generation_prompt"], body["max_completion_tokens"]) == (True, False, 512)
    assert "seed" not in body
    assert "logprobs" not in body
    view = judge.policy.view(CLIP)
    judge.generate(view, "Which?")
    url = server.seen[1][0]["messages"][0]["content"][0]["image_url"]["url"]
    picture = Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/jpeg;base64,"))))
    assert picture.format == "JPEG"
    assert np.abs(np.asarray(picture).astype(int) - view.frames_THWC[0]).mean() < 6


def test_answers_keep_their_order(server: Server) -> None:
    def echo(body: dict[str, Any]) -> dict[str, Any]:
        number = body["messages"][0]["content"]
        time.sleep(0.03 * (4 - int(number)))
        return said(number)

    server.answers = [(200, echo, {})]
    asks = [Ask(video=None, text=str(number)) for number in range(5)]
    assert [answer.text for answer in judge_of(server).answer(asks)] == ["0", "1", "2", "3", "4"]


@pytest.mark.parametrize(
    "failure",
    [
        (429, {"error": {"message": "slow down"}}, {"Retry-After": "0"}),
        (500, b"<html>oops</html>", {}),
        (503, {"error": "overloaded"}, {"Retry-After": "soon"}),
        (200, b'{"choices": [{"mess', {}),
        (200, b"[1, 2]", {}),
    ],
)
def test_what_may_pass_is_tried_again(server: Server, failure: tuple[int, Any, dict[str, str]]) -> None:
    server.answers = [failure, failure, (200, said("Yes"), {})]
    assert judge_of(server).generate(None, "?") == "Yes"
    assert len(server.seen) == 3
    server.seen.clear()
    server.answers = [failure]
    with pytest.raises(ClipError, match="after 2 attempts") as caught:
        judge_of(server, attempts=2).generate(None, "?")
    assert (caught.value.code, len(server.seen)) == ("bad_reply", 2)


def test_a_silent_server_is_not_waited_for(server: Server) -> None:
    server.answers, server.delay = [(200, said("Yes"), {})], 4.0
    begin = time.monotonic()
    with pytest.raises(ClipError, match=r"no answer within 0\.1 s, after 2 attempts"):
        judge_of(server, timeout=0.1, attempts=2).generate(None, "?")
    assert time.monotonic() - begin < 3


def test_waits_grow_and_have_an_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("evaluation.judge.http.time", SimpleNamespace(sleep=waits.append))
    server.answers = [
        (500, {}, {}),
        (429, {}, {"Retry-After": "7"}),
        (429, {}, {"Retry-After": "9999"}),
        (500, {}, {}),
        (500, {}, {}),
    ]
    with pytest.raises(ClipError):
        judge_of(server, attempts=5, first_wait=0.5).generate(None, "?")
    assert waits == [0.5, 7.0, 30.0, 4.0]


@pytest.mark.parametrize(
    ("status", "kind", "says"),
    [
        (401, EvaluationError, r"HTTP 401: bad \*\*\* key; the key is read from OPENAI_API_KEY, which is set"),
        (404, EvaluationError, "no such model or address"),
        (307, EvaluationError, "HTTP 307"),
        (400, ClipError, r"HTTP 400: bad \*\*\* key"),
    ],
)
def test_what_will_not_pass_is_told_at_once_without_the_key(
    server: Server, status: int, kind: type[Exception], says: str
) -> None:
    server.answers = [(status, {"error": {"message": f"bad {KEY[:12]} key"}}, {"Location": "http://127.0.0.1:1/"})]
    with pytest.raises(kind, match=says) as caught:
        judge_of(server).generate(None, "?")
    assert type(caught.value) is kind
    assert len(server.seen) == 1
    judge = judge_of(server)
    for text in (str(caught.value), repr(judge), judge.id, str(vars(judge))):
        assert KEY[:12] not in text


@pytest.mark.parametrize(
    "answer",
    [said(None), said("", refusal="I will not"), {"choices": []}, {"choices": [{}]}, {}, {"choices": "x"}, {"error": "x"},
     {"choices": [{"message": {"content": "x"}, "finish_reason": "content_filter"}]}],
)  # fmt: skip
def test_an_answer_without_a_text_is_a_bad_reply(server: Server, answer: dict[str, Any]) -> None:
    server.answers = [(200, answer, {})]
    with pytest.raises(ClipError) as caught:
        judge_of(server).generate(None, "?")
    assert caught.value.code == "bad_reply"


@pytest.mark.parametrize(
    "logprobs", [None, [], {"content": None}, {"content": [{}]}, {"content": [{"top_logprobs": [{"token": 1}]}]}]
)
def test_probabilities_that_are_not_there_are_left_out(server: Server, logprobs: object) -> None:
    server.answers = [(200, {"choices": [{"message": {"content": "Yes"}, "logprobs": logprobs}]}, {})]
    assert judge_of(server).token_logprobs(None, "?", ["Yes"]) == {}
    assert server.seen[0][0]["max_tokens"] == 1


def test_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    started = Server()
    url = started.url
    started.server_close()
    judge = OpenAIJudge("m", base_url=url, attempts=2, first_wait=0.0)
    with pytest.raises(EvaluationError, match=r"ConnectError, after 2 attempts; does a server listen there\?") as caught:
        judge.generate(None, "?")
    assert not isinstance(caught.value, ClipError)


@pytest.mark.parametrize(
    "wrong",
    [{"base_url": "ftp://x"}, {"base_url": "http://me:pw@x/v1"}, {"base_url": "x"}, {"attempts": 0}, {"timeout": 0},
     {"model": " "}, {"image": "webp"}, {"extra_body": {"model": "other"}}, {"frames": 0}],
)  # fmt: skip
def test_wrong_settings(wrong: dict[str, Any]) -> None:
    make: Callable[..., OpenAIJudge] = OpenAIJudge
    with pytest.raises(ValueError):  # noqa: PT011
        make(**{"model": "m", "base_url": "http://127.0.0.1:1/v1", **wrong})
