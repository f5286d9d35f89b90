"""Loads a Qwen2.5-VL folder whole: model, tokenizer, image settings. Safetensors only; none of its code is run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rapo_lightning.errors import WeightsError, first_line
from rapo_lightning.judges.vision_inputs import VisionInputs
from rapo_lightning.weights import fetched, without_bars

__all__ = ["QwenModel"]

_FILES = ["*.json", "*.safetensors", "*.jinja", "*.txt"]


@dataclass(frozen=True, slots=True, kw_only=True)
class QwenModel:
    """A loaded model: ``model`` and ``tokenizer`` of transformers, and the ``inputs`` that turn videos into its tensors."""

    model: Any
    tokenizer: Any
    inputs: VisionInputs

    @classmethod
    def load(cls, reference: str, *, dtype: str, on_cpu: bool, max_side: int | None) -> QwenModel:
        """The model of a local folder, or of the hub where there is none; it stays on the CPU until it is moved.

        ``dtype`` ``auto`` is the type the weights were saved in, but float32 for float16 on a CPU, where halves save no time
        and cost accuracy. Weights that are missing, of another kind or that bring code raise `WeightsError`.
        """
        import torch
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig, Qwen2_5_VLForConditionalGeneration

        try:
            folder = fetched(reference, _FILES)
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
            if config.model_type != "qwen2_5_vl":
                raise WeightsError(f"{reference}: a {config.model_type} model; this judge reads Qwen2.5-VL")
            if dtype == "auto" and on_cpu and config.dtype == torch.float16:
                dtype = "float32"
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            with without_bars("transformers"):
                model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=dtype, use_safetensors=True).eval()
            inputs = VisionInputs(folder, config, tokenizer, max_side=max_side)
        except (OSError, ValueError) as error:
            raise WeightsError(f"{reference}: the judge cannot be loaded: {first_line(error)}") from error
        # In place of the folder's own: its temperature and repetition penalty would bend what the judge says.
        ends = model.generation_config.eos_token_id
        pad = next(token for token in (tokenizer.pad_token_id, tokenizer.eos_token_id, 0) if token is not None)
        model.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=tokenizer.eos_token_id if ends is None else ends, pad_token_id=pad
        )
        return cls(model=model, tokenizer=tokenizer, inputs=inputs)
