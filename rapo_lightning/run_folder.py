"""The run folder: one folder holds a whole run, and no two processes or configurations share it.

``run.json`` says what ran and how it stands; ``config.yaml`` is the configuration as given, ``config.resolved.yaml`` has every
value; ``prompts.jsonl`` is what was asked; the candidate logs are the record; all else is derived and can be written again.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from rapo_lightning import records
from rapo_lightning.environment import environment
from rapo_lightning.errors import RunFolderError, Stopped, StorageError
from rapo_lightning.positions import Positions
from rapo_lightning.settings import SECRET_KEYS, differences, identity
from rapo_lightning.types import Prompt

__all__ = ["await_run", "choose", "opened", "read_prompts", "read_run", "update_run"]


def choose(folder: Path, resolved: Mapping[str, Any], *, force: bool = False, positions: Positions | None = None) -> Path:
    """The folder that a run may use: ``folder`` when it is free or holds a run of this configuration. Makes nothing.

    With ``force`` a run of another configuration is left alone and the first free or fitting ``NAME-2``, ``NAME-3``, ... taken.
    ``positions`` tell where this configuration has the values that differ.

    Raises:
        RunFolderError: the folder cannot be written, holds something else or another configuration, or is in use.
    """
    name, number = folder.name, 1
    while (found := _existing(folder)) is not None and (changed := differences(identity(found), identity(resolved))):
        if not force:
            shown = [f"{positions.where(tuple(key.split('.')))}: {key}" if positions else key for key in changed[:8]]
            raise RunFolderError(
                f"{folder}: made with another configuration ({', '.join(shown)}{', ...' * (len(changed) > 8)}); "
                "choose another --out, or --force to run in a new folder beside it"
            )
        number += 1
        folder = folder.with_name(f"{name}-{number}")
    ancestor = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not ancestor.is_dir():
        raise RunFolderError(f"{folder}: cannot be written: {ancestor} is a file")
    if not os.access(ancestor, os.W_OK | os.X_OK):
        raise RunFolderError(f"{folder}: cannot be written: no permission to write to {ancestor}")
    if found is not None:
        with _locked(folder):
            return folder
    return folder


@contextlib.contextmanager
def opened(
    folder: Path,
    resolved: Mapping[str, Any],
    prompts: Sequence[Prompt],
    *,
    config_file: Path | None = None,
    command: Sequence[str] = (),
    allow: Sequence[str] = (),
    force: bool = False,
) -> Iterator[Path]:
    """Make a run folder, or continue a run, perhaps with more prompts; every other process is kept out while this lasts.

    Gives the folder to use; for it and for errors see `choose`. An error that ends the context is noted in ``run.json``.

    Raises:
        StorageError: the disk is full or fails.
    """
    folder = choose(folder, resolved, force=force)
    with _locked(folder):
        try:
            _prepare(folder, resolved, prompts, config_file)
        except StorageError as error:
            raise _unusable(folder, error.__cause__) from error
        except OSError as error:
            raise _unusable(folder, error) from error
        now = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        values = {"resumed": now} if "started" in read_run(folder) else {"started": now}
        update_run(
            folder, status="running", error=None, command=_masked(command), allow=list(allow), environment=environment(), **values
        )
        try:
            yield folder
        except BaseException as error:
            status = "failed" if isinstance(error, Exception) and not isinstance(error, Stopped) else "interrupted"
            with contextlib.suppress(RunFolderError, StorageError):  # e.g. the disk is full, which is what ended the run
                update_run(folder, status=status, error=str(error) or type(error).__name__)
            raise


def await_run(folder: Path, resolved: Mapping[str, Any], *, seconds: float = 60.0) -> Path:
    """The folder, once the first process of this run has prepared it; for processes that ``torchrun`` or ``srun`` started.

    Raises:
        RunFolderError: no run of this configuration is there in time.
    """
    deadline = time.monotonic() + seconds
    while (found := _resolved(folder)) is None or differences(identity(found), identity(resolved)):
        if time.monotonic() > deadline:
            raise RunFolderError(f"{folder}: the first process has not prepared it within {seconds:.0f} s")
        time.sleep(0.1)
    return folder


def read_prompts(folder: Path) -> list[Prompt]:
    """Every prompt that the run was ever asked for, in order."""
    path = folder / "prompts.jsonl"
    return list(records.read(path, Prompt)) if path.exists() else []


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json``; empty when there is none."""
    path = folder / "run.json"
    try:
        found = records.parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path}: cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise RunFolderError(f"{path}: holds no JSON object")
    return found


