"""A chat endpoint on 127.0.0.1 that answers as it is told, rightly or with any of the faults that endpoints have."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["FaultServer", "completion", "fault_server", "fault_word"]

#: What `FaultServer.plan` may answer with in place of (status, body): how the server fails.
FAULTS = ("429", "500", "reset", "stall", "truncated", "half", "html", "error-in-200", "drip")


def completion(text: Any, *, finish: Any = "stop", tokens: Any = 5, **message: Any) -> dict[str, Any]:
    """The body of a right answer."""
    choice = {"index": 0, "message": {"role": "assistant", "content": text, **message}, "finish_reason": finish}
    return {"object": "chat.completion", "choices": [choice], "usage": {"completion_tokens": tokens}}


def fault_word(request: dict[str, Any]) -> str:
    """A right answer that depends on the conversation and, when sampled, on the seed; never longer than allowed."""
    seed = request["seed"] if request["temperature"] > 0 else None
    digest = hashlib.sha256(json.dumps([request["messages"], seed]).encode()).hexdigest()
    return " ".join(digest[i : i + 4] for i in range(0, 40, 4)[: request["max_tokens"]])


class FaultServer:
    """What was asked (``requests``, ``keys``), and a ``plan``: a request and its attempt give a fault or a response."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.attempts: Counter[str] = Counter()
        self.active = self.most_active = 0
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.url = ""
        self.plan: Callable[[dict[str, Any], int], Any] = lambda request, attempt: (
            200,
            completion(fault_word(request), tokens=min(10, request["max_tokens"])),
        )

    def handle(self, handler: BaseHTTPRequestHandler) -> None:
        """One request."""
        request = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        name = request["messages"][-1]["content"]
        with self.lock:
            self.requests.append(request)
            self.keys.append(handler.headers["authorization"])
            self.attempts[name] += 1
            attempt = self.attempts[name]
            self.active += 1
            self.most_active = max(self.most_active, self.active)
        try:
            self.answer(handler, self.plan(request, attempt))
        finally:
            with self.lock:
                self.active -= 1

    def answer(self, handler: BaseHTTPRequestHandler, plan: Any) -> None:
        """Sends what was planned."""
        page = b"<html><body>a gateway's page</body></html>"
        whole = json.dumps(completion("never whole")).encode()
        if isinstance(plan, tuple):
            status, body, *headers = plan
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            send(handler, status, data, **(headers[0] if headers else {}))
        elif plan == "429":
            send(handler, 429, b'{"error": {"message": "slow down"}}', retry_after="0")
        elif plan == "500":
            send(handler, 500, b'{"error": {"message": "broken"}}')
        elif plan == "reset":
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.close_connection = True
            handler.connection.close()
        elif plan == "stall":
            self.over.wait(20)
            handler.close_connection = True
        elif plan == "truncated":  # fewer bytes than announced
            send(handler, 200, whole[:-20], content_length=str(len(whole)))
            handler.close_connection = True
        elif plan == "half":  # as many bytes as announced, and no JSON
            send(handler, 200, whole[:-20])
        elif plan == "html":
            send(handler, 200, page, content_type="text/html")
        elif plan == "error-in-200":
            send(handler, 200, b'{"error": {"message": "overloaded", "code": 503}}')
        elif plan == "drip":
            send(handler, 200, b"", content_length="100000")
            while not self.over.wait(0.05):
                handler.wfile.write(b" ")
        else:
            raise AssertionError(plan)


def send(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    """A response; the names of headers have underscores for hyphens."""
    handler.send_response(status)
    for name, value in ({"content_type": "application/json", "content_length": str(len(body))} | headers).items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


@contextlib.contextmanager
def fault_server() -> Iterator[FaultServer]:
    """A server in a thread, at ``url``."""
    server = FaultServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with contextlib.suppress(OSError):  # the client hangs up on those that are slow
                server.handle(self)

        def log_message(self, format: str, *args: Any) -> None:
            """Silence."""

    class Http(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

        def handle_error(self, request: Any, client_address: Any) -> None:
            """Silence: a reset socket cannot be shut down in order."""

    http = Http(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{http.server_address[1]}/v1"
    try:
        yield server
    finally:
        server.over.set()
        http.shutdown()
        thread.join()
        http.server_close()
