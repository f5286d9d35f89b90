"""The command line in a process of its own, and configurations of fakes for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rapo_lightning.processes import RUN_FOLDER
from tests.house.modules import ROOT

__all__ = ["PROMPTS", "candidates", "config", "journal", "rapo", "started", "wait_for"]

PROMPTS = ["a red ball", "two cats", "rain on a roof", "a snail 🐌", "bees"]
FAKES: dict[str, Any] = {
    "schema_version": 1,
    "generator": {"class_path": "rapo_lightning.generators.FakeGenerator"},
    "judges": {"a": {"class_path": "rapo_lightning.judges.FakeJudge"}},
    "rewriter": {"class_path": "rapo_lightning.rewriters.FakeRewriter"},
    "loop": {"rounds": 2, "patience": None},
    "trainer": {"accelerator": "cpu"},
    "logger": None,
}


def config(folder: Path, *, slow: float | None = None, **changes: Any) -> Path:
    """A configuration of fakes, with its prompts beside it; the generator notes each video in ``folder/journal``.

    With ``slow`` a video takes so many seconds, and the command needs ``--allow tests``.
    """
    generator: dict[str, Any] = {**FAKES["generator"], "init_args": {"journal": str(folder / "journal")}}
    if slow is not None:
        generator["class_path"] = "tests.house.parts.SlowGenerator"
        generator["init_args"]["seconds"] = slow
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in PROMPTS))
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**FAKES, "prompts": "prompts.txt", "generator": generator, **changes}, sort_keys=False))
    return path


def rapo(*arguments: object, timeout: float = 120, **environment: str) -> subprocess.CompletedProcess[str]:
    """``rapo ARGUMENTS`` to its end."""
    process = started(*arguments, **environment)
    try:
        out, err = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def started(*arguments: object, **environment: str) -> subprocess.Popen[str]:
    """``rapo ARGUMENTS``, running from the repository's root."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / "cli.py"), *map(str, arguments)],
        cwd=ROOT,
        env={**_environment(), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, *, lines: int = 1, seconds: float = 60) -> None:
    """Until a file has so many lines."""
    deadline = time.monotonic() + seconds
    while not path.exists() or path.read_text().count("\n") < lines:
        assert time.monotonic() < deadline, f"{path} never had {lines} lines"
        time.sleep(0.02)


def journal(folder: Path) -> Counter[str]:
    """How often each video of a run was rendered."""
    path = folder / "journal"
    return Counter(path.read_text().splitlines() if path.exists() else [])


def candidates(run: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What is recorded of each prompt, without what may differ between runs: times, ranks and places."""
    rows: list[Mapping[str, Any]] = [
        json.loads(line) for log in run.glob("candidates-*.jsonl") for line in log.read_text().splitlines()
    ]
    found: dict[str, list[tuple[Any, ...]]] = {}
    for row in sorted(rows, key=lambda row: (row["prompt_id"], row["round"], row["origin"] != "user")):
        seeds = tuple(video["seed"] for video in row["videos"])
        found.setdefault(row["prompt_id"], []).append((row["id"], row["text"], row["reward"], row["parent"], row["error"], seeds))
    return found


def _environment() -> dict[str, str]:
    started_by = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", RUN_FOLDER)
    return {name: value for name, value in os.environ.items() if name not in started_by}
