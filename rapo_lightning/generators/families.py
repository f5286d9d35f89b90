"""What is published about each family of text-to-video models: sizes, steps, guidance, precision, argument names. Data only.

Every value can be overridden by an argument of `DiffusersGenerator`. A model of no family below works too: then the pipeline's
own defaults hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rapo_lightning.errors import ConfigError

__all__ = ["FAMILIES", "Family", "family_of", "named_family"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The settings of a family; None leaves a value to the pipeline.

    ``pipelines`` are the class names that belong to it. ``dtype`` is the precision on an accelerator, ``vae_float32`` keeps
    the VAE out of it. ``rename`` maps our names to the pipeline's; ``fps`` is passed to the model only if renamed.
    ``tokens`` is the text encoder's limit. Heights and widths are multiples of ``size_step``, and frame counts are 1 more than
    a multiple of the pipeline's attribute ``frames_step``. ``encodes_negative`` says that ``encode_prompt`` and the call take
    the negative prompt's embedding apart, in the manner of Wan, so that it is computed once.
    """

    pipelines: tuple[str, ...] = ()
    height: int | None = None
    width: int | None = None
    num_frames: int | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    negative_prompt: str | None = None
    fps: float = 16.0
    tokens: int | None = None
    dtype: Literal["bfloat16", "float16"] = "bfloat16"
    vae_float32: bool = False
    rename: Mapping[str, str] = field(default_factory=dict)
    call: Mapping[str, Any] = field(default_factory=dict)
    size_step: int = 1
    frames_step: str | None = None
    encodes_negative: bool = False


FAMILIES: Mapping[str, Family] = {
    # Wan2.1-T2V-1.3B at 480p. Its folder's UniPC scheduler carries flow_shift 3.0; 720p wants flow_shift=5.0.
    "wan": Family(
        pipelines=("WanPipeline",),
        height=480,
        width=832,
        num_frames=81,
        num_inference_steps=50,
        guidance_scale=5.0,
        negative_prompt=(
            "washed-out or glaring colours, overexposure, a frozen picture, blur, heavy compression, grain, grey haze, captions, "
            "logos, a painted look, deformed hands or faces, extra or fused limbs, cluttered background, walking backwards"
        ),
        fps=16.0,
        tokens=512,
        vae_float32=True,
        size_step=16,
        frames_step="vae_scale_factor_temporal",
        encodes_negative=True,
    ),
    # Sizes and frames differ between CogVideoX and CogVideoX1.5 (which plays at 16 fps): the pipeline knows its own.
    "cogvideox": Family(
        pipelines=("CogVideoXPipeline",), num_inference_steps=50, guidance_scale=6.0, fps=8.0, tokens=226, size_step=8
    ),
    "hunyuan_video": Family(
        pipelines=("HunyuanVideoPipeline",),
        height=720,
        width=1280,
        num_frames=129,
        num_inference_steps=50,
        guidance_scale=6.0,
        fps=24.0,
        tokens=256,
        size_step=16,
        frames_step="vae_scale_factor_temporal",
    ),
    "latte": Family(
        pipelines=("LattePipeline",),
        height=512,
        width=512,
        num_frames=16,
        num_inference_steps=50,
        guidance_scale=7.5,
        fps=8.0,
        tokens=120,
        dtype="float16",
        rename={"num_frames": "video_length"},
        call={"clean_caption": False},
        size_step=8,
    ),
    "ltx": Family(
        pipelines=("LTXPipeline",),
        height=512,
        width=704,
        num_frames=161,
        num_inference_steps=50,
        guidance_scale=3.0,
        negative_prompt="poor quality, jerky motion, blur, flicker, distorted shapes",
        fps=25.0,
        tokens=128,
        rename={"fps": "frame_rate"},
        size_step=32,
        frames_step="vae_temporal_compression_ratio",
    ),
    "mochi": Family(
        pipelines=("MochiPipeline",),
        height=480,
        width=848,
        num_frames=163,
        num_inference_steps=64,
        guidance_scale=4.5,
        fps=30.0,
        tokens=256,
        size_step=8,
        frames_step="vae_temporal_scale_factor",
    ),
}


def family_of(pipeline: str) -> Family:
    """The family of a pipeline's class name, or one without settings."""
    return next((family for family in FAMILIES.values() if pipeline in family.pipelines), Family())


def named_family(name: str) -> Family:
    """The family of that name; another name is a `ConfigError`."""
    if name not in FAMILIES:
        raise ConfigError(f"family {name!r} is not known; choose from {', '.join(sorted(FAMILIES))}")
    return FAMILIES[name]
