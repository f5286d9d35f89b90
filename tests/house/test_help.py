"""What must answer at once: help, dry runs, checks and every configuration error, all without torch."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.command import config
from tests.house.modules import ROOT

COMMANDS = ("optimize", "quickstart", "report", "check", "doctor")
#: Runs the command line and then says which heavy libraries came with it, and after how many seconds.
PROBE = """
import sys, time
started = time.perf_counter()
from cli import app
try:
    app(sys.argv[1:])
except SystemExit as end:
    heavy = {"torch", "lightning", "diffusers", "transformers", "numpy"} & set(sys.modules)
    print(f"\\n{end.code} {time.perf_counter() - started:.3f} {sorted(heavy)}")
"""
LIMIT = 0.5  # seconds on a machine of one's own
SAFETY = 4  # a machine that runs other tests at the same time


def probe(*arguments: object) -> tuple[int, float, str, str]:
    """Exit code, seconds, heavy libraries and what was printed before."""
    command = [sys.executable, "-c", PROBE, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    printed, _, last = done.stdout.rstrip("\n").rpartition("\n")
    code, seconds, heavy = last.split(maxsplit=2)
    return int(code), float(seconds), heavy, printed + done.stderr


def test_help_names_every_command() -> None:
    code, seconds, heavy, printed = probe("--help")
    assert (code, heavy) == (0, "[]")
    assert seconds < LIMIT * SAFETY
    assert [command for command in COMMANDS if f"  {command} " not in printed] == []
    assert "(RAPO++)" in printed


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    code, seconds, heavy, printed = probe(command, "--help")
    assert (code, heavy) == (0, "[]")
    assert seconds < LIMIT * SAFETY
    assert f"Usage: -c {command}" in printed or f"Usage: rapo {command}" in printed


def test_no_command_shows_the_help() -> None:
    code, _, heavy, printed = probe()
    assert (code, heavy) == (2, "[]")
    assert "Commands:" in printed


def test_check_and_dry_run_import_no_torch(tmp_path: Path) -> None:
    path = config(tmp_path)
    for arguments in (("check", path), ("optimize", path, "--out", tmp_path / "run", "--dry-run")):
        code, seconds, heavy, printed = probe(*arguments)
        assert (code, heavy) == (0, "[]"), printed
        assert seconds < 2 * LIMIT * SAFETY
    assert not (tmp_path / "run").exists()


def test_the_shipped_default_is_planned_without_torch(tmp_path: Path) -> None:
    path = ROOT / "configs/optimize/shapes.yaml"
    code, _, heavy, printed = probe("optimize", path, "--prompt", "a red ball", "--out", tmp_path / "run", "--dry-run")
    assert (code, heavy) == (0, "[]")
    assert "1 prompt, at most 4 videos, 4 judgements, 3 rewrites" in printed
    assert "ckpt/shapes/video" in printed


def test_configuration_errors_import_no_torch(tmp_path: Path) -> None:
    path = config(tmp_path, loop={"ronds": 2})
    code, seconds, heavy, printed = probe("optimize", path, "--out", tmp_path / "run")
    assert (code, heavy) == (2, "[]")
    assert seconds < 2 * LIMIT * SAFETY
    assert "did you mean 'rounds'" in printed
