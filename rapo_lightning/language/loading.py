"""Loads a chat model: its folder is fetched and checked first, then weights, adapter, tokenizer and what ends an answer."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from rapo_lightning.errors import WeightsError, first_line
from rapo_lightning.language.bases import Base, shared_base
from rapo_lightning.language.chat_format import ChatFormat
from rapo_lightning.weights import fetched, without_bars

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LoadedModel", "context_length", "load_format", "load_model", "without_weights"]

#: Never fetched: weights in other formats, and code.
_WANTED = ["*.json", "*.safetensors", "*.jinja", "*.txt", "*.model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A model with or without an adapter, its chat format, and what generating with it takes.

    Attributes:
        base: the model, perhaps shared.
        adapter: the name of the adapter that is to be active; None: none.
        format: the chat format.
        ends: the tokens that end an answer.
        pad: a token to pad with.
        context: how many tokens it reads; None when its configuration names no limit.
    """

    base: Base
    adapter: str | None = None
    format: ChatFormat
    ends: frozenset[int]
    pad: int
    context: int | None

    @property
    def model(self) -> PreTrainedModel:
        """The base with whatever adapters' layers are in it."""
        return self.base.model


def load_model(
    reference: str,
    adapter: str | None = None,
    *,
    dtype: str = "auto",
    chat_template: str | None = None,
    enable_thinking: bool = False,
    shared: bool = False,
    four_bit: bool = False,
) -> LoadedModel:
    """The model of a reference, in evaluation mode, with an adapter's layers in place.

    ``shared``: the base may be one that is in memory already, and others may come to use it. ``four_bit``: its linear layers are
    held in 4 bits (NF4, quantised twice, as QLoRA has it), on the current CUDA device.

    Missing or unreadable weights, weights that bring code, an adapter of another base, and a tokenizer without a chat template
    raise `WeightsError`.
    """
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM

    folder = fetched(reference, _WANTED)
    if (folder / "adapter_config.json").is_file():
        raise WeightsError(f"{reference}: this is an adapter; name its base as `model` and this folder as `adapter`")

    quantised = _four_bit(reference) if four_bit else {}

    def load() -> PreTrainedModel:
        with without_bars("transformers"):
            model = AutoModelForCausalLM.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, trust_remote_code=False, **quantised
            )
        loaded: PreTrainedModel = model.eval()
        return loaded

    try:
        base = shared_base(folder, dtype, load) if shared else Base(load())
        name = None if adapter is None else base.attach(fetched(adapter, _WANTED), reference)
    except (OSError, ValueError, TypeError, SafetensorError) as error:
        raise WeightsError(f"{reference}: the language model cannot be loaded: {first_line(error)}") from error
    format = load_format(reference, adapter, chat_template=chat_template, enable_thinking=enable_thinking)
    tokenizer, model = format.tokenizer, base.model

    ends = base.ends if tokenizer.eos_token_id is None else base.ends | {tokenizer.eos_token_id}
    # A tokenizer may bring a padding token that the model has no embedding for (Qwen2Tokenizer adds one that is missing).
    vocabulary = model.get_input_embeddings().num_embeddings
    pad = next(token for token in (tokenizer.pad_token_id, *sorted(ends), 0) if token is not None and token < vocabulary)
    return LoadedModel(base=base, adapter=name, format=format, ends=ends, pad=pad, context=_context(model.config))


def _four_bit(reference: str) -> dict[str, Any]:
    """What loads a base in 4 bits."""
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available() or find_spec("bitsandbytes") is None:
        raise WeightsError(f"{reference}: a 4-bit base needs a CUDA device and the package bitsandbytes")
    config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return {"quantization_config": config, "device_map": {"": torch.cuda.current_device()}}


def load_format(
    reference: str, adapter: str | None = None, *, chat_template: str | None = None, enable_thinking: bool = False
) -> ChatFormat:
    """The chat format of a model, its adapter's where that brings one; no weights are read. Errors: `WeightsError`."""
    from transformers import AutoTokenizer

    folder = fetched(reference, _WANTED)
    if adapter is not None and (fetched(adapter, _WANTED) / "tokenizer_config.json").is_file():
        folder = fetched(adapter, _WANTED)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{reference}: its tokenizer cannot be loaded: {first_line(error)}") from error
    return ChatFormat.of(tokenizer, chat_template, enable_thinking=enable_thinking, name=reference)


def context_length(reference: str) -> int | None:
    """How many tokens a model reads, by its configuration; None when that names no limit. Errors: `WeightsError`."""
    from transformers import AutoConfig

    try:
        return _context(AutoConfig.from_pretrained(fetched(reference, _WANTED), trust_remote_code=False))
    except (OSError, ValueError) as error:
        raise WeightsError(f"{reference}: its configuration cannot be read: {first_line(error)}") from error


def without_weights(reference: str) -> PreTrainedModel:
    """The model with no memory for its weights, for what its layers are. Errors: `WeightsError`."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(fetched(reference, _WANTED), trust_remote_code=False)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise WeightsError(f"{reference}: its configuration cannot be read: {first_line(error)}") from error
    return model


def _context(config: Any) -> int | None:
    return getattr(config.get_text_config(), "max_position_embeddings", None)
