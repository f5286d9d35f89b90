"""Loads a chat model: its folder is fetched and checked first, then weights, adapter, tokenizer and what ends an answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import WeightsError
from rapo_lightning.language import adapter as lora
from rapo_lightning.language.chat_format import ChatFormat
from rapo_lightning.weights import refuse_code, without_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LoadedModel", "context_length", "load_format", "load_model"]

#: Never fetched: weights in other formats, and code.
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model, its chat format, the tokens that ``ends`` an answer, one to ``pad`` with, and the ``context`` it reads (tokens).

    ``context`` is None when the model's configuration names no limit.
    """

    model: PreTrainedModel
    format: ChatFormat
    ends: frozenset[int]
    pad: int
    context: int | None


def load_model(
    reference: str, adapter: str | None, *, dtype: str, chat_template: str | None, enable_thinking: bool
) -> LoadedModel:
    """The model of a reference, in evaluation mode, with an adapter's layers in place.

    Missing or unreadable weights, weights that bring code, an adapter of another base, and a tokenizer without a chat template
    raise `WeightsError`.
    """
    from transformers import AutoModelForCausalLM, GenerationConfig

    folder = _local(reference)
    if (folder / "adapter_config.json").is_file():
        raise WeightsError(f"{reference}: this is an adapter; name its base as `model` and this folder as `adapter`")
    try:
        with without_bars("transformers"):
            loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True, trust_remote_code=False)
        model = loaded.eval()
        if adapter is not None:
            model = lora.load(model, _local(adapter), base=reference).get_base_model()
    except (OSError, ValueError) as error:
        raise WeightsError(f"{reference}: the language model cannot be loaded: {_first_line(error)}") from error
    format = load_format(reference, adapter, chat_template=chat_template, enable_thinking=enable_thinking)
    tokenizer = format.tokenizer

    configured = model.generation_config.eos_token_id
    ends = {configured} if isinstance(configured, int) else set(configured or ())
    if tokenizer.eos_token_id is not None:
        ends.add(tokenizer.eos_token_id)
    # A tokenizer may bring a padding token that the model has no embedding for (Qwen2Tokenizer adds one that is missing).
    vocabulary = model.get_input_embeddings().num_embeddings
    pad = next(token for token in (tokenizer.pad_token_id, *sorted(ends), 0) if token is not None and token < vocabulary)
    # In place of the repository's own: its penalties, top-k and temperature would change what was asked for.
    model.generation_config = GenerationConfig(do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=pad)
    return LoadedModel(model=model, format=format, ends=frozenset(ends), pad=pad, context=_context(model.config))


def load_format(
    reference: str, adapter: str | None = None, *, chat_template: str | None = None, enable_thinking: bool = False
) -> ChatFormat:
    """The chat format of a model, its adapter's where that brings one; no weights are read. Errors: `WeightsError`."""
    from transformers import AutoTokenizer

    folder = _local(reference)
    if adapter is not None and (_local(adapter) / "tokenizer_config.json").is_file():
        folder = _local(adapter)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{reference}: its tokenizer cannot be loaded: {_first_line(error)}") from error
    return ChatFormat.of(tokenizer, chat_template, enable_thinking=enable_thinking, name=reference)


def context_length(reference: str) -> int | None:
    """How many tokens a model reads, by its configuration; None when that names no limit. Errors: `WeightsError`."""
    from transformers import AutoConfig

    try:
        return _context(AutoConfig.from_pretrained(_local(reference), trust_remote_code=False))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{reference}: its configuration cannot be read: {_first_line(error)}") from error


def _context(config: Any) -> int | None:
    return getattr(config.get_text_config(), "max_position_embeddings", None)


def _local(reference: str) -> Path:
    """The checked folder of a model; a hub id is fetched into the Hugging Face cache first."""
    from huggingface_hub import snapshot_download

    name, revision = lora.split(reference)
    folder = Path(name)
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(name, revision=revision, allow_patterns=_WANTED))
        except (OSError, ValueError) as error:
            raise WeightsError(f"{reference}: no such folder, and it cannot be fetched: {_first_line(error)}") from error
    refuse_code(folder)
    return folder


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
