"""The training loop of the tiny stack: AdamW, warm-up and cosine, weight averaging, CUDA graphs, exact resume.

The models are so small that a GPU spends its time waiting for kernel launches; capturing the whole step (forward, backward,
update) once as a CUDA graph and replaying it removes that and changes nothing. All randomness lives in ``batch(step)``, so a
step depends on its number alone and a resumed run continues exactly.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

__all__ = ["CAUSAL", "Fit", "fit"]

Batch = tuple[Tensor, ...]

#: For ``attention_mask`` of a Qwen2 model: plain causal attention. Left to itself, transformers builds a mask tensor when a step
#: is captured and none when it is not; the mask forbids flash attention, and compiled layers are then compiled again, too late.
CAUSAL = {"full_attention": None}


@dataclass(frozen=True, kw_only=True)
class Fit:
    """How to train. ``minutes``: end after this long, however many steps that is; the learning rate follows (0: no limit)."""

    steps: int
    rate: float  # peak learning rate
    minutes: float = 0.0
    warm_up: int = 200
    weight_decay: float = 0.01
    average: float = 0.999  # decay of the averaged weights
    save_every: int = 1000
    log_every: int = 200
    seed: int = 0
    graph: bool = True  # capture the step as a CUDA graph


def fit(
    name: str,
    model: nn.Module,
    batch: Callable[[int], Batch],
    loss: Callable[..., Tensor],
    options: Fit,
    folder: Path,
) -> dict[str, float]:
    """Train ``model`` on ``loss(*batch(step))`` and leave the averaged weights in it.

    Args:
        name: names the checkpoint ``<folder>/<name>.checkpoint`` and the log lines.
        batch: tensors of fixed shapes for a step; draws everything random.
        loss: a scalar; must not draw random numbers nor wait for the device.
        folder: holds the checkpoint; when it exists, training continues from it.

    Returns:
        ``steps`` and ``seconds``, those of earlier sessions included.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    device = parameters[0].device
    rate = torch.tensor(0.0, device=device)
    cuda = device.type == "cuda"
    began = time.perf_counter()
    optimizer = torch.optim.AdamW(
        parameters, lr=rate if cuda else options.rate, betas=(0.9, 0.98), weight_decay=options.weight_decay, capturable=cuda
    )
    average = [p.detach().clone() for p in parameters]
    checkpoint = folder / f"{name}.checkpoint"
    start, spent = 0, 0.0
    if checkpoint.exists():
        saved = torch.load(checkpoint, map_location=device, weights_only=True)
        for target, source in ((parameters, saved["weights"]), (average, saved["average"])):
            torch._foreach_copy_([t.data for t in target], source)
        optimizer.load_state_dict(saved["optimizer"])
        start, spent = saved["step"], saved["seconds"]

    def elapsed() -> float:
        return spent + time.perf_counter() - began

    def share(step: int) -> float:
        """How much of the training is done."""
        return max(step / options.steps, elapsed() / (60 * options.minutes) if options.minutes else 0.0)

    def save(step: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        state = {
            "weights": [p.detach() for p in parameters],
            "average": average,
            "optimizer": optimizer.state_dict(),
            "step": step,
            "seconds": elapsed(),
        }
        torch.save(state, checkpoint.with_suffix(".part"))
        checkpoint.with_suffix(".part").replace(checkpoint)

    def update(*tensors: Tensor) -> Tensor:
        value = loss(*tensors)
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0, foreach=True)
        optimizer.step()
        return value.detach()

    model.train()
    run = _Captured(update) if cuda and options.graph else update
    recent: list[Tensor] = []
    step = start
    while (done := share(step)) < 1.0:
        now = options.rate * min(1.0, (step + 1) / options.warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * done)))
        _set_rate(optimizer, rate, now, cuda)
        recent.append(run(*batch(step)).clone())
        torch._foreach_lerp_(average, [p.data for p in parameters], 1 - min(options.average, (step + 1) / (step + 10)))
        step += 1
        last = share(step) >= 1.0
        if step % options.log_every == 0 or last:
            value = float(torch.stack(recent).mean())
            recent.clear()
            line = {"name": name, "step": step, "of": options.steps, "loss": round(value, 6)}
            print(json.dumps(line | {"seconds": round(elapsed(), 1)}), flush=True)
            if not math.isfinite(value):
                raise FloatingPointError(f"{name}: the loss is {value} at step {step}")
        if step % options.save_every == 0 or last:
            save(step)
    torch._foreach_copy_([p.data for p in parameters], average)
    model.eval()
    return {"steps": float(step), "seconds": round(elapsed(), 1)}


def _set_rate(optimizer: torch.optim.Optimizer, tensor: Tensor, value: float, cuda: bool) -> None:
    """A captured step reads its rate from ``tensor``; elsewhere it is a plain number."""
    if cuda:
        tensor.fill_(value)
    for group in optimizer.param_groups:
        group["lr"] = tensor if cuda else value


class _Captured:
    """Runs a training step eagerly three times, then captures it as a CUDA graph and replays it."""

    def __init__(self, update: Callable[..., Tensor]) -> None:
        self.update = update
        self.calls = 0
        self.graph: torch.cuda.CUDAGraph | None = None
        self.inputs: Batch = ()
        self.output = torch.empty(())

    def __call__(self, *tensors: Tensor) -> Tensor:
        self.calls += 1
        if self.graph is None and self.calls <= 3:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                value = self.update(*tensors)
            torch.cuda.current_stream().wait_stream(stream)
            return value
        if self.graph is None:
            self.inputs = tuple(tensor.clone() for tensor in tensors)
            torch.cuda.synchronize()
            self.graph = torch.cuda.CUDAGraph()
            # Other threads of the process (data workers, compile caches) may talk to the device meanwhile.
            with torch.cuda.graph(self.graph, capture_error_mode="thread_local"):
                self.output = self.update(*self.inputs)
        for slot, tensor in zip(self.inputs, tensors, strict=True):
            slot.copy_(tensor)
        self.graph.replay()
        return self.output
