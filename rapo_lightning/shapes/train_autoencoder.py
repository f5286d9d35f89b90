"""Trains the tiny stack's video autoencoder (AutoencoderKLWan: 4x in space, 4x in time) on rendered clips.

    python -m rapo_lightning.shapes.train_autoencoder --out build/autoencoder
    python -m rapo_lightning.shapes.train_autoencoder --out build/autoencoder --small      # seconds on a CPU

Clips of 9 frames (the causal convolutions carry over to 17), first cropped to a quarter of the picture, which is four times as fast,
at the end whole. Object pixels weigh more than background, or the objects blur away.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rapo_lightning.shapes.dataset import Scenes, arranged_scenes
from rapo_lightning.shapes.fit import Fit, fit
from rapo_lightning.shapes.layout import FRAMES, SIDE

__all__ = ["autoencoder", "frames_to_input", "train"]

_CLIP = 9  # frames
_CROP = 32  # pixels
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


def train(out: Path, *, options: Fit, batch_size: int, scenes: int, workers: int, device: str, small: bool) -> dict[str, Any]:
    """Train, measure the latents' mean and spread into the configuration, and save the autoencoder to ``out``."""
    torch.manual_seed(options.seed)
    data = arranged_scenes(scenes, "train", options.seed, workers).to(device)
    vae = autoencoder(small).to(device)

    def clips(step: int, size: int) -> tuple[Tensor, Tensor, torch.Generator]:
        """Nine frames of random scenes and the weight of each pixel."""
        generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + step)
        index = torch.randint(len(data), (size,), generator=generator, device=device)
        first = int(torch.randint(FRAMES - _CLIP + 1, (), generator=torch.Generator().manual_seed(step)))
        frames, covered = data.frames(index, slice(first, first + _CLIP))
        return frames_to_input(frames), 1 + _OBJECT_WEIGHT * _widened(covered)[:, None], generator

    def noise(clip: Tensor, generator: torch.Generator) -> Tensor:
        shape = (len(clip), vae.config.z_dim, 1 + _CLIP // 4, clip.shape[3] // 4, clip.shape[4] // 4)
        return torch.randn(shape, generator=generator, device=device)

    def crops(step: int) -> tuple[Tensor, ...]:
        clip, weight, generator = clips(step, batch_size)
        corner = torch.randint(SIDE - _CROP + 1, (2, batch_size), generator=generator, device=device)
        clip, weight = (_cropped(tensor, corner, _CROP) for tensor in (clip, weight))
        return clip, weight, noise(clip, generator)

    def whole(step: int) -> tuple[Tensor, ...]:
        clip, weight, generator = clips(options.steps + step, max(1, batch_size // 4))
        return clip, weight, noise(clip, generator)

    def loss(clip: Tensor, weight: Tensor, noise: Tensor) -> Tensor:
        posterior = vae.encode(clip).latent_dist
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        difference = decoded - clip
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        error = (weight * (difference.abs() + 2 * difference.square())).sum() / (3 * weight.sum())
        return torch.as_tensor(error + _KL_WEIGHT * kl)

    result: dict[str, Any] = fit("autoencoder_crops", vae, crops, loss, options, out)
    ending = replace(options, steps=max(1, int(result["steps"]) // 8), minutes=0.0, rate=options.rate / 5, warm_up=50)
    whole_frames = fit("autoencoder", vae, whole, loss, ending, out)
    result = {name: result[name] + whole_frames[name] for name in ("steps", "seconds")}
    result |= {"parameters": sum(p.numel() for p in vae.parameters())} | _measure_latents(vae, data, batch_size)
    vae.save_pretrained(out)
    return result


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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--small", action="store_true", help="a tiny model and few steps, to try the script")
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--minutes", type=float, default=0.0, help="shorten the training to this many minutes")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--scenes", type=int, default=16_384)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--no-graph", action="store_true", help="do not capture the step as a CUDA graph")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    a = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    if a.small:
        a.steps, a.batch_size, a.scenes = min(a.steps, 4), 4, 16
    options = Fit(steps=a.steps, rate=a.rate, minutes=a.minutes, seed=a.seed, save_every=500, graph=not a.no_graph)
    result = train(
        a.out,
        options=options,
        batch_size=a.batch_size,
        scenes=a.scenes,
        workers=a.workers,
        device=a.device,
        small=a.small,
    )
    print(json.dumps({"name": "autoencoder"} | result))


if __name__ == "__main__":
    main()
