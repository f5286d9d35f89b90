"""Weights are found in four places in order, read without running code, and named all at once when they are missing."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from evaluation.errors import WeightsError
from evaluation.weights.load import fill, read_state
from evaluation.weights.lookup import find, provenance
from evaluation.weights.table import WEIGHTS


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    folders = {"EVALUATION_WEIGHTS": tmp_path / "own", "HF_HUB_CACHE": tmp_path / "hub", "VBENCH_CACHE_DIR": tmp_path / "vbench"}
    for variable, folder in folders.items():
        folder.mkdir()
        monkeypatch.setenv(variable, str(folder))
    return folders


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_four_places_in_their_order(places: dict[str, Path], tmp_path: Path) -> None:
    given = put(tmp_path / "mine.pth")
    vbench = put(places["VBENCH_CACHE_DIR"] / "dino_model/dino_vitbase16_pretrain.pth")
    assert find(["dino_vitb16"])["dino_vitb16"].path == vbench
    root = places["HF_HUB_CACHE"] / "models--facebook--dino-vitb16"
    put(root / "refs/main", b"abc123")
    snapshot = put(root / "snapshots/abc123/config.json").parent
    put(snapshot / "model.safetensors", b"tensors")
    found = find(["dino_vitb16"])["dino_vitb16"]
    assert (found.path, found.revision, found.licence) == (snapshot, "abc123", "Apache-2.0")
    assert provenance(found) == {
        "name": "dino_vitb16", "file": "model.safetensors", "revision": "abc123", "licence": "Apache-2.0",
        "sha256": hashlib.sha256(b"tensors").hexdigest(),
    }  # fmt: skip
    own = put(places["EVALUATION_WEIGHTS"] / "dino_vitbase16_pretrain.pth", b"own")
    found = find(["dino_vitb16"])["dino_vitb16"]
    assert (found.path, found.revision) == (own, None)
    assert provenance(found)["sha256"] == hashlib.sha256(b"own").hexdigest()
    assert find(["dino_vitb16"], {"dino_vitb16": given})["dino_vitb16"].path == given


def test_folders_and_files_of_the_hub(places: dict[str, Path]) -> None:
    folder = put(places["EVALUATION_WEIGHTS"] / "clip-vit-base-patch32/config.json").parent
    root = places["HF_HUB_CACHE"] / "models--OpenGVLab--VBench_Used_Models"
    put(root / "refs/main", b"r1\n")
    file = put(root / "snapshots/r1/ViClip-InternVid-10M-FLT.pth")
    found = find(["viclip", "clip_b32", "viclip"])
    assert [(name, weights.path, weights.revision) for name, weights in found.items()] == [
        ("viclip", file, "r1"),
        ("clip_b32", folder, None),
    ]


def test_all_that_is_missing_is_named_at_once(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError) as caught:
        find(["musiq_spaq", "viclip", "raft"], {"raft": "/nowhere.pth", "rafd": "x"})
    lines = str(caught.value).splitlines()
    assert lines[0].startswith("rafd: no such weights; known: dino_vitb16, ")
    assert lines[3] == "raft: /nowhere.pth does not exist"
    for line, name in zip(lines[1:3], ("musiq_spaq", "viclip")):
        weights = WEIGHTS[name]
        assert line.startswith(f"{name}: {weights.file} is missing; looked for at {places['EVALUATION_WEIGHTS']}/{weights.file}")
        assert f"{places['VBENCH_CACHE_DIR']}/{weights.vbench}; to be had at {weights.source}, licence: {weights.licence}" in line
    assert str(places["HF_HUB_CACHE"]) in lines[2]
    monkeypatch.delenv("EVALUATION_WEIGHTS")
    monkeypatch.setenv("XDG_CACHE_HOME", "/some/cache")
    with pytest.raises(WeightsError, match=r"looked for at /some/cache/evaluation-weights/clip-vit-large-patch14, "):
        find(["clip_l14"])


def test_every_entry_says_what_a_user_needs() -> None:
    for name, weights in WEIGHTS.items():
        assert weights.name == name
        assert weights.file
        assert weights.licence
        assert weights.source.startswith("https://")


class Opens:
    """What a malicious file would hold."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, ("1",))


def test_tensors_are_read_without_running_code(tmp_path: Path) -> None:
    tensors = {"weight": torch.randn(2, 3), "bias": torch.randn(2)}
    save_file(tensors, tmp_path / "a.safetensors")
    torch.save({"model": tensors}, tmp_path / "a.pth")
    for state in (read_state(tmp_path / "a.safetensors"), read_state(tmp_path / "a.pth", "model")):
        layer = nn.Linear(3, 2)
        fill(layer, state, "a")
        assert torch.equal(layer.weight, tensors["weight"])
    torch.save({"model": Opens()}, tmp_path / "b.pth")
    (tmp_path / "c.pth").write_bytes(pickle.dumps({"model": 1}, protocol=2))
    torch.save(torch.ones(2), tmp_path / "d.pth")
    for path, key in ((tmp_path / "b.pth", "model"), (tmp_path / "c.pth", None), (tmp_path / "d.pth", None),
                      (tmp_path / "a.pth", "state"), (tmp_path / "absent.pth", None)):  # fmt: skip
        with pytest.raises(WeightsError, match=str(path)):
            read_state(path, key)


def test_every_key_has_its_place() -> None:
    state = nn.Linear(3, 2).state_dict()
    with pytest.raises(WeightsError, match=r"f: 1 missing keys \(bias\) and 1 foreign keys \(more\)"):
        fill(nn.Linear(3, 2), {"weight": state["weight"], "more": state["bias"]}, "f")
    with pytest.raises(WeightsError, match=r"weight is \(2, 3\), not \(2, 4\)"):
        fill(nn.Linear(4, 2), state, "f")
