"""LoRA adapters in PEFT's own file layout: attach, save, load and merge.

A saved folder holds ``adapter_model.safetensors``, ``adapter_config.json``, the tokenizer and its chat template, so that PEFT
and vLLM (``--lora-modules name=folder``) read it as it is, and the text format it was trained with stays with its weights.
"""

from __future__ import annotations

import errno
import json
import os
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import WeightsError
from rapo_lightning.weights import refuse_code, split_revision

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = ["LINEAR_LAYERS", "attach", "base_name", "check_layers", "load", "merge", "readable", "save", "split", "writing"]

#: Every linear layer of a Llama, Mistral or Qwen block (the targets of Open-Sora-Plan's refiner, RAPO's nearest relative).
LINEAR_LAYERS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def attach(
    model: PreTrainedModel,
    *,
    rank: int = 64,
    alpha: int = 64,
    dropout: float = 0.1,
    layers: Sequence[str] | None = None,
    dora: bool = False,
    rslora: bool = False,
) -> PeftModel:
    """``model`` with a new, trainable adapter that changes nothing yet; the model's own weights are frozen.

    The default rank is the paper's (RAPO++ section 5.2), which gives no more; the rest is Open-Sora-Plan's. ``layers`` are names
    of linear layers (None: `LINEAR_LAYERS`); one that the model has not raises `WeightsError`.
    """
    from peft import LoraConfig, get_peft_model

    wanted = check_layers(model, layers)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=dropout,
        target_modules=wanted,
        use_dora=dora,
        use_rslora=rslora,
        task_type="CAUSAL_LM",
    )
    with _known_warnings():
        return get_peft_model(model, config)


def check_layers(model: PreTrainedModel, layers: Sequence[str] | None) -> list[str]:
    """The layers that an adapter of ``model`` is to have (None: `LINEAR_LAYERS`); weights are not needed.

    One that the model has not raises `WeightsError`, as does an output layer that shares its weights with the embeddings: an
    adapter of it could not be merged.
    """
    wanted = list(LINEAR_LAYERS if layers is None else layers)
    found = [name for name, module in model.named_modules() if "Linear" in type(module).__name__]
    linear = {name.rpartition(".")[2] for name in found}
    if unknown := [name for name in wanted if not any(f".{one}".endswith(f".{name}") for one in found)]:
        raise WeightsError(f"the model has no linear layer named {', '.join(unknown)}; it has {', '.join(sorted(linear))}")
    if "lm_head" in {name.rpartition(".")[2] for name in wanted} and model.config.get_text_config().tie_word_embeddings:
        raise WeightsError("lm_head shares its weights with the embeddings of this model: an adapter of it could not be merged")
    return wanted


def save(
    model: PeftModel,
    folder: str | Path,
    *,
    base: str,
    tokenizer: PreTrainedTokenizerBase,
    weights: dict[str, Tensor] | None = None,
) -> None:
    """Writes the adapter and the tokenizer into ``folder``; ``base`` is the reference of the model that it belongs to.

    ``weights``: the adapter's, by their names in ``model``, where these are not the model's own.
    """
    config = model.peft_config["default"]
    config.base_model_name_or_path, config.revision = split(base)
    with writing(folder):
        # PEFT would otherwise ask the hub whether the vocabulary has grown.
        model.save_pretrained(str(folder), save_embedding_layers=False, selected_adapters=["default"], state_dict=weights)
        tokenizer.save_pretrained(str(folder))
        readable(folder)


@contextmanager
def writing(folder: str | Path) -> Iterator[None]:
    """Libraries written in Rust raise errors of their own when a file cannot be written; here, too, they are an `OSError`."""
    try:
        yield
    except OSError:
        raise
    except Exception as error:
        code = re.search(r"os error ([0-9]+)", str(error))
        number = int(code[1]) if code else errno.ENOSPC if os.strerror(errno.ENOSPC) in str(error) else None
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(folder)) from error


