"""ViCLIP's two dimensions against its towers written out plainly, over sizes, lengths and prompts."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from evaluation.backbones.tokens import tokenize
from evaluation.backbones.viclip import ViClip
from evaluation.errors import ClipError, WeightsError
from evaluation.metrics.overall_consistency import OverallConsistency
from evaluation.metrics.temporal_style import TemporalStyle
from evaluation.video import resize
from evaluation.video.clip import Clip, Record
from tests.evaluation import reference, tiny
from tests.evaluation.videos import clip_of

WIDTH, WORDS, PATCH, LENGTH = 128, 516, 56, 32
CLIPS = [clip_of(11, 50, 90, 1), clip_of(8, 70, 40, 2), clip_of(3, 64, 64, 3), clip_of(81, 30, 30, 4, fps=16)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    vision, text = "vision_encoder.", "text_encoder."
    shapes: dict[str, tuple[int, ...]] = {
        f"{vision}conv1.weight": (WIDTH, 3, 1, PATCH, PATCH), f"{vision}class_embedding": (WIDTH,),
        f"{vision}positional_embedding": (17, WIDTH), f"{vision}temporal_positional_embedding": (1, 8, WIDTH),
        f"{vision}proj": (WIDTH, 32), f"{text}token_embedding.weight": (WORDS, 64),
        f"{text}positional_embedding": (LENGTH, 64), f"{text}text_projection": (64, 32),
    }  # fmt: skip
    norms = {f"{vision}ln_pre": WIDTH, f"{vision}ln_post": WIDTH, f"{text}ln_final": 64}
    for tower, width in ((vision, WIDTH), (text, 64)):
        for block in range(2):
            at = f"{tower}transformer.resblocks.{block}."
            norms |= {f"{at}ln_1": width, f"{at}ln_2": width}
            shapes |= {f"{at}attn.in_proj_weight": (3 * width, width), f"{at}attn.in_proj_bias": (3 * width,),
                       f"{at}attn.out_proj.weight": (width, width), f"{at}attn.out_proj.bias": (width,),
                       f"{at}mlp.c_fc.weight": (96, width), f"{at}mlp.c_fc.bias": (96,),
                       f"{at}mlp.c_proj.weight": (width, 96), f"{at}mlp.c_proj.bias": (width,)}  # fmt: skip
    state = {name: torch.randn(s, generator=generator) / math.prod(s[1:] or (9,)) ** 0.5 for name, s in shapes.items()}
    for name, width in norms.items():
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=generator)
        state[f"{name}.bias"] = 0.2 * torch.randn(width, generator=generator)
    path = tmp_path_factory.mktemp("viclip")
    torch.save({"model": {**state, "temp": torch.tensor(0.01)}}, path / "ViClip-InternVid-10M-FLT.pth")
    tiny.clip_folder(path / "clip")
    return path


def backbone(folder: Path) -> ViClip:
    return ViClip(folder / "ViClip-InternVid-10M-FLT.pth", folder / "clip")


def tower(state: dict[str, Tensor], at: str) -> dict[str, Tensor]:
    """The tower's tensors with the fused projection cut in three."""
    cut: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.startswith(at):
            short = name.removeprefix(at)
            if ".in_proj_" in short:
                head, kind = short.split(".in_proj_")
                cut |= {f"{head}.{which}.{kind}": third for which, third in zip("qkv", tensor.chunk(3))}
            else:
                cut[short] = tensor
    return cut


NAMES = {"norm1": "ln_1", "norm2": "ln_2", "q": "attn.q", "k": "attn.k", "v": "attn.v", "out": "attn.out_proj",
         "up": "mlp.c_fc", "down": "mlp.c_proj"}  # fmt: skip


def video_by_hand(frames: Tensor, state: dict[str, Tensor]) -> Tensor:
    own = {name: value.double() for name, value in tower(state, "vision_encoder.").items()}
    kernel = {"c.weight": own["conv1.weight"][:, :, 0]}
    seen = [reference.patches(frame.double(), kernel, "c") for frame in frames]
    tokens = [own["class_embedding"] + own["positional_embedding"][0]]
    for patch in range(len(seen[0])):
        for time in range(len(seen)):
            place = own["positional_embedding"][1 + patch] + own["temporal_positional_embedding"][0, time]
            tokens.append(seen[time][patch] + place)
    x = reference.norm(torch.stack(tokens), own, "ln_pre", 1e-5)
    x = reference.encoder(x, own, "transformer.resblocks", NAMES, WIDTH // 64, 1e-5, reference.quick_gelu)
    return reference.norm(x[0], own, "ln_post", 1e-5) @ own["proj"]


def text_by_hand(ids: list[int], state: dict[str, Tensor]) -> Tensor:
    own = {name: value.double() for name, value in tower(state, "text_encoder.").items()}
    x = own["token_embedding.weight"][ids] + own["positional_embedding"][: len(ids)]
    mask = torch.full((len(ids), len(ids)), -torch.inf, dtype=torch.float64).triu(1)
    x = reference.encoder(x, own, "transformer.resblocks", NAMES, 1, 1e-5, reference.quick_gelu, mask)
    return reference.norm(x[-1], own, "ln_final", 1e-5) @ own["text_projection"]


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: str(clip.frames_THWC.shape))
@pytest.mark.parametrize("prompt", ["The sea", "the " * 50])
def test_both_dimensions(folder: Path, clip: Clip, prompt: str) -> None:
    state = torch.load(folder / "ViClip-InternVid-10M-FLT.pth", weights_only=True)["model"]
    total, parts = len(clip.frames_THWC), min(8, len(clip.frames_THWC))
    edges = [int(total * i / parts) for i in range(parts + 1)]
    chosen = [(edges[i] + edges[i + 1] - 1) // 2 for i in range(parts)]
    frames = resize.clip_u8(clip.frames_TCHW[chosen + chosen[-1:] * (8 - parts)])
    whole = tokenize(folder / "clip", prompt, 77, cut=False)[0].tolist()
    whole = whole[: whole.index(515) + 1]
    ids = whole if len(whole) <= LENGTH else [*whole[: LENGTH - 1], 515]
    expected = reference.cosine(video_by_hand(frames, state), text_by_hand(ids, state))
    for metric in (TemporalStyle(backbone(folder)), OverallConsistency(backbone(folder))):
        metric.update(clip, Record(index=0, prompt=prompt))
        assert metric.scores[0].value == pytest.approx(expected, abs=2e-6)
        assert metric.compute() == metric.scores[0].value


def test_no_prompt_is_an_error(folder: Path) -> None:
    metric = OverallConsistency(backbone(folder))
    with pytest.raises(ClipError) as caught:
        metric.update(CLIPS[0], Record(index=0, prompt=" "))
    assert caught.value.code == "no_prompt"


def test_foreign_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"model": {"a": torch.ones(1)}}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"not ViCLIP's weights: 'vision_encoder.conv1.weight'"):
        ViClip(tmp_path / "a.pth", tmp_path).model  # noqa: B018
