"""TRL's side of `benchmarks.lora`: SFTTrainer with PEFT, at its best setting, on tokens in a given order."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from rapo_lightning.language.adapter import LINEAR_LAYERS
from rapo_lightning.language.attention import for_any_length
from rapo_lightning.tuning.tokens import TokenLesson

__all__ = ["train_with_trl"]


def train_with_trl(
    model: Any,
    lessons: Sequence[TokenLesson],
    *,
    steps: tuple[int, int],
    batch: tuple[int, int],
    rank: int,
    rate: float,
    on_cuda: bool,
    now: Callable[[], float],
) -> tuple[float, list[float], bool]:
    """Seconds of the timed steps, each step's loss, and whether Liger's kernels took part; ``model`` is left without adapter.

    Args:
        model: a causal language model.
        lessons: in the order in which they are learned from.
        steps: how many warm up, and how many are timed.
        batch: lessons at once, and how often gradients accumulate.
        rank: of the adapter; its alpha, too.
        rate: the peak learning rate.
        on_cuda: run there, in bfloat16.
        now: seconds, once the device is done.
    """
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import TrainerCallback
    from trl import SFTConfig, SFTTrainer

    warm_up, timed = steps
    clock = {"began": 0.0, "seconds": 0.0}

    class Clock(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            if state.global_step == warm_up:
                clock["began"] = now()

        def on_train_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
            clock["seconds"] = now() - clock["began"]

    rows = [{"input_ids": list(one.ids), "completion_mask": [0] * one.start + [1] * one.answer} for one in lessons]
    liger = on_cuda and find_spec("liger_kernel") is not None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = SFTConfig(
            output_dir=folder,
            max_steps=warm_up + timed,
            per_device_train_batch_size=batch[0],
            gradient_accumulation_steps=batch[1],
            learning_rate=rate,
            lr_scheduler_type="cosine",
            warmup_steps=round(0.1 * (warm_up + timed)),
            weight_decay=0.0,
            max_grad_norm=1.0,
            bf16=on_cuda,
            use_cpu=not on_cuda,
            optim="adamw_torch_fused" if on_cuda else "adamw_torch",
            gradient_checkpointing=False,
            use_liger_kernel=liger,
            train_sampling_strategy="sequential",
            completion_only_loss=True,
            max_length=None,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        )
        trainer = SFTTrainer(
            model=model,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=_tokenizer(),
            peft_config=LoraConfig(
                r=rank, lora_alpha=rank, lora_dropout=0.0, target_modules=list(LINEAR_LAYERS), task_type="CAUSAL_LM"
            ),
            callbacks=[Clock()],
        )
        with for_any_length():  # as on our side
            trainer.train()
    trainer.model.unload()
    return clock["seconds"], [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], liger


def _tokenizer() -> Any:
    """TRL wants one, for its padding token alone."""
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "a": 2}, unk_token="a"))
    made: Any = PreTrainedTokenizerFast
    return made(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")
