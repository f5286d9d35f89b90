"""Vision-language models of the real classes with random weights, saved as the hub has them; letters as tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

__all__ = ["MARKS", "internvl", "llava_onevision", "qwen25", "qwen3"]

MARKS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>", "<|image_pad|>",
         "<video>", "<image>", "<img>", "</img>", "<IMG_CONTEXT>"]  # fmt: skip
TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'video' %}VIDEO{% elif part.type == 'image' %}PICTURE{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""


def _tokenizer(folder: Path, video: str, picture: str) -> Any:
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import Qwen2Tokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, "Ye", "Yes", "No", "ĠY", "ĠYe", "ĠYes", *MARKS]
    merges = [("Y", "e"), ("Ye", "s"), ("N", "o"), ("Ġ", "Y"), ("ĠY", "e"), ("ĠYe", "s")]
    tokenizer: Any = Qwen2Tokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,
        extra_special_tokens=MARKS[1:],
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    tokenizer.chat_template = TEMPLATE.replace("VIDEO", video).replace("PICTURE", picture)
    tokenizer.save_pretrained(folder)
    return tokenizer


def _save(model: Any, folder: Path, seed: int, settings: dict[str, Any]) -> Path:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            noise = torch.randn(tensor.shape, generator=generator)
            tensor.copy_(1 + 0.1 * noise if "norm" in name and tensor.ndim == 1 and "bias" not in name else noise * 0.15)
    model.generation_config.update(do_sample=True, temperature=0.9, repetition_penalty=1.3)  # what a judge must not follow
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder


def _text(size: int) -> dict[str, Any]:
    return {
        "vocab_size": size, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 4096, "head_dim": 8, "pad_token_id": 262, "eos_token_id": 264,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]},
    }  # fmt: skip


def qwen25(folder: Path, *, video: bool = True) -> Path:
    """As Qwen/Qwen2.5-VL-7B-Instruct."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    tokenizer = _tokenizer(
        folder, "<|vision_start|><|video_pad|><|vision_end|>" if video else "", "<|vision_start|><|image_pad|><|vision_end|>"
    )
    config: Any = Qwen2_5_VLConfig(
        text_config=_text(len(tokenizer)),
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 8, "window_size": 32,
            "fullatt_block_indexes": [1], "tokens_per_second": 2, "out_hidden_size": 32,
        },
        **_ids(tokenizer, image="<|image_pad|>", video="<|video_pad|>"),
    )  # fmt: skip
    settings = {"min_pixels": 16 * 16, "max_pixels": 32 * 48, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.25]}
    return _save(Qwen2_5_VLForConditionalGeneration(config), folder, 1, settings)


def qwen3(folder: Path) -> Path:
    """As Qwen/Qwen3-VL-4B-Instruct."""
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    tokenizer = _tokenizer(folder, "<|vision_start|><|video_pad|><|vision_end|>", "<|vision_start|><|image_pad|><|vision_end|>")
    config: Any = Qwen3VLConfig(
        text_config=_text(len(tokenizer)),
        vision_config={
            "depth": 2, "hidden_size": 32, "intermediate_size": 48, "num_heads": 2, "patch_size": 8, "out_hidden_size": 32,
            "num_position_embeddings": 64, "deepstack_visual_indexes": [0], "temporal_patch_size": 2, "spatial_merge_size": 2,
        },
        **_ids(tokenizer, image="<|image_pad|>", video="<|video_pad|>"),
    )  # fmt: skip
    video = {"size": {"shortest_edge": 16 * 16 * 4, "longest_edge": 32 * 48 * 6}}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(video), encoding="utf-8")
    return _save(
        Qwen3VLForConditionalGeneration(config), folder, 2, {"size": {"shortest_edge": 16 * 16, "longest_edge": 64 * 64}}
    )


def internvl(folder: Path) -> Path:
    """As OpenGVLab/InternVL3-1B-hf."""
    from transformers import InternVLConfig, InternVLForConditionalGeneration, Qwen2Config

    tokenizer = _tokenizer(folder, "<video>\n", "<IMG_CONTEXT>\n")
    config: Any = InternVLConfig(
        text_config=Qwen2Config(**_plain(len(tokenizer))),
        vision_config={
            "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
            "image_size": [32, 32], "patch_size": [8, 8],
        },
        image_seq_length=4,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
    )  # fmt: skip
    settings = {"size": {"height": 32, "width": 32}, "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    return _save(InternVLForConditionalGeneration(config), folder, 3, settings)


def llava_onevision(folder: Path) -> Path:
    """As llava-hf/llava-onevision-qwen2-0.5b-ov-hf, whose places for frames are in chat_template.json only."""
    from transformers import LlavaOnevisionConfig, LlavaOnevisionForConditionalGeneration, Qwen2Config, SiglipVisionConfig

    tokenizer = _tokenizer(folder, "<video>\n", "<image>\n")
    template = (folder / "chat_template.jinja").read_text(encoding="utf-8")
    (folder / "chat_template.json").write_text(json.dumps({"chat_template": template}), encoding="utf-8")
    (folder / "chat_template.jinja").unlink()
    config: Any = LlavaOnevisionConfig(
        text_config=Qwen2Config(**_plain(len(tokenizer))),
        vision_config=SiglipVisionConfig(
            hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=40, patch_size=8,
            vision_use_head=False,
        ),
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=[[40, 40]],
    )  # fmt: skip
    settings = {"size": {"height": 40, "width": 40}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    return _save(LlavaOnevisionForConditionalGeneration(config), folder, 4, settings)


def _plain(size: int) -> dict[str, Any]:
    return {name: value for name, value in _text(size).items() if name not in ("rope_parameters", "head_dim")}


def _ids(tokenizer: Any, image: str, video: str) -> dict[str, Any]:
    names = {"image_token_id": image, "video_token_id": video, "vision_start_token_id": "<|vision_start|>",
             "vision_end_token_id": "<|vision_end|>"}  # fmt: skip
    return {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
