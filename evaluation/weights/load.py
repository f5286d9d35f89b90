"""Reads weights: safetensors, else ``torch.load(weights_only=True)``; every key must have its place, and every place its key."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from evaluation.errors import WeightsError

__all__ = ["fill", "model_folder", "read_state"]


def read_state(path: str | Path, key: str | None = None) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU; ``key`` names the entry of a checkpoint that holds them.

    Raises:
        WeightsError: the file cannot be read, would run code, or holds something else.
    """
    try:
        if Path(path).suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
        raise WeightsError(f"{path}: no weights, or weights that would run code: {str(error).splitlines()[0]}") from error
    if key is not None:
        state = state.get(key) if isinstance(state, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise WeightsError(f"{path}: holds no tensors by name{f' under {key}' if key else ''}")
    return {str(name): value for name, value in state.items()}


def fill(model: nn.Module, state: dict[str, Tensor], path: str | Path) -> None:
    """Put ``state`` into the model, all of it and nothing else.

    Raises:
        WeightsError: keys are missing or foreign, or shapes differ; the first few are named.
    """
    own = model.state_dict()
    _refuse(path, sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys()))
    wrong = [
        f"{name} is {tuple(state[name].shape)}, not {tuple(own[name].shape)}"
        for name in own
        if state[name].shape != own[name].shape
    ]
    if wrong:
        raise WeightsError(f"{path}: {'; '.join(wrong[:5])}")
    model.load_state_dict(state, strict=True)


def model_folder(
    model_class: Any,
    folder: str | Path,
    *,
    state: tuple[Any, dict[str, Tensor]] | None = None,
    left_out: Sequence[str] = (),
    dtype: torch.dtype = torch.float32,
    **arguments: Any,
) -> Any:
    """A transformers model of a local folder in ``dtype``; ``left_out`` are patterns of keys that the class does not need.

    ``state`` is a configuration and tensors, named as on the hub, that take the place of what is in the folder.

    Raises:
        WeightsError: the folder cannot be read, or keys are missing or foreign.
    """
    try:
        source = {"config": state[0], "state_dict": state[1]} if state else {"local_files_only": True}
        with _quiet():
            model, report = model_class.from_pretrained(
                None if state else str(folder), output_loading_info=True, dtype=dtype, **source, **arguments
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise WeightsError(f"{folder}: no model folder: {str(error).splitlines()[0]}") from error
    foreign = [name for name in report["unexpected_keys"] if not any(fnmatchcase(name, pattern) for pattern in left_out)]
    _refuse(folder, sorted(report["missing_keys"]), sorted(foreign))
    if report["mismatched_keys"]:
        raise WeightsError(f"{folder}: other shapes: {sorted(report['mismatched_keys'])[:5]}")
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar and report: what is wrong is said by an error."""
    from transformers.utils import logging

    log: Any = logging
    verbosity, bar = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(verbosity)
        if bar:
            log.enable_progress_bar()


def _refuse(path: str | Path, missing: list[str], foreign: list[str]) -> None:
    problems = [
        f"{len(names)} {what} keys ({', '.join(names[:5])}{', ...' if len(names) > 5 else ''})"
        for what, names in (("missing", missing), ("foreign", foreign))
        if names
    ]
    if problems:
        raise WeightsError(f"{path}: {' and '.join(problems)}")
