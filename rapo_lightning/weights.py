"""Where a model's weights are, found without network or torch; a folder is checked by `rapo_lightning.model_folders`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib import import_module
from pathlib import Path, PurePosixPath

from rapo_lightning.errors import WeightsError, first_line
from rapo_lightning.model_folders import refuse_code

__all__ = ["commit", "fetched", "locate", "refuse_code", "split_revision", "without_bars"]

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_REVISION = re.compile(r"[A-Za-z0-9][\w./-]*")


@contextmanager
def without_bars(*libraries: str) -> Iterator[None]:
    """Load weights without the progress bars of these libraries (``transformers``, ``diffusers``), which garble a run's own."""
    with ExitStack() as afterwards:
        for name in libraries:
            logging = import_module(f"{name}.utils.logging")
            if logging.is_progress_bar_enabled():
                logging.disable_progress_bar()
                afterwards.callback(logging.enable_progress_bar)
        yield


def split_revision(reference: str) -> tuple[str, str | None]:
    """A reference's model id and its revision: ``org/name@main`` is ``("org/name", "main")``."""
    name, at, revision = reference.partition("@")
    return (name, revision) if at else (reference, None)


def locate(reference: str, base_folder: str | os.PathLike[str]) -> str:
    """The local folder of a `ModelReference`, or the reference itself when it must be downloaded and the network may be used.

    Looked for in this order: an absolute folder; a folder relative to ``base_folder`` (the configuration file's); a name under
    ``ckpt/`` of the current folder, then of the repository, matched without case, by the whole name and then by its last part
    (``Qwen/Qwen2.5-7B-Instruct`` is found as ``ckpt/qwen2.5-7b-instruct``); the Hugging Face cache. Not found, or empty:
    `WeightsError` in one line that says how to get it.
    """
    expanded = Path(reference).expanduser()
    name, revision = split_revision(reference)
    try:
        for folder in (Path(base_folder) / expanded, *_under_ckpt(name)):
            if reference.strip() and folder.is_dir():
                if not any(folder.iterdir()):
                    raise WeightsError(f"{reference}: {folder} is an empty folder")
                return str(folder.resolve())
    except OSError as error:
        raise WeightsError(f"{reference}: {error.filename} cannot be read: {error.strerror}") from error
    if not _HUB_ID.fullmatch(name) or (revision is not None and not _REVISION.fullmatch(revision)):
        raise WeightsError(
            f"{reference!r}: no such folder beside the configuration ({Path(base_folder)}) or under ckpt/, and no hub id"
        )
    if (snapshot := _cached(name, revision)) is not None:
        return snapshot
    if not _is_offline():
        return reference
    at = f" --revision {revision}" if revision else ""
    raise WeightsError(
        f"{reference}: not under ckpt/ nor in the Hugging Face cache, and HF_HUB_OFFLINE is set; where there is a network: "
        f"hf download {name}{at} --local-dir ckpt/{PurePosixPath(name).name}"
    )


def fetched(located: str, wanted: Sequence[str]) -> Path:
    """The checked folder of what `locate` found; a hub id's wanted files are fetched into the Hugging Face cache first.

    Raises:
        WeightsError: it cannot be fetched, or would run code of its own.
    """
    from huggingface_hub import snapshot_download

    folder = Path(located)
    if not folder.is_dir():
        name, revision = split_revision(located)
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=list(wanted)))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{located}: no such folder, and it cannot be fetched: {first_line(error)}") from error
    refuse_code(folder)
    return folder


def commit(located: str) -> str | None:
    """The hub's commit of weights that `locate` found; None of a folder that is not the cache's, and of what is not fetched."""
    folder = Path(located)
    if not folder.is_dir():
        name, revision = split_revision(located)
        folder = Path(_cached(name, revision) or "")
    return folder.name if folder.parent.name == "snapshots" else None


def _under_ckpt(name: str) -> Iterator[Path]:
    steps = [step for step in PurePosixPath(name).parts if step != "."]
    if steps[:1] == ["ckpt"]:
        steps = steps[1:]
    if not steps or ".." in steps or steps[0].startswith(("/", "~")):
        return
    for root in (Path.cwd() / "ckpt", Path(__file__).resolve().parents[1] / "ckpt"):
        for wanted in (steps, steps[-1:]):
            if (folder := _without_case(root, wanted)) is not None:
                yield folder


def _without_case(folder: Path, steps: list[str]) -> Path | None:
    for step in steps:
        if not folder.is_dir():
            return None
        entries = sorted(entry.name for entry in folder.iterdir())
        found = step if step in entries else next((entry for entry in entries if entry.lower() == step.lower()), None)
        if found is None:
            return None
        folder = folder / found
    return folder


def _cached(name: str, revision: str | None) -> str | None:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return str(snapshot_download(name, revision=revision, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    except HFValidationError as error:
        raise WeightsError(f"{name}: {error}") from error


def _is_offline() -> bool:
    return any(
        os.environ.get(name, "").upper() in {"1", "ON", "YES", "TRUE"} for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )
