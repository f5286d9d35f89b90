"""What is minimised: the cross-entropy of the answers' tokens, with the vocabulary's logits of those tokens alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from rapo_lightning.tuning.tokens import Batch

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["answer_losses"]

#: Answer tokens whose logits are held at once; a vocabulary of 128 k makes 1 GB of them.
_CHUNK = 2048


def answer_losses(model: PreTrainedModel, batch: Batch, chunk: int = _CHUNK) -> Tensor:
    """The negative log-likelihood of each answer token, (A,) float32.

    Only the hidden states that tell an answer's token go through the head, a chunk at a time, and a chunk's logits are computed
    again in the backward pass instead of kept.

    Args:
        model: a causal language model of transformers, LoRA layers included.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    hidden_BLH = decoder(input_ids=batch.ids, use_cache=False).last_hidden_state
    hidden_AH = hidden_BLH.flatten(0, 1).index_select(0, batch.places)
    scale = _scale(model.config)

    def losses(hidden: Tensor, targets: Tensor) -> Tensor:
        logits = head(hidden).float()
        return cross_entropy(logits if scale is None else scale(logits), targets, reduction="none")

    parts = []
    for hidden, targets in zip(hidden_AH.split(chunk), batch.targets.split(chunk), strict=True):
        if torch.is_grad_enabled() and len(batch.targets) > chunk:
            parts.append(checkpoint(losses, hidden, targets, use_reentrant=False))
        else:
            parts.append(losses(hidden, targets))
    return torch.cat(parts)


def _scale(config: Any) -> Any:
    """What some families do to their logits; None for most."""
    config = config.get_text_config()
    if cap := getattr(config, "final_logit_softcapping", None):  # Gemma
        return lambda logits: cap * torch.tanh(logits / cap)
    if factor := getattr(config, "logit_scale", None):  # Cohere
        return lambda logits: logits * factor
    if divisor := getattr(config, "logits_scaling", None):  # Granite
        return lambda logits: logits / divisor
    return None
