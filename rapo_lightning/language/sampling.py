"""Sampling in which a conversation's answer does not depend on the batch it is answered in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, final

if TYPE_CHECKING:
    import torch

__all__ = ["GumbelSampling"]


@final
class GumbelSampling:
    """A logits processor that turns greedy decoding into sampling at a ``temperature``, one random stream a row.

    The largest of ``logits / temperature + Gumbel noise`` is distributed as ``softmax(logits / temperature)`` (the Gumbel-max
    trick). Each row draws its noise from its own generator, seeded from ``seeds`` and advanced once a token, so a row's answer
    is the same alone and in any batch. The streams of a CPU and of an accelerator differ.
    """

    def __init__(self, seeds: Sequence[int], *, temperature: float, device: torch.device) -> None:
        import torch

        self._temperature = temperature
        self._generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids_BL: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        import torch

        logits_BV = scores_BV.float() / self._temperature
        exponential_BV = torch.empty_like(logits_BV)
        for row_V, generator in zip(exponential_BV, self._generators, strict=True):
            row_V.exponential_(generator=generator)
        return logits_BV - exponential_BV.clamp_min(torch.finfo(torch.float32).tiny).log()
