"""What is minimised: the answers' cross-entropy (SFT), or how little a better answer is preferred to a worse one (DPO).

Both need the vocabulary's logits for the answers' tokens alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, final

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid
from torch.utils.checkpoint import checkpoint

from rapo_lightning.language.attention import for_any_length
from rapo_lightning.tuning.tokens import Batch

if TYPE_CHECKING:
    from peft import PeftModel
    from torch.distributed.device_mesh import DeviceMesh
    from transformers import PreTrainedModel

__all__ = ["COMPILED_MULTIPLE", "PREFERENCE_FIGURES", "Answers", "answer_losses", "preference_losses"]

#: What is told of preferences, under TRL's names: the implicit rewards of the better and the worse answer, whether the better
#: one's is the higher, and by how much.
PREFERENCE_FIGURES = ("rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins")

#: Compiled layers are given batches whose lengths are multiples of it: attention on CUDA cares for alignment, so that torch would
#: compile anew, for 10 to 15 s, for the first such length among others.
COMPILED_MULTIPLE = 8

#: Answer tokens whose logits are held at once; a vocabulary of 128 k makes 2 GB of them.
_CHUNK = 4096


@final
class Answers(torch.nn.Module):
    """An adapted model as one module whose forward pass is `answer_losses`, so that strategies can wrap it whole."""

    def __init__(self, model: PeftModel) -> None:
        super().__init__()
        self.model = model
        self.sharded = False

    def generate(self, **given: Any) -> Tensor:
        """Tokens as transformers' ``generate`` gives them. Sharded, all processes must ask for the same at the same time."""
        causal: Any = self.model.get_base_model()
        tokens: Tensor = causal.generate(**given, synced_gpus=self.sharded)
        return tokens

    def forward(self, batch: Batch) -> Tensor:
        """See `answer_losses`."""
        causal: Any = self.model.get_base_model()  # with the adapter's layers in it
        return answer_losses(causal, batch)

    def compile_layers(self) -> None:
        """Compile each block of the decoder by itself, for batches of any length; best of multiples of `COMPILED_MULTIPLE`."""
        causal: Any = self.model.get_base_model()
        for block in causal.get_decoder().layers:
            block.compile(dynamic=True)

    def shard(self, mesh: DeviceMesh) -> None:
        """Spread the weights over the devices of ``mesh`` (FSDP2), each block by itself."""
        from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

        causal: Any = self.model.get_base_model()
        for block in causal.get_decoder().layers:
            fully_shard(block, mesh=mesh)
        fully_shard(self, mesh=mesh)
        register_fsdp_forward_method(self, "generate")
        self.sharded = True


def answer_losses(model: PreTrainedModel, batch: Batch, chunk: int = _CHUNK) -> Tensor:
    """The negative log-likelihood of each answer token, (A,) float32.

    Only the hidden states that tell an answer's token go through the head, a chunk at a time, and a chunk's logits are computed
    again in the backward pass instead of kept.

    Args:
        model: a causal language model of transformers, LoRA layers included.
    """
    decoder, head = model.get_decoder(), model.get_output_embeddings()
    with for_any_length():
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


def preference_losses(losses: Tensor, reference: Tensor, batch: Batch, beta: float) -> tuple[Tensor, Tensor]:
    """DPO's loss of each preference (arXiv 2305.18290, equation 7), (B / 2,), and its `PREFERENCE_FIGURES`, (4, B / 2).

    Args:
        losses: `answer_losses` of the model that is trained, (A,).
        reference: the same of the model that it started from.
        batch: the better answers first, then the worse ones. Of a preference that fills up a share all is 0.
        beta: how dear it is to move away from the reference.
    """
    gains = torch.zeros_like(batch.counted).index_add(0, batch.rows, reference - losses)  # log ratios of whole answers
    chosen, rejected = (beta * gains).chunk(2)
    counted = batch.counted.chunk(2)[0]
    margins = chosen - rejected
    figures = torch.stack([chosen, rejected, (margins > 0).float(), margins])
    return -logsigmoid(margins) * counted, (figures * counted).detach()


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
