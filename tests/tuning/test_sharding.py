"""FSDP2: what a checkpoint gathers; that sharded weights learn and write the same is `test_training`'s."""

from __future__ import annotations

import torch

from rapo_lightning.tuning.sharding import Sharded


def test_frozen_weights_are_not_gathered() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Linear(3, 1))
    model[0].requires_grad_(False)
    strategy = Sharded(1)
    strategy.model = model
    assert strategy.lightning_module_state_dict().keys() == {"1.weight", "1.bias"}
