"""Tiny pipelines of the real classes with random weights, saved to a folder: Wan, CogVideoX, Latte.

Each builds in a fraction of a second, weighs under a megabyte, needs no file and no network, and is loaded like any published
model: ``DiffusionPipeline.from_pretrained(folder)``. The weights are the same on every call.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

WORDS = (
    "a", "the", "red", "blue", "green", "circle", "square", "triangle", "moves", "rolls",
    "left", "right", "up", "down", "over", "under", "grass", "sand", "night", "slowly",
)  # fmt: skip


def t5_tokenizer(max_length: int = 512) -> Any:
    """A T5-style tokenizer: one token a word of `WORDS`, else one a letter after one for the word's start; and an end token."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = [f"▁{word}" for word in WORDS] + ["▁", *"abcdefghijklmnopqrstuvwxyz0123456789,.'-"]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0)] + [(piece, -2.0 - len(piece) % 2) for piece in pieces]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=max_length
    )


def wan_pipeline(folder: Path) -> Path:
    """A Wan 2.1 `WanPipeline`: sizes in multiples of 16 pixels, 4k + 1 frames, 8x8x4 compression, text width 32."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    tokenizer = t5_tokenizer()
    torch.manual_seed(0)
    pipeline = WanPipeline(
        tokenizer=tokenizer,
        text_encoder=UMT5EncoderModel(
            UMT5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
        ).eval(),
        transformer=WanTransformer3DModel(
            patch_size=(1, 2, 2), num_attention_heads=2, attention_head_dim=12, in_channels=16, out_channels=16, text_dim=32,
            freq_dim=64, ffn_dim=32, num_layers=2, cross_attn_norm=True, qk_norm="rms_norm_across_heads", rope_max_seq_len=32,
        ).eval(),
        vae=AutoencoderKLWan(
            base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
        ).eval(),
        scheduler=UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def cogvideox_pipeline(folder: Path) -> Path:
    """A CogVideoX `CogVideoXPipeline`: 16x16 pixels, 8 or 9 frames, text of 16 tokens (``max_sequence_length=16``)."""
    import torch
    from diffusers import AutoencoderKLCogVideoX, CogVideoXDDIMScheduler, CogVideoXPipeline, CogVideoXTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    tokenizer = t5_tokenizer(max_length=16)
    torch.manual_seed(0)
    blocks = ("CogVideoXDownBlock3D",) * 4, ("CogVideoXUpBlock3D",) * 4
    pipeline = CogVideoXPipeline(
        tokenizer=tokenizer,
        text_encoder=T5EncoderModel(
            T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
        ).eval(),
        transformer=CogVideoXTransformer3DModel(
            num_attention_heads=4, attention_head_dim=8, in_channels=4, out_channels=4, time_embed_dim=2, text_embed_dim=32,
            num_layers=1, sample_width=2, sample_height=2, sample_frames=9, patch_size=2, temporal_compression_ratio=4,
            max_text_seq_length=16,
        ).eval(),
        vae=AutoencoderKLCogVideoX(
            in_channels=3, out_channels=3, down_block_types=blocks[0], up_block_types=blocks[1], block_out_channels=(8, 8, 8, 8),
            latent_channels=4, layers_per_block=1, norm_num_groups=2, temporal_compression_ratio=4,
        ).eval(),
        scheduler=CogVideoXDDIMScheduler(),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder


def latte_pipeline(folder: Path) -> Path:
    """A `LattePipeline`, whose frames argument is called ``video_length`` (16 here), 64x64 pixels."""
    import torch
    from diffusers import AutoencoderKL, DDIMScheduler, LattePipeline, LatteTransformer3DModel
    from transformers import T5Config, T5EncoderModel

    tokenizer = t5_tokenizer(max_length=16)
    torch.manual_seed(0)
    pipeline = LattePipeline(
        tokenizer=tokenizer,
        text_encoder=T5EncoderModel(
            T5Config(vocab_size=len(tokenizer), d_model=32, d_kv=8, d_ff=64, num_layers=1, num_heads=4)
        ).eval(),
        transformer=LatteTransformer3DModel(
            sample_size=8, num_layers=1, patch_size=2, attention_head_dim=8, num_attention_heads=3, caption_channels=32,
            in_channels=4, cross_attention_dim=24, out_channels=8, attention_bias=True, activation_fn="gelu-approximate",
            num_embeds_ada_norm=1000, norm_type="ada_norm_single", norm_elementwise_affine=False, norm_eps=1e-6, video_length=16,
        ).eval(),
        vae=AutoencoderKL(block_out_channels=(8, 8, 8, 8), down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4, norm_num_groups=2,
        ).eval(),
        scheduler=DDIMScheduler(),
    )  # fmt: skip
    pipeline.save_pretrained(folder)
    return folder
