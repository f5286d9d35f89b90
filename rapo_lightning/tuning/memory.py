"""When memory runs out amid a training: whether an error says so, and which keys of the configuration would help."""

from __future__ import annotations

import torch
from torch.multiprocessing.spawn import ProcessRaisedException

from rapo_lightning.sections_train import TrainConfig
from rapo_lightning.tuning.lessons import Lessons

__all__ = ["advice", "ran_out"]

#: How torch, its allocators and CUDA's libraries say it, also in the words of a process that Lightning forked.
_SIGNS = ("out of memory", "OutOfMemoryError", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")


def ran_out(error: BaseException) -> bool:
    """Whether an error means that the device's memory, or the machine's, was not enough."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError | ProcessRaisedException) and any(sign in str(error) for sign in _SIGNS)


def advice(config: TrainConfig, lessons: Lessons, *, size: int, step: int | None, kept: int, on_cuda: bool) -> str:
    """One line: where memory ran out, the keys with which the same run goes on, and those that make it another.

    Args:
        size: lessons that a device learned from at once.
        step: the one under way; None: not known.
        kept: the last one with a checkpoint; 0: none.
        on_cuda: whether it was a GPU's memory.
    """
    longest = max(len(lesson.ids) for unit in (*lessons.learn, *lessons.validate) for lesson in unit)
    answers = " by two answers each" if config.objective == "dpo" else ""
    same = [f"micro_batch_size below {size}"] * (size > 1)
    same += ["gradient_checkpointing: true"] * (not config.gradient_checkpointing)
    same += ["check.optimize: null, whose models share the device"] * (config.check.optimize is not None)
    other = [f"data.max_length below {longest}", f"lora.rank below {config.lora.rank}"]
    if on_cuda:
        other += ["dtype: bfloat16"] * (config.dtype in ("auto", "float32") and not config.four_bit)
        other += ["four_bit: true"] * (not config.four_bit)
        other += ["trainer.strategy: fsdp2 on several GPUs"] * (config.trainer.get("strategy") != "fsdp2")
    after = f"after step {kept}" if kept else "from its beginning"
    goes_on = f"this run goes on {after} with {' or '.join(same)}; " if same else ""
    where = "" if step is None else f" at step {step}"
    return (
        f"out of memory{where}, with {size} lessons{answers} of at most {longest} tokens at once: {goes_on}"
        f"another one, in another folder, would need less with {', '.join(other)}"
    )
