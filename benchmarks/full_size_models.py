"""Model folders in the published sizes of Wan2.1-T2V-1.3B, Qwen2.5-VL-7B-Instruct and Qwen2.5-7B-Instruct, with random weights.

The folders are of the real classes and layouts, bfloat16 (the VAE float32) in sharded safetensors, 46 GB in all, and are loaded
like the published ones. Weights are what the classes' own initialisation gives: random, not zero. The tokenizers are made up:
trained on the suite's own prompts and filled up with invented words to the published vocabularies, so that whatever a random
model says is text. Replies are therefore never scored, and videos are noise; time and memory are what they would be.
"""

from __future__ import annotations

import csv
import gc
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice, product
from pathlib import Path
from typing import Any

__all__ = ["BUILDERS", "build"]

ROOT = Path(__file__).resolve().parents[1]

#: Tokens of Qwen2.5 from id 151643 on; the ids below that are ordinary text.
QWEN_SPECIAL = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>", "<|box_end|>",
    "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
QWEN_TEXT_TOKENS = 151_643
QWEN_CHAT = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}{% else %}{% for part in message.content -%}
{% if part.type == 'video' %}<|vision_start|><|video_pad|><|vision_end|>{% else %}{{ part.text }}{% endif %}
{%- endfor %}{% endif %}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}<|im_start|>assistant
{% endif -%}
"""
QWEN_7B: dict[str, Any] = {
    "vocab_size": 152_064,
    "hidden_size": 3584,
    "intermediate_size": 18_944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "bos_token_id": 151_643,
    "eos_token_id": 151_645,
}
QWEN_TINY: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
}
IMAGE_SETTINGS = {
    "image_processor_type": "Qwen2VLImageProcessor",
    "processor_class": "Qwen2_5_VLProcessor",
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "min_pixels": 3136,
    "max_pixels": 12_845_056,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def build(folder: Path, builder: Callable[[Path, str, bool], None], device: str, *, tiny: bool) -> dict[str, Any]:
    """Make one model folder unless it is there already, whole; returns seconds, GB and whether it was there."""
    import torch

    started = time.perf_counter()
    was_there = folder.is_dir()
    if not was_there:
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        builder(unfinished, device, tiny)
        unfinished.rename(folder)
        if device == "cuda":
            gc.collect()
            torch.cuda.empty_cache()
    size = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    return {"seconds": round(time.perf_counter() - started, 1), "gigabytes": round(size / 1e9, 2), "was_there": was_there}


def wan(folder: Path, device: str, tiny: bool) -> None:
    """Wan2.1-T2V-1.3B: UMT5-XXL encoder, DiT of 30 layers, the VAE of all Wan2.1 models."""
    import torch
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    encoder: dict[str, Any] = {"d_model": 4096, "d_kv": 64, "d_ff": 10_240, "num_layers": 24, "num_heads": 64}
    denoiser: dict[str, Any] = {
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "ffn_dim": 8960,
        "num_layers": 30,
        "text_dim": 4096,
    }
    autoencoder: dict[str, Any] = {}
    if tiny:
        encoder = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
        denoiser = {"num_attention_heads": 2, "attention_head_dim": 12, "ffn_dim": 32, "num_layers": 2, "text_dim": 32}
        autoencoder = {"base_dim": 3, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 1}
    with _made_on(device, torch.bfloat16):
        text_encoder = UMT5EncoderModel(UMT5Config(vocab_size=256_384, **encoder))
        transformer = WanTransformer3DModel(**denoiser)
    with _made_on(device, torch.float32):
        vae = AutoencoderKLWan(**autoencoder)
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    pipeline: Any = WanPipeline(
        tokenizer=_t5_tokenizer(), text_encoder=text_encoder, transformer=transformer, vae=vae, scheduler=scheduler
    )
    pipeline.save_pretrained(folder, max_shard_size="5GB")


def qwen_vl(folder: Path, device: str, tiny: bool) -> None:
    """Qwen2.5-VL-7B-Instruct: a vision tower of 32 layers before the language model of 28."""
    import torch
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision: dict[str, Any] = {
        "depth": 32,
        "hidden_size": 1280,
        "out_hidden_size": 3584,
        "intermediate_size": 3420,
        "num_heads": 16,
    }
    sections = [16, 24, 24]
    if tiny:
        vision = {
            "depth": 2,
            "hidden_size": 32,
            "out_hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "fullatt_block_indexes": [1],
        }
        sections = [2, 3, 3]
    rope = {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": sections}
    text = {**QWEN_7B, **(QWEN_TINY if tiny else {}), "max_position_embeddings": 128_000, "rope_parameters": rope}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={**vision, "tokens_per_second": 2},
        vision_start_token_id=151_652,
        vision_end_token_id=151_653,
        image_token_id=151_655,
        video_token_id=151_656,
        tie_word_embeddings=False,
    )
    with _made_on(device, torch.bfloat16):
        model = Qwen2_5_VLForConditionalGeneration(config)
    model.save_pretrained(folder, max_shard_size="5GB")
    _qwen_tokenizer().save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(IMAGE_SETTINGS), encoding="utf-8")


def qwen(folder: Path, device: str, tiny: bool) -> None:
    """Qwen2.5-7B-Instruct."""
    import torch
    from transformers import Qwen2Config, Qwen2ForCausalLM

    rope = {"rope_type": "default", "rope_theta": 1_000_000.0}
    config = Qwen2Config(**{**QWEN_7B, **(QWEN_TINY if tiny else {}), "max_position_embeddings": 32_768, "rope_parameters": rope})
    with _made_on(device, torch.bfloat16):
        model = Qwen2ForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="5GB")
    _qwen_tokenizer().save_pretrained(folder)


#: The video model comes first: a measurement that is cut off has its largest part.
BUILDERS: dict[str, Callable[[Path, str, bool], None]] = {
    "Wan2.1-T2V-1.3B-Diffusers": wan,
    "Qwen2.5-VL-7B-Instruct": qwen_vl,
    "Qwen2.5-7B-Instruct": qwen,
}


@contextmanager
def _made_on(device: str, dtype: Any) -> Iterator[None]:
    """Modules made inside are on the device and of the type from the start."""
    import torch

    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            yield
    finally:
        torch.set_default_dtype(before)


def _sentences() -> list[str]:
    """What is said in a run: the instructions and the examples of the physics task."""
    templates = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "rapo_lightning" / "templates").glob("*.md"))]
    with (ROOT / "configs" / "optimize" / "physics_examples.csv").open(encoding="utf-8", newline="") as file:
        return [*templates, *(value for row in csv.reader(file) for value in row)]


def _syllables() -> list[str]:
    return ["".join(letters) for letters in product("bdfgklmnprstvz", "aeiou")]


def _qwen_tokenizer() -> Any:
    """Byte-level BPE; invented words of three syllables fill it up to the special tokens, which have the published ids."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trained.train_from_iterator(
        _sentences(), trainers.BpeTrainer(vocab_size=3000, initial_alphabet=alphabet, show_progress=False)
    )
    learned = json.loads(trained.to_str())["model"]
    vocabulary: dict[str, int] = learned["vocab"]
    words = (word for parts in product(_syllables(), repeat=3) if (word := "Ġ" + "".join(parts)) not in vocabulary)
    for word in list(islice(words, QWEN_TEXT_TOKENS - len(vocabulary))):
        vocabulary[word] = len(vocabulary)

    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in learned["merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in QWEN_SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        extra_special_tokens=[token for token in QWEN_SPECIAL if token not in {"<|endoftext|>", "<|im_end|>"}],
        chat_template=QWEN_CHAT,
    )


def _t5_tokenizer() -> Any:
    """Unigram pieces for the words of the examples, for the syllables of invented words and for single characters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = dict.fromkeys(f"▁{word}" for sentence in _sentences() for word in sentence.split())
    characters = dict.fromkeys(character for sentence in _sentences() for character in sentence if not character.isspace())
    pieces = dict.fromkeys([*words, *_syllables(), "▁", *characters])
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), *((piece, -2.0) for piece in pieces)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=2))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )
