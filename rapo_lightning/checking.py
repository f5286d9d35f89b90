"""What ``rapo check`` does: a configuration of any kind is read and every part of it constructed; no weights are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rapo_lightning.config import read
from rapo_lightning.positions import Positions
from rapo_lightning.sections import Logger, Part
from rapo_lightning.settings import build_optimize, load_optimize

__all__ = ["check", "check_logger"]


def check(path: Path, *, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> dict[str, Any]:
    """What a configuration is of, in a few values; everything that is wrong with it is one `ConfigError`."""
    data, positions = read(path, overrides)
    if "form" in data:
        from rapo_lightning.training_config import check_training

        training = check_training(path, overrides, allow)
        check_logger(training.logger, positions)
        return {"kind": "train", "task": training.form.task, "objective": training.objective, "model": training.model}
    if data.keys() & {"metrics", "own", "input"} and not data.keys() & {"generator", "judges", "rewriter"}:
        from rapo_lightning.evaluating import check_evaluation

        evaluation = check_evaluation(path, overrides, allow)
        return {"kind": "evaluate", "metrics": [*evaluation.metrics, *evaluation.own], "judge": evaluation.judge is not None}
    if data.keys() & {"encoder", "language_model"} and not data.keys() & {"generator", "judges", "rewriter"}:
        from rapo_lightning.graph_tools import graph_tools

        graph = graph_tools(path, overrides, allow).config
        return {"kind": "graph", "encoder": graph.encoder is not None, "language_model": graph.language_model is not None}
    config, positions = load_optimize(path, overrides, allow)
    build_optimize(config, positions, allow)
    check_logger(config.logger, positions)
    return {"kind": "optimize", "judges": list(config.judges), "rounds": config.loop.rounds}


def check_logger(logger: Logger | None, positions: Positions) -> None:
    """Refuse a logger that cannot be made; csv has nothing to check, and Lightning takes a second to import."""
    if isinstance(logger, Part):
        from rapo_lightning.tracking import check_logger as refuse

        refuse(logger, positions)
