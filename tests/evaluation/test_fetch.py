"""Downloads of weights: only when asked, to where they are looked for, checked against what their names promise."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from evaluation.errors import WeightsError
from evaluation.weights import fetch as module
from evaluation.weights.entry import Weights
from evaluation.weights.fetch import fetch
from evaluation.weights.lookup import find
from evaluation.weights.table import WEIGHTS

CONTENT = b"weights" * 1000
PROMISED = f"net-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


@pytest.fixture
def address() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path.endswith(".pth") and "none" not in self.path
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(CONTENT) if found else 0))
            self.end_headers()
            if found:
                self.wfile.write(CONTENT)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EVALUATION_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    return tmp_path / "weights"


def known(monkeypatch: pytest.MonkeyPatch, **fields: Any) -> None:
    item = Weights(**{"name": "net", "licence": "MIT", **fields})
    monkeypatch.setitem(WEIGHTS, "net", item)


def test_a_file_goes_where_it_is_looked_for(address: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, file=PROMISED, source=f"{address}/{PROMISED}")
    with pytest.raises(WeightsError):
        find(["net"])
    told: list[str] = []
    fetch(["net|raft"], tell=told.append)
    assert told == [f"net, licence MIT: {address}/{PROMISED}"]
    assert find(["net"])["net"].path.read_bytes() == CONTENT
    fetch(["net"], tell=told.append)
    assert len(told) == 1, "what is there is not fetched again"


def test_another_file_than_its_name_promises_is_not_kept(address: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, file="net-00000000.pth", source=f"{address}/net-00000000.pth")
    with pytest.raises(WeightsError, match=r"net: cannot be fetched .*hash"):
        fetch(["net"])
    assert list(place.iterdir()) == []


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"file": "none.pth", "source": "{address}/none.pth"}, "404"),
        ({"file": "net.pth", "source": "{address}/project"}, "get it from there"),
        ({"file": "a clone", "source": "{address}", "code": True}, "code of its authors is not fetched"),
    ],
)
def test_what_cannot_be_fetched(address: str, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], says: str) -> None:
    known(monkeypatch, **{**fields, "source": fields["source"].format(address=address)})
    with pytest.raises(WeightsError, match=says):
        fetch(["net"])


def test_nothing_is_fetched_offline(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known(monkeypatch, file=PROMISED, source=f"{address}/{PROMISED}")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        fetch(["net"])


BOTH = ["model.safetensors", "pytorch_model.bin"]


@pytest.mark.parametrize(("there", "wanted"), [(BOTH, BOTH[0]), (BOTH[1:], BOTH[1]), ([], "*.safetensors")])
def test_a_model_folder_comes_with_one_kind_of_weights(monkeypatch: pytest.MonkeyPatch, there: list[str], wanted: str) -> None:
    import huggingface_hub

    asked: list[Any] = []
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repository: there)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda repository, allow_patterns: asked.append(allow_patterns))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda repository, file: asked.append(file))
    module._from_hub("a/b", None)
    module._from_hub("a/b", "c.pth")
    assert [pattern for pattern in asked[0] if pattern in (*BOTH, "*.safetensors")] == [wanted]
    assert asked[1] == "c.pth"
