"""The run folder: one folder holds a whole run, and no two processes or configurations share it.

``run.json`` says what ran and how it stands; ``config.yaml`` is the configuration as given, ``config.resolved.yaml`` with every
value; ``prompts.jsonl`` what was asked; the candidate logs are the record; the rest is derived from them and can be written again.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from rapo_lightning import records
from rapo_lightning.errors import RunFolderError
from rapo_lightning.settings import differences, identity
from rapo_lightning.types import Prompt

__all__ = ["locked", "prepare", "read_run", "update_run"]

_VERSIONS = ("rapo-lightning", "torch", "lightning", "diffusers", "transformers", "peft")


def prepare(
    folder: Path,
    resolved: Mapping[str, Any],
    prompts: Sequence[Prompt],
    *,
    config_file: Path | None = None,
    command: Sequence[str] = (),
    allow: Sequence[str] = (),
    force: bool = False,
) -> Path:
    """Make a run folder, or check that an existing one belongs to this configuration; returns the folder to use.

    New prompts may join an existing run. With ``force`` another configuration goes into a new folder beside it (``NAME-2``, ...).

    Raises:
        RunFolderError: the folder cannot be written, holds something else, or was made with another configuration.
    """
    while True:
        found = _existing(folder)
        if found is None:
            break
        changed = differences(identity(found), identity(resolved))
        if not changed:
            _join_prompts(folder, prompts)
            return folder
        if not force:
            raise RunFolderError(
                f"{folder}: made with another configuration ({', '.join(changed[:8])}); "
                "choose another --out, or --force to run in a new folder beside it"
            )
        folder = _next_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if config_file is not None:
            shutil.copyfile(config_file, folder / "config.yaml")
        text = yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True)
        records.write_text_atomic(folder / "config.resolved.yaml", text)
        records.write(folder / "prompts.jsonl", prompts)
        update_run(
            folder,
            status="started",
            command=list(command),
            allow=list(allow),
            environment=_environment(),
            started=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        )
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written: {error.strerror}") from error
    return folder


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json``; empty when there is none."""
    path = folder / "run.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}") from error
    return dict(found)


def update_run(folder: Path, **values: Any) -> None:
    """Set entries of ``run.json``; it is replaced whole."""
    records.write_text_atomic(folder / "run.json", json.dumps(read_run(folder) | values, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run folder; a lock left by a killed process is no obstacle.

    Raises:
        RunFolderError: another process has it; the message names host and process.
    """
    from filelock import FileLock, Timeout

    holder = folder / ".lock.json"
    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0.5)
    except Timeout as error:
        try:
            who = json.loads(holder.read_text(encoding="utf-8"))
            name = f"process {who['pid']} on {who['host']}"
        except (OSError, ValueError, KeyError):
            name = "another process"
        raise RunFolderError(f"{folder}: in use by {name}") from error
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be written: {error.strerror or error}") from error
    try:
        holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
        yield
    finally:
        holder.unlink(missing_ok=True)
        lock.release()


def _existing(folder: Path) -> dict[str, Any] | None:
    path = folder / "config.resolved.yaml"
    try:
        if not folder.exists() or (folder.is_dir() and not any(p.name not in (".lock", ".lock.json") for p in folder.iterdir())):
            return None
        if not folder.is_dir():
            raise RunFolderError(f"{folder}: is a file, not a folder")
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunFolderError(f"{folder}: is not empty and holds no run; choose another --out") from None
    except (OSError, yaml.YAMLError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}") from error
    return dict(found)


def _join_prompts(folder: Path, prompts: Sequence[Prompt]) -> None:
    known = {prompt.id: prompt for prompt in records.read(folder / "prompts.jsonl", Prompt)}
    for prompt in prompts:
        if known.setdefault(prompt.id, prompt).text != prompt.text:
            raise RunFolderError(f"{folder}: prompt {prompt.id!r} has another text there; choose another --out")
    records.write(folder / "prompts.jsonl", known.values())


def _next_name(folder: Path) -> Path:
    number = 2
    while (candidate := folder.with_name(f"{folder.name}-{number}")).exists():
        number += 1
    return candidate


def _environment() -> dict[str, Any]:
    versions = {}
    for name in _VERSIONS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"python": platform.python_version(), "system": platform.system(), "versions": versions, "git": _commit()}


def _commit() -> str | None:
    """The commit of the working copy this package runs from, if it is one."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
