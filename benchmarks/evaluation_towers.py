"""Backbones of the evaluation at their real or at a small size, with random weights, in the files that the real ones come in."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["save_towers", "save_videos"]


def save_towers(folder: Path, *, small: bool) -> dict[str, str]:
    """Write DINO, both CLIPs, LAION's head, MUSIQ and, with torchvision, RAFT; returns paths by the weights' names."""
    torch.manual_seed(0)
    paths = {
        "dino_vitb16": _dino(folder / "dino", small),
        "clip_b32": _clip(folder / "b32", 768, 12, 32, 512, 512, small),
        "clip_l14": _clip(folder / "l14", 1024, 24, 14, 768, 768, small),
        "laion_head": folder / "head.pth",
        "musiq_spaq": folder / "musiq.pth",
    }
    torch.save({"weight": torch.randn(1, 64 if small else 768), "bias": torch.tensor([5.0])}, paths["laion_head"])
    torch.save(musiq_state(small), paths["musiq_spaq"])
    try:
        from torchvision.models.optical_flow import raft_large  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except (ImportError, RuntimeError):
        return {name: str(path) for name, path in paths.items()}
    torch.save(raft_large(weights=None).state_dict(), folder / "raft.pth")
    return {name: str(path) for name, path in (paths | {"raft": folder / "raft.pth"}).items()}


def save_videos(folder: Path, count: int, frames: int, height: int, width: int) -> list[str]:
    """H.264 files of soft pictures that wander, with some noise; 8 frames a second, so that no set is a long one."""
    import av
    import numpy as np

    paths = []
    for number in range(count):
        generator = np.random.default_rng(number)
        coarse = torch.tensor(generator.uniform(0, 255, (1, 3, 12, 20)), dtype=torch.float32)
        size = (height + 2 * frames, width + 3 * frames)
        picture = torch.nn.functional.interpolate(coarse, size=size, mode="bicubic")[0].permute(1, 2, 0).numpy()
        path = folder / f"{number}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=max(8, math.ceil(frames / 4.9)))
            stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
            for t in range(frames):
                view = picture[2 * t : 2 * t + height, 3 * t : 3 * t + width] + generator.normal(0, 6, (height, width, 3))
                frame = av.VideoFrame.from_ndarray(np.clip(view, 0, 255).astype(np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        paths.append(str(path))
    return paths


def musiq_state(small: bool) -> dict[str, Tensor]:
    """Tensors of MUSIQ's checkpoint by name."""
    width, middle, blocks = (64, 96, 2) if small else (384, 1152, 14)
    narrow, wide = (32, 64) if small else (64, 256)
    shapes: dict[str, tuple[int, ...]] = {
        "conv_root.weight": (64, 3, 7, 7),
        "block1.conv1.weight": (narrow, 64, 1, 1),
        "block1.conv2.weight": (narrow, narrow, 3, 3),
        "block1.conv3.weight": (wide, narrow, 1, 1),
        "block1.conv_proj.weight": (wide, 64, 1, 1),
    }
    at = "transformer_encoder"
    norms = {"gn_root": 64, "block1.gn1": narrow, "block1.gn2": narrow, "block1.gn3": wide, "block1.gn_proj": wide}
    linears = {"embedding": (width, 64 * wide), "head": (1, width)}
    for block in range(blocks):
        here = f"{at}.transformer.encoderblock_{block}"
        norms |= {f"{here}.norm1": width, f"{here}.norm2": width}
        linears |= {f"{here}.attention.{name}": (width, width) for name in ("query", "key", "value", "out")}
        linears |= {f"{here}.mlp.fc1": (middle, width), f"{here}.mlp.fc2": (width, middle)}
    norms[f"{at}.encoder_norm"] = width
    shapes |= {f"{at}.posembed_input.position_emb": (1, 100, width), f"{at}.scaleembed_input.scale_emb": (3, width)}
    shapes |= {f"{at}.cls": (1, 1, width)} | {f"{name}.weight": shape for name, shape in linears.items()}
    state = {name: torch.randn(shape) / math.prod(shape[1:]) ** 0.5 for name, shape in shapes.items()}
    state |= {f"{name}.bias": torch.zeros(shape[0]) for name, shape in linears.items()}
    state |= {
        f"{name}.{kind}": torch.full((size,), float(kind == "weight"))
        for name, size in norms.items()
        for kind in ("weight", "bias")
    }
    return state


def _dino(folder: Path, small: bool) -> Path:
    from transformers import ViTConfig, ViTModel

    small_sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 1, "intermediate_size": 96}
    config = ViTConfig(image_size=224, patch_size=32 if small else 16, **(small_sizes if small else {}))
    ViTModel(config).save_pretrained(folder)
    return folder


def _clip(folder: Path, width: int, layers: int, patch: int, text_width: int, projected: int, small: bool) -> Path:
    from transformers import CLIPConfig, CLIPModel

    if small:
        width, layers, patch, text_width, projected = 64, 2, 56, 64, 64
    letters = _tokenizer(folder)
    vision = {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "image_size": 224,
        "patch_size": patch,
    }
    text = {
        "vocab_size": letters,
        "hidden_size": text_width,
        "intermediate_size": 4 * text_width,
        "num_hidden_layers": 2 if small else 12,
        "num_attention_heads": text_width // 64,
        "max_position_embeddings": 77,
    }
    CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=projected)).save_pretrained(folder)
    return folder


def _tokenizer(folder: Path) -> int:
    """A tokenizer of CLIP's class that knows letters; returns how many tokens it has."""
    from tokenizers.pre_tokenizers import ByteLevel
    from transformers import CLIPTokenizer

    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    make: Any = CLIPTokenizer
    make(vocab={token: number for number, token in enumerate(tokens)}, merges=[]).save_pretrained(folder)
    return len(tokens)
