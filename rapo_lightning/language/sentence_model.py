"""A SentenceTransformer from a local folder or the hub, checked, and what of it `SentenceEncoder` can run itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import WeightsError, first_line
from rapo_lightning.language.token_batches import BatchTokenizer
from rapo_lightning.weights import fetched, locate, split_revision, without_bars

if TYPE_CHECKING:
    import torch

__all__ = ["SentenceModel", "encoder_name", "load_sentence_model"]

#: Never fetched: weights in other formats, other back ends' files, and code.
_WANTED = ["*.json", "*.safetensors", "*.txt", "*.model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SentenceModel:
    """A model in evaluation mode, its vectors' length, its modules, and what tokenises for them (None: it encodes itself).

    ``attention`` is transformers' name of the kind that it was loaded with.
    """

    model: Any
    dimension: int
    stages: tuple[Any, ...]
    tokenizer: BatchTokenizer | None
    attention: str | None


def load_sentence_model(reference: str, device: torch.device | str, dtype: str) -> SentenceModel:
    """The checked model; what is missing, unreadable, no SentenceTransformer, or brings code raises `WeightsError`."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    folder = fetched(locate(reference, Path.cwd()), _WANTED)
    if not (folder / "modules.json").is_file():
        raise WeightsError(f"{reference}: no SentenceTransformer, for it has no modules.json")
    try:
        with without_bars("transformers"):
            model = SentenceTransformer(
                str(folder),
                device=str(device),
                trust_remote_code=False,
                local_files_only=True,
                model_kwargs={"use_safetensors": True, "dtype": getattr(torch, dtype)},
            ).eval()
    except (OSError, ValueError, KeyError) as error:
        raise WeightsError(f"{reference}: the sentence encoder cannot be loaded: {first_line(error)}") from error
    stages = tuple(model)
    usual = (
        [type(stage) for stage in stages[:2]] == [Transformer, Pooling]
        and all(type(stage) is Normalize and stage.module_input_name == "sentence_embedding" for stage in stages[2:])
        and getattr(stages[0], "modality_config", {}).keys() <= {"text"}
        and not (model.default_prompt_name and model.prompts[model.default_prompt_name])
        and model.truncate_dim is None
    )
    tokenizer = BatchTokenizer.of(stages[0]) if usual else None
    network: Any = stages[0].auto_model if usual else None
    attention = getattr(network.config, "_attn_implementation", None) if tokenizer is not None else None
    dimension = int(model.get_embedding_dimension() or 0)
    return SentenceModel(model=model, dimension=dimension, stages=stages, tokenizer=tokenizer, attention=attention)


def encoder_name(reference: str) -> str:
    """The model's name wherever it lies: a hub id without its revision, a folder's path under ckpt/, else its last part."""
    path = Path(reference)
    steps = path.parts if path.is_absolute() or path.is_dir() else Path(split_revision(reference)[0]).parts
    for step in steps:
        if step.startswith("models--"):  # the Hugging Face cache
            return step.removeprefix("models--").replace("--", "/")
    if "ckpt" in steps:
        return "/".join(steps[len(steps) - steps[::-1].index("ckpt") :])
    is_hub_id = len(steps) == 2 and not path.is_dir()
    return "/".join(steps) if is_hub_id else (steps or (reference,))[-1]
