"""What a run gives Weights & Biases beside its scalars: a table, videos and artifacts. Offline where no key is configured.

Three kinds of artifacts, named after the W&B run: ``prompts-<id>`` (each prompt with its best wording), ``dataset-<id>`` (the
record of every wording tried, its scores and critiques) and ``adapter-<folder>`` (the LoRA adapters that the run uses).
"""

from __future__ import annotations

import inspect
import json
import os
import re
import secrets
from collections.abc import Sequence
from netrc import netrc
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from rapo_lightning.types import Candidate, Trajectory

if TYPE_CHECKING:
    from lightning.pytorch.loggers import WandbLogger

__all__ = ["init_arguments", "log_adapter", "log_artifacts", "log_results", "log_texts", "make"]

COLUMNS = ["id", "prompt", "best prompt", "reward before", "reward after", "round of best", "videos"]


def make(arguments: dict[str, Any], folder: Path, run_id: str | None) -> WandbLogger:
    """A logger that writes into the run folder unless ``WANDB_DIR``, ``WANDB_DATA_DIR`` or ``WANDB_CACHE_DIR`` say otherwise.

    Args:
        arguments: of the configuration.
        folder: the run folder.
        run_id: of the W&B run to go on with; None: a new one.
    """
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    for variable in ("WANDB_DIR", "WANDB_DATA_DIR", "WANDB_CACHE_DIR"):
        os.environ.setdefault(variable, str(folder))
    if "WANDB_MODE" not in os.environ and not {"mode", "offline"} & arguments.keys() and not _has_key(wandb.Settings().base_url):
        arguments["mode"] = "offline"
    arguments = {"project": "rapo-lightning", "name": folder.name, "save_dir": os.environ["WANDB_DIR"]} | arguments
    arguments["id"] = run_id or arguments.get("id") or secrets.token_hex(4)
    logger = WandbLogger(**arguments)
    # Lightning passes it on even when it is not given, and wandb then warns that it has no effect.
    logger._wandb_init.pop("anonymous", None)
    return logger


def init_arguments() -> set[str]:
    """What ``wandb.init`` takes; nothing where W&B is not installed."""
    try:
        from wandb import init
    except ImportError:
        return set()
    return set(inspect.signature(init).parameters)


def log_results(logger: WandbLogger, trajectories: Sequence[Trajectory], *, step: int, max_videos: int) -> None:
    """The table of prompts and scores, and the best videos of the first prompts, ``max_videos`` at most, as files."""
    logger.log_table("prompts", columns=COLUMNS, data=[_row(t) for t in trajectories], step=step)
    best = [(t.prompt.text, t.best.videos[0].path) for t in trajectories if t.best and t.best.videos]
    shown = [(text, path) for text, path in best if Path(path).is_file()][:max_videos]
    if shown:
        texts, paths = map(list, zip(*shown))
        logger.log_video("best", paths, step=step, caption=texts, format=["mp4"] * len(paths))


def log_artifacts(
    logger: WandbLogger, trajectories: Sequence[Trajectory], *, folder: Path | None, adapters: Sequence[Path] = ()
) -> None:
    """The artifacts of a run; W&B keeps one version of what has not changed since an earlier session.

    Args:
        logger: its run must not be finished.
        trajectories: every prompt of the run.
        folder: the run folder, for its records; None: no ``dataset`` artifact.
        adapters: folders.
    """
    from wandb import Artifact

    run = logger.experiment
    rows = [dict(zip(COLUMNS, _row(trajectory), strict=True)) for trajectory in trajectories]
    prompts = Artifact(f"prompts-{run.id}", type="prompts", description="Each prompt with its best wording")
    with prompts.new_file("prompts.jsonl", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    with prompts.new_file("best_prompts.txt", encoding="utf-8") as file:
        file.writelines(" ".join((row["best prompt"] or row["prompt"]).split()) + "\n" for row in rows)
    run.log_artifact(prompts)

    if folder is not None:
        dataset = Artifact(f"dataset-{run.id}", type="dataset", description="Every wording tried, with scores and critiques")
        for path in (*sorted(folder.glob("candidates-*.jsonl")), *folder.glob("prompts.jsonl")):
            dataset.add_file(str(path), name=path.name)
        run.log_artifact(dataset)

    for path in adapters:
        log_adapter(logger, path, path.name)


def log_adapter(logger: WandbLogger, folder: Path, name: str) -> None:
    """An adapter's folder as the artifact ``adapter-<name>``."""
    from wandb import Artifact

    adapter = Artifact(f"adapter-{re.sub(r'[^A-Za-z0-9_.-]+', '-', name)[:100]}", type="model")
    adapter.add_dir(str(folder))
    logger.experiment.log_artifact(adapter)


def log_texts(logger: WandbLogger, candidates: Sequence[Candidate], *, step: int, max_videos: int) -> None:
    """What a model wrote at a validation as a table, and ``max_videos`` of the videos as files."""
    rows = [[one.prompt_id, one.text, one.reward, one.error] for one in candidates]
    logger.log_table("checks", columns=["prompt", "text", "reward", "fault"], data=rows, step=step)
    shown = [(one.text, one.videos[0].path) for one in candidates if one.videos][:max_videos]
    if shown:
        texts, paths = map(list, zip(*shown))
        logger.log_video("checks/videos", paths, step=step, caption=texts, format=["mp4"] * len(paths))


def _has_key(default_host: str) -> bool:
    """Whether W&B would find a key in the environment or in the netrc file; `wandb.login` would ask the network."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL") or default_host).hostname or ""
    places = [Path(os.environ.get("NETRC") or "~/.netrc").expanduser(), Path("~/_netrc").expanduser()]
    return any(path.is_file() and netrc(path).hosts.get(host) for path in places)


def _row(trajectory: Trajectory) -> list[Any]:
    user = next((candidate for candidate in trajectory.candidates if candidate.origin == "user"), None)
    best = trajectory.best
    return [
        trajectory.prompt.id,
        trajectory.prompt.text,
        best.text if best else None,
        user.reward if user else None,
        best.reward if best else None,
        best.round if best else None,
        sum(len(candidate.videos) for candidate in trajectory.candidates),
    ]
