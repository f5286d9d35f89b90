"""Prompts as a Lightning data module: each prompt goes to exactly one process, in batches that are plain lists."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import final

import torch
from lightning import LightningDataModule
from lightning.fabric.utilities.warnings import PossibleUserWarning
from torch.utils.data import DataLoader, Dataset

from rapo_lightning.errors import InputError
from rapo_lightning.types import Prompt

__all__ = ["PromptData", "PromptDataset", "check_ranks"]


def check_ranks(prompts: int, processes: int) -> None:
    """Call before the Trainer starts: Lightning cannot predict on fewer items than processes.

    Raises:
        InputError: there are fewer prompts than processes, or none.
    """
    if prompts < 1:
        raise InputError("there are no prompts")
    if prompts < processes:
        raise InputError(f"{prompts} prompts cannot be shared over {processes} processes; use at most {prompts} devices")


@final
class PromptDataset(Dataset[Prompt]):
    """Prompts by index.

    Raises:
        InputError: two prompts have the same id.
    """

    def __init__(self, prompts: Sequence[Prompt]) -> None:
        counts = Counter(prompt.id for prompt in prompts)
        if twice := [key for key, count in counts.items() if count > 1]:
            raise InputError(f"prompt ids that occur twice: {', '.join(twice[:5])}")
        self.prompts = list(prompts)

    def __len__(self) -> int:
        return len(self.prompts)

    def __getitem__(self, index: int) -> Prompt:
        return self.prompts[index]


@final
class PromptData(LightningDataModule):
    """Gives `SSPOModule` its prompts, ``batch_size`` at a time (they take their rounds together)."""

    def __init__(self, prompts: Sequence[Prompt], batch_size: int = 1) -> None:
        super().__init__()
        self.dataset = PromptDataset(prompts)
        self.batch_size = batch_size

    def predict_dataloader(self) -> DataLoader[Prompt]:
        """The prompts in order; under several processes Lightning gives each process every n-th one."""
        # Lightning advises loader processes, which a list in memory has no use for.
        warnings.filterwarnings("ignore", ".*'predict_dataloader' does not have many workers", PossibleUserWarning)
        return DataLoader(self.dataset, batch_size=self.batch_size, collate_fn=list)

    def transfer_batch_to_device(self, batch: list[Prompt], device: torch.device, dataloader_idx: int) -> list[Prompt]:
        """The batch as it is: prompts hold no tensors, and Lightning's own transfer refuses frozen dataclasses."""
        return batch
