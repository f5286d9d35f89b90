"""Trains the tiny stack's video autoencoder (AutoencoderKLWan: 4x in space, 4x in time) on rendered clips.

    python -m rapo_lightning.shapes.train_autoencoder --out build/autoencoder
    python -m rapo_lightning.shapes.train_autoencoder --out build/autoencoder --small      # seconds on a CPU

Three stages: short clips cropped to a quarter of the picture, which is eight times as fast; then clips of full length, without
which the causal convolutions fall apart after the last frame they were trained on; then whole pictures. ``--steps`` and
``--minutes`` are those of the first, the others take theirs in proportion. Object pixels weigh more than background, or the
objects blur away.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rapo_lightning.shapes.dataset import Scenes, arranged_scenes
from rapo_lightning.shapes.fit import Fit, fit
from rapo_lightning.shapes.layout import FRAMES, SIDE
from rapo_lightning.shapes.script import run, training_parser

__all__ = ["STAGES", "Stage", "autoencoder", "frames_to_input", "train"]


class Stage(NamedTuple):
    """A part of the training: ``frames`` and ``side`` (pixels) of its clips, its share of the steps and of the peak rate."""

    frames: int
    side: int
    steps: float
    rate: float


STAGES = {
    "crops": Stage(frames=9, side=32, steps=1.0, rate=1.0),
    "clips": Stage(frames=17, side=32, steps=0.25, rate=0.3),
    "whole": Stage(frames=17, side=64, steps=0.05, rate=0.1),
}
_OBJECT_WEIGHT = 12.0
_KL_WEIGHT = 1e-4


def autoencoder(small: bool = False) -> Any:
    """A fresh AutoencoderKLWan with 4x spatial and 4x temporal compression."""
    from diffusers import AutoencoderKLWan

    channels = 4 if small else 12
    return AutoencoderKLWan(
        base_dim=4 if small else 16,
        z_dim=channels,
        dim_mult=[1, 2, 4],
        num_res_blocks=1,
        temperal_downsample=[True, True],
        latents_mean=[0.0] * channels,
        latents_std=[1.0] * channels,
        scale_factor_spatial=4,
        scale_factor_temporal=4,
    )


def frames_to_input(frames_BTHWC: Tensor) -> Tensor:
    """Frames in [0, 1] to the autoencoder's input, (B, C, T, H, W) in [-1, 1]."""
    return frames_BTHWC.permute(0, 4, 1, 2, 3).contiguous() * 2 - 1


def train(
    out: Path,
    *,
    options: Fit,
    batch_size: int,
    scenes: int,
    workers: int,
    device: str,
    small: bool = False,
    stages: Sequence[str] = tuple(STAGES),
    initial: Path | None = None,
) -> dict[str, Any]:
    """Train stage by stage, measure the latents' mean and spread into the configuration, and save the autoencoder to ``out``.

    Args:
        batch_size: clips a step in the first stage; stages with larger clips take proportionally fewer.
        stages: names of `STAGES`, in order.
        initial: an autoencoder to start from.
    """
    from diffusers import AutoencoderKLWan

    torch.manual_seed(options.seed)
    data = arranged_scenes(scenes, "train", options.seed, workers).to(device)
    vae = (AutoencoderKLWan.from_pretrained(str(initial)) if initial else autoencoder(small)).to(device)
    result: dict[str, Any] = {"steps": 0.0, "seconds": 0.0}
    for number, name in enumerate(stages):
        stage = STAGES[name]
        smaller = STAGES["crops"].frames * STAGES["crops"].side ** 2 / (stage.frames * stage.side**2)
        plan = replace(
            options,
            steps=max(1, round(options.steps * stage.steps)),
            minutes=options.minutes * stage.steps,
            rate=options.rate * stage.rate,
            seed=options.seed + number,
        )
        clips = _Clips(data, vae, stage, max(1, round(batch_size * smaller)), plan.seed, device)
        done = fit(f"autoencoder_{name}", vae, clips, partial(_loss, vae), plan, out)
        result = {key: result[key] + done[key] for key in result}
    result |= {"parameters": sum(p.numel() for p in vae.parameters())} | _measure_latents(vae, data, batch_size)
    vae.save_pretrained(out)
    return result