def readable(folder: str | Path) -> None:
    """Give the files of a folder the mode that files have here; safetensors writes some for their owner alone."""
    mask = os.umask(0)
    os.umask(mask)
    for path in Path(folder).iterdir():
        path.chmod(0o666 & ~mask)


def load(
    model: PreTrainedModel,
    folder: str | Path,
    *,
    base: str,
    trainable: bool = False,
    name: str = "default",
    beside: PeftModel | None = None,
) -> PeftModel:
    """``model`` with the adapter saved in ``folder``.

    ``base`` is the reference that ``model`` was loaded from. ``name`` is PEFT's for the adapter; ``beside``: ``model`` with other
    adapters, which stay, as does the active one. An adapter of another base, of another kind than LoRA, not in safetensors, with
    code, or with weights that do not fit raises `WeightsError`.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    refuse_code(folder)
    config = _read_config(Path(folder))
    own = str(config.get("base_model_name_or_path") or "")
    if own and base_name(own).casefold() != base_name(base).casefold():
        raise WeightsError(f"{folder}: this adapter belongs to the base model {base_name(own)!r}, not to {base_name(base)!r}")
    try:
        with _known_warnings():
            if beside is None:
                beside = PeftModel.from_pretrained(model, str(folder), adapter_name=name, is_trainable=trainable)
            else:
                beside.load_adapter(str(folder), adapter_name=name, is_trainable=trainable)
            _none_left_over(beside, Path(folder), name)
            return beside
    except (RuntimeError, ValueError, TypeError, UserWarning, SafetensorError) as error:
        reason = str(error).strip().splitlines()[-1].strip()
        raise WeightsError(f"{folder}: the adapter's weights do not fit the model {base_name(base)!r}: {reason}") from error


def merge(model: PeftModel) -> PreTrainedModel:
    """The base model with the adapter's weights added into its own; answers as before, and is saved like any model."""
    merged: PreTrainedModel = model.merge_and_unload()
    return merged


def base_name(reference: str) -> str:
    """A model's bare name, whether it is written as a hub id, a folder or a hub cache snapshot, with or without ``@revision``.

    ``Qwen/Qwen2.5-7B-Instruct@main``, ``ckpt/Qwen2.5-7B-Instruct/`` and
    ``.../models--Qwen--Qwen2.5-7B-Instruct/snapshots/0a1b`` are all ``Qwen2.5-7B-Instruct``.
    """
    parts = [part for part in re.split(r"[/\\]", split(reference)[0]) if part]
    for part in parts:
        if part.startswith("models--"):
            return part.rsplit("--", 1)[-1]
    return parts[-1] if parts else ""


def split(reference: str) -> tuple[str, str | None]:
    """A reference's name and its ``@revision``; a folder's name may hold an ``@`` of its own."""
    return (reference, None) if Path(reference).is_dir() else split_revision(reference)


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Silences what no user can mend, and makes an error of what PEFT only warns about."""
    with warnings.catch_warnings():
        # PEFT 0.21 reads a property that transformers 5.2x has renamed.
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
        warnings.filterwarnings("error", message="Found missing adapter keys")
        yield


def _none_left_over(model: PeftModel, folder: Path, name: str) -> None:
    """PEFT passes over weights for layers that the model has not: then the adapter is another model's."""
    from peft import get_peft_model_state_dict
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        saved = {key for key in file.keys() if "lora_" in key}  # noqa: SIM118  # it is no dictionary
    if more := saved - set(get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)):
        raise ValueError(f"it has weights for {len(more)} more, e.g. {min(more)}")


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{folder}: no adapter can be read here: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise WeightsError(f"{folder}: adapter_config.json does not describe a LoRA adapter")
    if not (folder / "adapter_model.safetensors").is_file():
        raise WeightsError(f"{folder}: adapter_model.safetensors is missing")
    return config
