"""AdamW on an adapter, and its learning rate: up in a line, then down along a cosine to 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.optim.lr_scheduler import LambdaLR

__all__ = ["adamw", "warmed_cosine"]


def adamw(parameters: Sequence[torch.nn.Parameter], *, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """In one kernel where the parameters' devices have one."""
    fused = all(parameter.device.type in ("cpu", "cuda") for parameter in parameters)
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=weight_decay, fused=fused)
    # It could unscale float16's gradients itself, so Lightning refuses to clip them, in bfloat16 as well.
    optimizer._step_supports_amp_scaling = False
    return optimizer


def warmed_cosine(optimizer: torch.optim.Optimizer, *, steps: int, warmup: float) -> LambdaLR:
    """The rate of each of ``steps`` steps; it rises for the share ``warmup`` of them."""
    rising = round(warmup * steps)

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - rising) / max(1, steps - rising))))

    return LambdaLR(optimizer, factor)
