"""LoRA fine-tuning at the full size of an 8B model with random weights: tokens a second, against TRL with PEFT, and peak memory.

    export PYTORCH_ALLOC_CONF=expandable_segments:True            # for both sides, as `rapo train` does
    python -m benchmarks.lora --device cuda --compile             # needs trl, datasets and, for its best, liger-kernel
    python -m benchmarks.lora --compile --sides ours --devices 4  # DDP; to be compared with --devices 1
    python -m benchmarks.lora --size tiny --steps 4 --device cpu  # tries the script

Both sides learn the same lessons in the same batches of similar lengths, with the same rank, rate and precision, without gradient
checkpointing. Prints a JSON line a side: tokens a second (padding aside) over the timed steps, and every step's loss, for which
each step is waited for, on both sides.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
import time
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from lightning import Callback, Trainer

from benchmarks.lora_sizes import SIZES, make_lessons, make_model
from benchmarks.lora_trl import train_with_trl
from rapo_lightning.language.bases import Base
from rapo_lightning.language.chat_format import ChatFormat
from rapo_lightning.language.loading import LoadedModel
from rapo_lightning.launching import plain_lightning
from rapo_lightning.tuning.batches import BatchPlan, accumulation
from rapo_lightning.tuning.data import LessonData
from rapo_lightning.tuning.module import RewriterModule
from rapo_lightning.tuning.objectives import COMPILED_MULTIPLE
from rapo_lightning.tuning.tokens import TokenLesson

RANK = 64
RATE = 1.5e-4


def main() -> None:
    """Each side in turn. What TRL and Liger change about the model stays with it, so TRL comes last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--size", choices=SIZES, default="8b")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--devices", type=int, default=1, help="GPUs, or processes on a CPU, of our side")
    parser.add_argument("--batch-size", type=int, default=32, help="of each device")
    parser.add_argument("--micro-batch-size", type=int, default=32)
    parser.add_argument("--warm-up", type=int, default=5, help="steps that are not timed")
    parser.add_argument("--steps", type=int, default=25, help="steps that are")
    parser.add_argument("--sides", default="ours,trl")
    parser.add_argument("--peft-layers", action="store_true", help="PEFT's own LoRA layers on our side, too")
    parser.add_argument("--compile", action="store_true", help="compile the decoder's layers, on our side")
    options = parser.parse_args()
    if options.devices > 1 and options.sides != "ours":
        parser.error("--devices is for --sides ours")
    if options.devices == 1:
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # of several, TRL would want all
    # DDP runs this script once for each device.
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device(options.device, rank) if options.device == "cuda" else torch.device(options.device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    options.batch_size *= options.devices
    lessons = make_lessons(options.batch_size * (options.warm_up + options.steps), SIZES[options.size]["vocab_size"])
    model = make_model(options.size, device)
    curves: dict[str, list[float]] = {}
    for side in options.sides.split(","):
        line = _measured(side, model, lessons, options, device)
        curves[side] = line["losses"]
        if len(curves) == 2:
            line["losses_apart"] = round(max(abs(ours - theirs) for ours, theirs in zip(*curves.values(), strict=True)), 4)
        if rank == 0:
            print(json.dumps({"name": "lora", "side": side, **line}), flush=True)


def _measured(
    side: str, model: Any, lessons: Sequence[TokenLesson], options: argparse.Namespace, device: torch.device
) -> dict[str, Any]:
    """One side's figures, its memory, and what they are of."""
    on_cuda = device.type == "cuda"
    if on_cuda:
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.reset_accumulated_memory_stats()
    line = (_ours if side == "ours" else _trl)(model, lessons, options)
    return {
        **line,
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if on_cuda else None,
        # Memory given back and asked for anew amid a step: each time the device runs dry.
        "retries": torch.cuda.memory_stats()["num_alloc_retries"] if on_cuda else None,
        "size": options.size,
        "batch_size": options.batch_size // options.devices,
        "devices": options.devices,
        "compiled": options.compile and side == "ours",
        "device": torch.cuda.get_device_name(device) if on_cuda else "cpu",
        "torch": torch.__version__,
    }


def _ours(model: Any, lessons: Sequence[TokenLesson], options: argparse.Namespace) -> dict[str, Any]:
    steps = options.warm_up + options.steps
    micro_batches, _ = accumulation(options.batch_size, options.micro_batch_size, options.devices)
    module = RewriterModule(
        base="random",
        steps=steps,
        lora_options={"rank": RANK, "alpha": RANK, "dropout": 0.0},
        learning_rate=RATE,
        compile=options.compile,
    )
    with _peft_layers() if options.peft_layers else contextlib.nullcontext():
        module.attach_to(LoadedModel(base=Base(model), format=_NO_FORMAT, ends=frozenset(), pad=0, context=None))
    data = LessonData(
        [(lesson,) for lesson in lessons],
        [],
        pad=0,
        plan=_plan(lessons, options),
        micro_batches=micro_batches,
        validation_batch=1,
        multiple=COMPILED_MULTIPLE if options.compile else 1,
    )
    clock = _Clock(options.warm_up)
    precision: Any = "bf16-mixed" if options.device == "cuda" else "32-true"
    with tempfile.TemporaryDirectory() as folder, plain_lightning(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer = Trainer(
            default_root_dir=folder,
            accelerator="gpu" if options.device == "cuda" else "cpu",
            devices=options.devices,
            strategy="ddp" if options.devices > 1 else "auto",
            use_distributed_sampler=False,
            precision=precision,
            max_epochs=1,
            accumulate_grad_batches=micro_batches,
            gradient_clip_val=1.0,
            log_every_n_steps=1,
            logger=False,
            limit_val_batches=0,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[clock],
        )
        trainer.fit(module, data)
    losses = [loss for _, loss in sorted(module.losses.items())]
    module.model.unload()
    for part in model.modules():
        part._compiled_call_impl = None  # the other side has its own way
    return _line(clock.seconds, lessons, options, losses)


class _Clock(Callback):
    """Seconds from the end of the warm-up to the end."""

    def __init__(self, warm_up: int) -> None:
        self._warm_up, self._began, self.seconds = warm_up, 0.0, 0.0

    def on_train_batch_end(self, trainer: Any, *given: Any) -> None:
        if trainer.global_step == self._warm_up and not self._began:
            self._began = _now()

    def on_train_end(self, *given: Any) -> None:
        self.seconds = _now() - self._began


def _trl(model: Any, lessons: Sequence[TokenLesson], options: argparse.Namespace) -> dict[str, Any]:
    ordered = [lessons[row] for step in _plan(lessons, options).all() for row in step]
    micro_batches, size = accumulation(options.batch_size, options.micro_batch_size, 1)
    seconds, losses, liger = train_with_trl(
        model,
        ordered,
        steps=(options.warm_up, options.steps),
        batch=(size, micro_batches),
        rank=RANK,
        rate=RATE,
        on_cuda=options.device == "cuda",
        now=_now,
    )
    return {**_line(seconds, lessons, options, losses), "liger": liger}


def _plan(lessons: Sequence[TokenLesson], options: argparse.Namespace) -> BatchPlan:
    lengths = np.array([len(lesson.ids) for lesson in lessons])
    return BatchPlan(lengths=lengths, batch_size=options.batch_size, steps=options.warm_up + options.steps, seed=0)


def _line(seconds: float, lessons: Sequence[TokenLesson], options: argparse.Namespace, losses: Sequence[float]) -> dict[str, Any]:
    steps = _plan(lessons, options).all()[options.warm_up :]
    tokens = sum(len(lessons[row].ids) for step in steps for row in step)
    figures = {"tokens_per_second": round(tokens / seconds), "seconds_a_step": round(seconds / options.steps, 4)}
    return {**figures, "losses": [round(loss, 4) for loss in losses]}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


@contextlib.contextmanager
def _peft_layers() -> Any:
    """Adapters attached herein are as PEFT makes them."""
    from rapo_lightning.tuning import low_rank

    before = low_rank.add_in_place
    low_rank.add_in_place = lambda model: 0
    try:
        yield
    finally:
        low_rank.add_in_place = before


_NO_FORMAT: ChatFormat = None  # type: ignore[assignment]  # lessons are tokens already


if __name__ == "__main__":
    main()
