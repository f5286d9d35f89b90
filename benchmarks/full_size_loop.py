"""The physics loop on full-size models with random weights: seconds of each phase, loads and peak memory, through the real code.

    python -m benchmarks.full_size_loop --scratch /tmp/full_size           # one GPU with 78 GiB, 48 GB of disk, under 5 minutes
    python -m benchmarks.full_size_loop --scratch /tmp/tiny --tiny         # the same on any CPU in a minute or two

The model folders are built under ``--scratch`` (`benchmarks.full_size_models`; those that are there are used again), then
`rapo_lightning.workflows.optimize` runs configs/optimize/wan21_physics.yaml on them: 480x832, 81 frames, but few denoising
steps, prompts and tokens. Prints one JSON line for each phase as it ends and one for the whole; ``seconds`` of a phase leave out
the phases inside it. Random models give no scores: how good anything is, this cannot say.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.full_size_models import BUILDERS, ROOT, build

CONFIG = ROOT / "configs" / "optimize" / "wan21_physics.yaml"
FULL_SIZE_BYTES = 47e9


class Stopwatch:
    """Seconds and calls by phase. A phase inside another one stops the outer one's clock; one under 10 ms is not printed."""

    def __init__(self, synchronise: Callable[[], None]) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: Counter[str] = Counter()
        self._synchronise = synchronise
        self._open: list[tuple[str, float]] = []
        self._since = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._advance()
        self._open.append((name, 0.0))
        try:
            yield
        finally:
            self._advance()
            name, seconds = self._open.pop()
            self.seconds[name] += seconds
            self.calls[name] += 1
            if seconds >= 0.01:
                say(phase=name, seconds=round(seconds, 2))

    def watch(self, patches: ExitStack, owner: Any, attribute: str, name: str) -> None:
        """Time every call of a function or method as the phase ``name`` until ``patches`` are undone."""
        original = getattr(owner, attribute)

        @functools.wraps(original)
        def timed(*arguments: Any, **options: Any) -> Any:
            with self.phase(name):
                return original(*arguments, **options)

        patches.enter_context(mock.patch.object(owner, attribute, timed))

    def _advance(self) -> None:
        """Give the time since the last change of phase to the innermost open one."""
        self._synchronise()
        now = time.perf_counter()
        if self._open:
            name, seconds = self._open[-1]
            self._open[-1] = (name, seconds + now - self._since)
        self._since = now


def say(**values: Any) -> None:
    """One JSON line, at once."""
    print(json.dumps({"name": "full_size_loop", **values}), flush=True)


def main() -> int:
    """Build, run, print; returns the run's exit code (3, as random models score nothing)."""
    started = time.perf_counter()
    options = _options()
    import diffusers
    import torch
    import transformers

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() and not options.tiny else "cpu"
    if device == "cpu" and not options.tiny:
        raise SystemExit("the full size needs a GPU; --tiny runs anywhere")
    gpu = torch.cuda.get_device_name() if device == "cuda" else None
    versions = {module.__name__: module.__version__ for module in (torch, diffusers, transformers)}
    say(phase="start", device=gpu or "cpu", threads=torch.get_num_threads(), tiny=options.tiny, **versions)

    options.scratch.mkdir(parents=True, exist_ok=True)
    missing = [name for name in BUILDERS if not (options.scratch / name).is_dir()]
    if not options.tiny and len(missing) == len(BUILDERS) and shutil.disk_usage(options.scratch).free < FULL_SIZE_BYTES:
        raise SystemExit(f"{options.scratch}: {FULL_SIZE_BYTES / 1e9:.0f} GB must be free")
    for name, builder in BUILDERS.items():
        say(phase="build", model=name, **build(options.scratch / name, builder, device, tiny=options.tiny))

    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    watch = Stopwatch(torch.cuda.synchronize if device == "cuda" else lambda: None)
    loads: Counter[str] = Counter()
    left = options.minutes * 60 - (time.perf_counter() - started)
    with ExitStack() as patches:
        _time_parts(watch, patches)
        _count_loads(loads, patches)
        with watch.phase("rest"):
            outcome = _run(options, hours=max(left, 1.0) / 3600)
    candidates = [candidate for trajectory in outcome.trajectories for candidate in trajectory.candidates]
    say(
        phase="total",
        device=gpu or "cpu",
        seconds=round(time.perf_counter() - started, 1),
        seconds_by_phase={name: round(seconds, 2) for name, seconds in watch.seconds.items()},
        calls=dict(watch.calls),
        loads=dict(loads),
        peak_gpu_gigabytes=round(torch.cuda.max_memory_allocated() / 1e9, 2) if gpu else None,
        prompts=len(outcome.trajectories),
        rounds=1 + max((candidate.round for candidate in candidates), default=-1),
        videos=sum(len(candidate.videos) for candidate in candidates),
        refused_rewrites=sum(candidate.error is not None for candidate in candidates),
        denoising_steps=options.steps,
        max_new_tokens=options.max_new_tokens,
        exit_code=outcome.exit_code,
    )
    return int(outcome.exit_code)


