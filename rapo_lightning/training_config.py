"""The configuration of a training, read and with everything that it names found; imports neither torch nor Lightning."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rapo_lightning.errors import ConfigError, WeightsError
from rapo_lightning.positions import Positions
from rapo_lightning.sections_train import RefactorForm, RefineForm, TrainConfig
from rapo_lightning.settings import build_optimize, load, load_optimize
from rapo_lightning.tuning.forms import teacher
from rapo_lightning.weights import locate, refuse_code

__all__ = ["check_training", "lora_layers", "placed"]


def check_training(path: Path, overrides: Sequence[str] = (), allow: Sequence[str] = ()) -> TrainConfig:
    """Read a configuration of ``rapo train`` and find all that it names, the parts of its checks included; loads no weights."""
    config, positions = load(path, TrainConfig, overrides, allow)
    config = placed(config, positions)
    try:
        teacher(config.form, config.objective)
    except ConfigError as error:
        raise ConfigError([positions.problem(("form",), problem) for problem in error.problems]) from error
    for folder in (config.model, config.adapter):
        if folder is not None and Path(folder).is_dir():
            refuse_code(folder)
    if config.check.optimize is not None:
        build_optimize(*load_optimize(config.check.optimize, (), allow), allow)
    return config


def lora_layers(config: TrainConfig) -> None:
    """Refuse layers that the model has not, by its configuration alone; the errors are those of `adapter.check_layers`.

    ``config`` is as `placed` gives it.
    """
    if config.adapter is None:
        from rapo_lightning.language import adapter as lora
        from rapo_lightning.language.loading import without_weights

        lora.check_layers(without_weights(config.model), config.lora.layers)


def placed(config: TrainConfig, positions: Positions) -> TrainConfig:
    """The configuration with its weights located and its files absolute; what is not there is a `ConfigError`."""
    problems = []
    values: dict[str, Any] = {}
    for name in ("model", "adapter"):
        if (reference := getattr(config, name)) is not None:
            try:
                values[name] = locate(reference, positions.folder)
            except WeightsError as error:
                problems.append(positions.problem((name,), str(error)))
    if (Path(values.get("adapter", "")) / "adapter" / "adapter_config.json").is_file():
        values["adapter"] = str(Path(values["adapter"]) / "adapter")  # a run of rapo train was named
    files = {"train": config.data.train}
    if isinstance(config.data.validation, list):
        files["validation"] = config.data.validation
    absolute = {name: [str(Path(positions.folder) / file) for file in listed] for name, listed in files.items()}
    for name, listed in absolute.items():
        problems += [
            positions.problem(("data", name, number), f"{file}: no such file")
            for number, file in enumerate(listed)
            if not Path(file).is_file()
        ]
    if config.check.optimize is not None:
        checks = str(Path(positions.folder) / config.check.optimize)
        values["check"] = config.check.model_copy(update={"optimize": checks})
    if isinstance(config.form, RefineForm) and (Path(positions.folder) / config.form.style).is_file():
        values["form"] = config.form.model_copy(update={"style": str(Path(positions.folder) / config.form.style)})
    if isinstance(config.form, RefactorForm) and config.form.graph is not None:
        graph = str(Path(positions.folder) / config.form.graph)
        values["form"] = config.form.model_copy(update={"graph": graph})
    if problems:
        raise ConfigError(problems)
    return config.model_copy(update={**values, "data": config.data.model_copy(update=absolute)})