class _Clips:
    """The batches of a stage: clips (B, C, T, S, S), the weight of each pixel, and the noise of the latents."""

    def __init__(self, data: Scenes, vae: Any, stage: Stage, size: int, seed: int, device: str) -> None:
        self.data, self.vae, self.stage, self.size, self.seed, self.device = data, vae, stage, size, seed, device

    def __call__(self, step: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(self.device).manual_seed(self.seed * 1_000_003 + step)

        def below(limit: int, *shape: int) -> Tensor:
            return torch.randint(limit, shape, generator=generator, device=self.device)

        first = step % (FRAMES - self.stage.frames + 1)
        frames, covered = self.data.frames(below(len(self.data), self.size), slice(first, first + self.stage.frames))
        clip, weight = frames_to_input(frames), 1 + _OBJECT_WEIGHT * _widened(covered)[:, None]
        if self.stage.side < SIDE:
            corner = below(SIDE - self.stage.side + 1, 2, self.size)
            clip, weight = (_cropped(tensor, corner, self.stage.side) for tensor in (clip, weight))
        grid = (1 + self.stage.frames // 4, self.stage.side // 4, self.stage.side // 4)
        shape = (self.size, self.vae.config.z_dim, *grid)
        return clip, weight, torch.randn(shape, generator=generator, device=self.device)


def _loss(vae: Any, clip: Tensor, weight: Tensor, noise: Tensor) -> Tensor:
    posterior = vae.encode(clip).latent_dist
    decoded = vae.decode(posterior.mean + posterior.std * noise).sample
    difference = decoded - clip
    kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
    error = (weight * (difference.abs() + 2 * difference.square())).sum() / (3 * weight.sum())
    return torch.as_tensor(error + _KL_WEIGHT * kl)


def _cropped(tensor: Tensor, corner: Tensor, size: int) -> Tensor:
    """A square of ``size`` pixels of each (C, T, H, W), its upper left at ``corner`` (2, B)."""
    axis = torch.arange(size, device=tensor.device)
    rows, columns = (corner[:, :, None] + axis).unbind(0)  # B size
    batch = torch.arange(len(tensor), device=tensor.device)[:, None, None]
    return tensor.permute(0, 3, 4, 1, 2)[batch, rows[:, :, None], columns[:, None, :]].permute(0, 3, 4, 1, 2).contiguous()


def _widened(covered: Tensor) -> Tensor:
    """The objects' coverage grown by two pixels: edges matter most."""
    return torch.nn.functional.max_pool2d(covered, 5, stride=1, padding=2)


@torch.no_grad()
def _measure_latents(vae: Any, data: Scenes, batch_size: int) -> dict[str, float]:
    means, errors = [], []
    for chunk in list(data.chunks(batch_size))[:16]:
        clip = frames_to_input(data.frames(chunk)[0])
        latents = vae.encode(clip).latent_dist.mean
        means.append(latents.float())
        errors.append((vae.decode(latents).sample - clip).square().mean())
    latents = torch.cat(means)
    vae.register_to_config(
        latents_mean=[round(float(v), 5) for v in latents.mean(dim=(0, 2, 3, 4))],
        latents_std=[round(float(v), 5) for v in latents.std(dim=(0, 2, 3, 4))],
    )
    return {"psnr": round(10 * float(torch.log10(4 / torch.stack(errors).mean())), 2)}


def main() -> None:
    parser = training_parser(__doc__, steps=5000, batch_size=64, scenes=16_384)
    parser.add_argument("--stages", nargs="+", choices=list(STAGES), default=list(STAGES))
    torch.backends.cudnn.benchmark = True
    run("autoencoder", train, parser, save_every=100)


if __name__ == "__main__":
    main()