def _run(options: argparse.Namespace, *, hours: float) -> Any:
    from rapo_lightning.workflows import optimize

    wan, judge, language = (options.scratch / name for name in BUILDERS)
    settings: dict[str, object] = {
        "generator.init_args.model": wan,
        "generator.init_args.num_inference_steps": options.steps,
        "judges.alignment.init_args.model": judge,
        "judges.alignment.init_args.max_new_tokens": options.max_new_tokens,
        "judges.physics.init_args.language_model.init_args.model": language,
        "judges.physics.init_args.max_new_tokens": options.max_new_tokens,
        "rewriter.init_args.language_model.init_args.model": language,
        "rewriter.init_args.max_new_tokens": options.max_new_tokens,
        # A greedy random model says the same again, and a repeated prompt is not rendered.
        "rewriter.init_args.temperature": 1.0,
        "loop.rounds": options.rounds - 1,
        "batch_size": options.prompts,
        "budget.max_hours": hours,
    }
    if options.tiny:
        settings |= {f"generator.init_args.{side}": 32 for side in ("height", "width")}
        settings |= {"generator.init_args.num_frames": 9, "trainer.accelerator": "cpu"}
    out = options.scratch / "run"
    shutil.rmtree(out, ignore_errors=True)
    return optimize(CONFIG, out=out, overrides=[f"{key}={value}" for key, value in settings.items()], limit=options.prompts)


def _time_parts(watch: Stopwatch, patches: ExitStack) -> None:
    from rapo_lightning.generators import diffusers as generator
    from rapo_lightning.judges.physics import PhysicsJudge
    from rapo_lightning.judges.qwen_model import QwenModel
    from rapo_lightning.judges.qwen_vl import QwenVLJudge
    from rapo_lightning.language import hugging_face
    from rapo_lightning.rewriters.llm import LLMRewriter

    watch.watch(patches, generator.DiffusersGenerator, "generate", "render")
    watch.watch(patches, QwenVLJudge, "judge", "judge alignment")
    watch.watch(patches, PhysicsJudge, "judge", "judge physics")
    watch.watch(patches, LLMRewriter, "rewrite", "rewrite")
    # From disk to main memory, and from there to the GPU.
    watch.watch(patches, generator, "load_pipeline", "load video model")
    watch.watch(patches, QwenModel, "load", "load judge")
    watch.watch(patches, hugging_face, "load_model", "load language model")
    watch.watch(patches, generator.DiffusersGenerator, "to", "place video model")
    watch.watch(patches, generator.DiffusersGenerator, "_place", "place video model")
    watch.watch(patches, QwenVLJudge, "to", "place judge")
    watch.watch(patches, hugging_face.HuggingFaceChat, "to", "place language model")


def _count_loads(loads: Counter[str], patches: ExitStack) -> None:
    """How often each class reads weights from disk."""
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    def counted(original: Any) -> Any:
        def load(cls: type, *arguments: Any, **options: Any) -> Any:
            loads[cls.__name__] += 1
            return original.__func__(cls, *arguments, **options)

        return classmethod(load)

    for base in (PreTrainedModel, ModelMixin):
        patches.enter_context(mock.patch.object(base, "from_pretrained", counted(base.from_pretrained)))


def _options() -> argparse.Namespace:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--scratch", type=Path, required=True, help="where model folders and the run go")
    parser.add_argument("--tiny", action="store_true", help="tiny models of the same classes, on the CPU")
    parser.add_argument("--prompts", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3, help="rounds in all, that of the user's prompts included; at least 2")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps (published: 50)")
    parser.add_argument("--max-new-tokens", type=int, default=64, help="of every reply; random models do not end by themselves")
    parser.add_argument("--minutes", type=float, default=4.0, help="no round begins later than this after the start")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
