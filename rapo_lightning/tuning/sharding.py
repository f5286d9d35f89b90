"""``trainer.strategy: fsdp2``: weights are spread over the devices; a checkpoint gathers those that are trained, no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any, final

import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

__all__ = ["Sharded"]


@final
class Sharded(ModelParallelStrategy):
    """FSDP2 over all ``processes``; a checkpoint is one file, as of any other strategy."""

    def __init__(self, processes: int) -> None:
        super().__init__(processes, tensor_parallel_size=1, save_distributed_checkpoint=False)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """The trained weights, whole, in the first process; all processes must ask."""
        assert self.model is not None
        options = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
        return get_model_state_dict(self.model, options=options)

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """What a checkpoint holds. Weights and optimizer are in place already; those are there to be looked at."""
        checkpoint = super().load_checkpoint(checkpoint_path, weights_only)
        path = self.broadcast(checkpoint_path)
        return checkpoint | {"state_dict": torch.load(path, mmap=True, map_location="cpu", weights_only=True)["state_dict"]}
