"""Trains the tiny text-to-video model (WanPipeline: WanTransformer3DModel, UMT5 encoder, flow matching) on cached latents.

    python -m rapo_lightning.shapes.train_video --autoencoder build/autoencoder --out build/video
    python -m rapo_lightning.shapes.train_video --autoencoder build/autoencoder --out build/video --small

The text encoder starts from nothing and learns with the transformer, from captions of one style only.
The pipeline saved to ``out`` loads with `diffusers.DiffusionPipeline`.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rapo_lightning.shapes.dataset import arranged_scenes, training_caption
from rapo_lightning.shapes.fit import Fit, fit
from rapo_lightning.shapes.script import run, training_parser
from rapo_lightning.shapes.tokens import sentences, train_tokenizer
from rapo_lightning.shapes.train_autoencoder import frames_to_input

__all__ = ["TEXT_LENGTH", "TextToVideo", "train"]

TEXT_LENGTH = 96  # tokens
_CAPTIONS = 3  # variants of each scene's caption
_DROPPED = 0.1  # share of captions replaced by the empty text, for classifier-free guidance
_OBJECT_WEIGHT = 6.0
_SHIFT = 5.0  # training favours noisy times
_SAMPLER_SHIFT = 8.0  # of the flow: where things are, and how many, is decided at high noise, and short steps there do it better


class TextToVideo(nn.Module):
    """The text encoder and the transformer, trained together; `velocity` is what WanPipeline computes at each step."""

    def __init__(self, vocabulary: int, channels: int, small: bool = False) -> None:
        super().__init__()
        from diffusers import WanTransformer3DModel
        from transformers import UMT5Config, UMT5EncoderModel

        width = 32 if small else 128
        self.text_encoder = UMT5EncoderModel(
            UMT5Config(
                vocab_size=vocabulary,
                d_model=width,
                d_kv=32,
                d_ff=2 * width,
                num_layers=1 if small else 3,
                num_heads=width // 32,
                dropout_rate=0.0,
                pad_token_id=0,
                eos_token_id=1,
                is_encoder_decoder=False,
            )
        )
        self.transformer: Any = WanTransformer3DModel(
            patch_size=(1, 2, 2),
            num_attention_heads=1 if small else 6,
            attention_head_dim=32,
            in_channels=channels,
            out_channels=channels,
            text_dim=width,
            freq_dim=64 if small else 256,
            ffn_dim=64 if small else 768,
            num_layers=1 if small else 8,
            cross_attn_norm=True,
            qk_norm="rms_norm_across_heads",
            rope_max_seq_len=64,
        )

    def load(self, folder: Path) -> None:
        """Take over the weights of a pipeline in ``folder``."""
        from safetensors.torch import load_file

        for part, file in (("text_encoder", "model.safetensors"), ("transformer", "diffusion_pytorch_model.safetensors")):
            state = {name: value.float() for name, value in load_file(str(folder / part / file)).items()}
            missing, unexpected = getattr(self, part).load_state_dict(state, strict=False)
            if unexpected or set(missing) - {"encoder.embed_tokens.weight"}:
                raise ValueError(f"{folder / part} does not fit: {[*missing, *unexpected][:4]}")

    def velocity(self, latents: Tensor, time_share: Tensor, tokens: Tensor, mask: Tensor) -> Tensor:
        """The predicted velocity (noise minus clean latents), (B, C, t, h, w); ``time_share`` in [0, 1], 1 is pure noise."""
        text = self.text_encoder(input_ids=tokens, attention_mask=mask).last_hidden_state * mask[..., None]
        return torch.as_tensor(self.transformer(latents, time_share * 1000, text, return_dict=False)[0])


def train(
    autoencoder: Path,
    out: Path,
    *,
    options: Fit,
    batch_size: int,
    scenes: int,
    workers: int,
    device: str,
    small: bool,
    compile: bool = False,
    initial: Path | None = None,
) -> dict[str, Any]:
    """Encode the training clips once, train on the latents, and save the whole pipeline to ``out``.

    ``initial``: a pipeline to start from; its autoencoder must be this one.
    """
    from diffusers import AutoencoderKLWan

    torch.manual_seed(options.seed)
    vae = AutoencoderKLWan.from_pretrained(str(autoencoder)).to(device).eval()
    tokenizer = _loaded_tokenizer(initial) if initial else _tokenizer(options.seed)
    began = time.perf_counter()
    latents, weights, tokens, masks = _encoded(vae, tokenizer, scenes, workers, options.seed, device, batch_size)
    print(json.dumps({"name": "video", "latents": list(latents.shape), "seconds": round(time.perf_counter() - began, 1)}))
    empty = tokenizer([""], padding="max_length", max_length=TEXT_LENGTH, return_tensors="pt").to(device)
    model = TextToVideo(len(tokenizer), vae.config.z_dim, small)
    if initial:
        model.load(initial)
    model.to(device)

    def batch(step: int) -> tuple[Tensor, ...]:
        generator = torch.Generator(device).manual_seed(options.seed * 1_000_003 + step)

        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=device)

        index = torch.randint(len(latents), (batch_size,), generator=generator, device=device)
        clean, weight = latents[index].float(), weights[index].float()
        noise = torch.randn(clean.shape, generator=generator, device=device)
        share = torch.sigmoid(torch.randn(batch_size, generator=generator, device=device))
        share = torch.where(uniform(batch_size) < 0.1, uniform(batch_size), share)  # the ends must be seen too
        share = _SHIFT * share / (1 + (_SHIFT - 1) * share)
        choice = torch.randint(_CAPTIONS, (batch_size,), generator=generator, device=device)
        dropped = (uniform(batch_size) < _DROPPED)[:, None]
        words = torch.where(dropped, empty["input_ids"], tokens[index, choice].long())
        mask = torch.where(dropped, empty["attention_mask"], masks[index, choice].long())
        return clean, weight, noise, share, words, mask

    def loss(clean: Tensor, weight: Tensor, noise: Tensor, share: Tensor, words: Tensor, mask: Tensor) -> Tensor:
        sigma = share[:, None, None, None, None]
        with torch.autocast(clean.device.type, torch.bfloat16, enabled=clean.is_cuda, cache_enabled=False):
            predicted = model.velocity((1 - sigma) * clean + sigma * noise, share, words, mask)
        error = (predicted.float() - (noise - clean)).square()
        return (weight * error).sum() / (weight.sum() * clean.shape[1])

    if compile:
        model.transformer.compile_repeated_blocks(dynamic=False)
    result: dict[str, Any] = fit("video", model, batch, loss, options, out)
    result["parameters"] = sum(p.numel() for p in model.parameters())
    _save(model, vae, tokenizer, out)
    return result


def _tokenizer(seed: int) -> Any:
    return train_tokenizer(sentences(20_000, seed), 1200, pad="<pad>", end="</s>")


def _loaded_tokenizer(pipeline: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(pipeline / "tokenizer")


@torch.no_grad()
def _encoded(
    vae: Any, tokenizer: Any, scenes: int, workers: int, seed: int, device: str, batch_size: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalised latents (N, C, 5, 16, 16) in half precision, loss weights (N, 1, 5, 16, 16), token ids and masks (N, 3, L)."""
    data = arranged_scenes(scenes, "train", seed + 1, workers).to(device)
    rng = np.random.default_rng(seed + 1)
    texts = [training_caption(scene, rng) for scene in data.scenes for _ in range(_CAPTIONS)]
    coded = tokenizer(texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt")
    tokens = coded["input_ids"].view(scenes, _CAPTIONS, TEXT_LENGTH).to(torch.int16).to(device)
    masks = coded["attention_mask"].view(scenes, _CAPTIONS, TEXT_LENGTH).to(torch.int8).to(device)
    mean = torch.tensor(vae.config.latents_mean, device=device)[:, None, None, None]
    spread = torch.tensor(vae.config.latents_std, device=device)[:, None, None, None]
    latents, weights = [], []
    for chunk in data.chunks(batch_size):
        frames, covered = data.frames(chunk)
        latents.append(((vae.encode(frames_to_input(frames)).latent_dist.mean - mean) / spread).half())
        weights.append((1 + _OBJECT_WEIGHT * _latent_coverage(covered)).half())
    return torch.cat(latents), torch.cat(weights), tokens, masks


def _latent_coverage(covered: Tensor) -> Tensor:
    """The objects' coverage on the latent grid: frame 0 alone, then frames four by four, (B, 1, 5, 16, 16)."""
    pooled = nn.functional.max_pool2d(covered, 4)
    later = pooled[:, 1:].unflatten(1, (-1, 4)).amax(dim=2)
    return torch.cat([pooled[:, :1], later], dim=1)[:, None]


def _save(model: TextToVideo, vae: Any, tokenizer: Any, out: Path) -> None:
    from diffusers import UniPCMultistepScheduler, WanPipeline

    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=_SAMPLER_SHIFT)
    pipeline: Any = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=model.text_encoder.half(),
        vae=vae.half(),
        scheduler=scheduler,
        transformer=model.transformer.half(),
    )
    pipeline.save_pretrained(out, safe_serialization=True)


def main() -> None:
    parser = training_parser(__doc__, steps=30_000, batch_size=128, scenes=65_536)
    parser.add_argument("--autoencoder", type=Path, required=True)
    parser.add_argument("--compile", action="store_true", help="compile the transformer's blocks")
    run("video", train, parser, warm_up=500, average=0.9995)


if __name__ == "__main__":
    main()
