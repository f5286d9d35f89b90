"""``rapo doctor``: what is there, what is missing, and the command that mends it."""

from __future__ import annotations

import importlib
import json
import shutil
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from cli import app
from rapo_lightning import doctor
from rapo_lightning.doctor import Finding, findings


def by_name() -> dict[str, Finding]:
    return {finding.what: finding for finding in findings()}


def test_it_looks_at_everything_a_run_needs() -> None:
    found = by_name()
    assert {"python", "torch", "lightning", "diffusers", "transformers", "devices", "disk", "model hub"} <= found.keys()
    assert {f"ckpt/shapes/{name}" for name in ("video", "judge", "language", "encoder")} <= found.keys()
    assert found["torch"].says == metadata.version("torch")
    assert all(finding.says and "\n" not in finding.says for finding in found.values())


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "peft":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    assert by_name()["peft"] == Finding(what="peft", says="missing: pip install peft", ok=False)


def test_an_optional_package_may_be_absent_but_not_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "find_spec", lambda name: None)
    absent = by_name()["torchvision"]
    assert (absent.ok, absent.optional) == (False, True)
    assert "pip install torchvision" in absent.says

    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(doctor, "find_spec", lambda name: SimpleNamespace(name=name))
    monkeypatch.setattr(importlib, "import_module", broken)
    found = by_name()["torchvision"]
    assert (found.ok, found.optional) == (False, False)
    assert found.says.endswith("(operator torchvision::nms does not exist): pip uninstall torchvision")


def test_missing_weights_and_a_full_disk_are_faults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_SHAPES", ("no-such-model",))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=2**20))
    found = by_name()
    assert not found["ckpt/shapes/no-such-model"].ok
    assert "ckpt/shapes/no-such-model" in found["ckpt/shapes/no-such-model"].says
    assert not found["disk"].ok


def test_the_command_prints_a_line_a_finding_and_fails_when_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    told = [Finding(what="a", says="fine"), Finding(what="b", says="absent", ok=False, optional=True)]
    monkeypatch.setattr(doctor, "findings", lambda: told)
    result = CliRunner().invoke(app, ["doctor"])
    assert (result.exit_code, result.stdout) == (0, " ok  a: fine\n --  b: absent\n")
    told.append(Finding(what="c", says="missing: pip install c", ok=False))
    result = CliRunner().invoke(app, ["doctor", "--json"])
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert [finding["what"] for finding in answer["findings"]] == ["a", "b", "c"]
    assert "!!  c: missing" in CliRunner().invoke(app, ["doctor"]).stdout


def test_it_tells_which_dimensions_can_be_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HF_HOME", "HF_HUB_CACHE", "VBENCH_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "empty"))
    monkeypatch.setenv("EVALUATION_WEIGHTS", str(tmp_path))
    found = by_name()
    assert (found["temporal_flickering"].ok, found["temporal_flickering"].says) == (True, "can be measured: temporal_flickering")
    assert found["imaging_quality"].says == "lacks musiq_spaq: musiq_spaq_ckpt-358bb6af.pth is missing"
    assert (found["imaging_quality"].ok, found["imaging_quality"].optional) == (False, True)
    (tmp_path / "musiq_spaq_ckpt-358bb6af.pth").write_bytes(b"weights")
    assert by_name()["imaging_quality"].says == "can be measured: imaging_quality"