def update_run(folder: Path, **values: Any) -> None:
    """Set entries of ``run.json``; it is replaced whole."""
    records.write_text_atomic(folder / "run.json", json.dumps(read_run(folder) | values, indent=2, ensure_ascii=False) + "\n")


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep every other process out of a run folder, which is made when missing; the lock of a killed process is no obstacle.

    Raises:
        RunFolderError: another process has it; the message names host and process.
    """
    from filelock import FileLock, Timeout

    holder = folder / ".lock.json"
    lock = FileLock(folder / ".lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0.5)
        holder.write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}), encoding="utf-8")
    except Timeout as error:
        try:
            who = json.loads(holder.read_text(encoding="utf-8"))
            name = f"process {who['pid']} on {who['host']}"
        except (OSError, ValueError, KeyError, TypeError):
            name = "another process"
        raise RunFolderError(f"{folder}: in use by {name}") from error
    except OSError as error:
        lock.release()
        raise _unusable(folder, error) from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # the disk may have become read-only
            holder.unlink(missing_ok=True)
        lock.release()


def _unusable(folder: Path, error: BaseException | None) -> RunFolderError | StorageError:
    """What is wrong with a folder in which a run cannot start: the choice of the folder, or a disk that is full or fails."""
    if isinstance(error, OSError) and error.errno in StorageError.ERRNOS - {errno.EROFS}:
        return StorageError.of(folder, error)
    why = (error.strerror if isinstance(error, OSError) else None) or error
    return RunFolderError(f"{folder}: cannot be written: {why}")


def _existing(folder: Path) -> dict[str, Any] | None:
    """The resolved configuration of the run in a folder; None when the folder is missing, or holds nothing but hidden files."""
    try:
        if folder.exists() and not folder.is_dir():
            raise RunFolderError(f"{folder}: is a file, not a folder")
        if (found := _resolved(folder)) is not None:
            return found
        if folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir()):
            raise RunFolderError(f"{folder}: is not empty and holds no run; choose another --out")
    except OSError as error:
        raise RunFolderError(f"{folder}: cannot be read: {error.strerror or error}") from error
    return None


def _resolved(folder: Path) -> dict[str, Any] | None:
    path = folder / "config.resolved.yaml"
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, yaml.YAMLError) as error:
        raise RunFolderError(f"{path}: cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise RunFolderError(f"{path}: holds no configuration")
    return found


def _prepare(folder: Path, resolved: Mapping[str, Any], prompts: Sequence[Prompt], config_file: Path | None) -> None:
    """Write what a run starts from, the resolved configuration first: a folder that has it is a run's, whatever it lacks."""
    found = _existing(folder)
    if found is not None and differences(identity(found), identity(resolved)):
        raise RunFolderError(f"{folder}: another run has started there just now")
    known = {prompt.id: prompt for prompt in read_prompts(folder)}
    for prompt in prompts:
        if known.setdefault(prompt.id, prompt).text != prompt.text:
            raise RunFolderError(f"{folder}: prompt {prompt.id!r} has another text there; choose another --out")
    if found is None:
        text = yaml.safe_dump(dict(resolved), sort_keys=False, allow_unicode=True)
        records.write_text_atomic(folder / "config.resolved.yaml", text)
    if known:
        records.write(folder / "prompts.jsonl", known.values())
    if config_file is not None and not (folder / "config.yaml").exists():
        records.write_text_atomic(folder / "config.yaml", config_file.read_bytes().decode())


def _masked(command: Sequence[str]) -> list[str]:
    """A command line without the values of settings that are named like secrets and without passwords in addresses."""
    shown = []
    for word in command:
        name, equals, _ = word.partition("=")
        is_secret = equals and name.rpartition(".")[2].lower() in SECRET_KEYS
        shown.append(f"{name}=***" if is_secret else re.sub(r"://[^/@\s]+@", "://***@", word))
    return shown
