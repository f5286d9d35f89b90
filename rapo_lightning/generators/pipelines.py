"""Finding, loading and checking a diffusers pipeline: what happens once, before `DiffusersGenerator` renders anything."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import ConfigError, WeightsError
from rapo_lightning.generators.families import Family, family_of, named_family
from rapo_lightning.weights import refuse_code, split_revision, without_bars

if TYPE_CHECKING:
    import torch

__all__ = ["call_arguments", "find_family", "find_pipeline", "load_pipeline", "one_line"]

#: Arguments of a pipeline's call that the generator itself gives.
OWN_ARGUMENTS = {"prompt", "generator", "output_type", "return_dict", "num_videos_per_prompt", "num_images_per_prompt"}


def find_pipeline(model: str) -> tuple[str, str | None]:
    """``(folder, None)``, checked to hold a pipeline and no code, or ``(hub id, revision or None)``.

    Raises:
        WeightsError: neither an existing folder nor the form of a hub id, or the folder is not a pipeline's, or has code.
    """
    if Path(model).is_dir():
        if not (Path(model) / "model_index.json").is_file():
            raise WeightsError(f"{model}: not a diffusers pipeline, it has no model_index.json")
        refuse_code(model)
        return model, None
    name, revision = split_revision(model)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise WeightsError(f"{model}: there is no such folder, and it is not a hub id")
    return name, revision


def find_family(model: str, family: str | None) -> Family:
    """The family of that name, or that of the pipeline's class in ``model_index.json``. Loads no weights."""
    if family is not None:
        return named_family(family)
    name, revision = find_pipeline(model)
    if Path(name).is_dir():
        index = json.loads((Path(name) / "model_index.json").read_text(encoding="utf-8"))
    else:
        from diffusers import DiffusionPipeline

        try:
            index = DiffusionPipeline.load_config(name, revision=revision)
        except OSError as error:
            raise WeightsError(f"{model}: cannot be loaded: {one_line(error)}") from error
    return family_of(str(index.get("_class_name")))


def load_pipeline(model: str, family: Family, dtype: str, device: torch.device) -> Any:
    """The pipeline in evaluation mode, on the CPU; ``dtype`` and ``auto`` as `DiffusersGenerator` says.

    Raises:
        WeightsError: the weights are missing, incomplete, of another kind, or not in safetensors.
    """
    import torch
    from diffusers import DiffusionPipeline

    name, revision = find_pipeline(model)
    precision: Any = getattr(torch, family.dtype if dtype == "auto" else dtype)
    if dtype == "auto" and device.type == "cpu":
        precision = torch.float32
    elif dtype == "auto" and family.vae_float32:
        precision = {"default": precision, "vae": torch.float32}
    try:
        with without_bars("diffusers", "transformers"):
            pipeline = DiffusionPipeline.from_pretrained(name, revision=revision, dtype=precision, use_safetensors=True)
    # A foreign or torn folder makes diffusers raise almost anything; each of these concerns the files.
    except (OSError, ValueError, TypeError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{model}: cannot be loaded: {one_line(error)}") from error
    pipeline.set_progress_bar_config(disable=True)
    for module in pipeline.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False)
    return pipeline


def call_arguments(pipeline: Any, family: Family, ours: Mapping[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The call's arguments under the pipeline's own names: ``ours`` where it is not None, else the family's; then ``extra``.

    Raises:
        ConfigError: one line for each argument that the pipeline lacks and each size that it cannot render.
    """
    settings = {key: getattr(family, key, None) if value is None else value for key, value in ours.items()}
    if "fps" not in family.rename:
        settings.pop("fps", None)
    call = {family.rename.get(key, key): value for key, value in settings.items() if value is not None}
    call |= {**family.call, **extra}

    kind = type(pipeline).__name__
    accepted = inspect.signature(pipeline.__call__).parameters
    problems = [f"{kind} takes no argument {key!r}" for key in sorted(set(call) - set(accepted))]
    problems += [f"extra: {key!r} is set by the generator" for key in sorted(set(extra) & OWN_ARGUMENTS)]
    problems += [f"{kind} takes no {key!r}, so it cannot be used" for key in ("prompt", "generator") if key not in accepted]
    for key in ("height", "width"):
        if (settings[key] or 0) % family.size_step:
            problems.append(f"{key} {settings[key]}: {kind} renders multiples of {family.size_step} pixels")
    step = getattr(pipeline, family.frames_step) if family.frames_step else 1
    if settings["num_frames"] is not None and (settings["num_frames"] - 1) % step:
        problems.append(f"num_frames {settings['num_frames']}: {kind} renders 1 more than a multiple of {step}")
    if problems:
        raise ConfigError(problems)
    return call


def one_line(error: BaseException) -> str:
    """The kind of an error and its text on one line of at most 300 characters."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
