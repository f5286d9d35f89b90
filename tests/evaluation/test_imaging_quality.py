"""MUSIQ against a plain float64 version with the padded, masked sequences of the checkpoint's own network."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.backbones.musiq import Musiq
from evaluation.errors import WeightsError
from evaluation.metrics.imaging_quality import ImagingQuality
from evaluation.video import resize
from evaluation.video.clip import Clip, Record
from tests.evaluation import reference
from tests.evaluation.videos import clip_of

WIDTH, MIDDLE, NARROW, WIDE = 128, 96, 32, 64
CLIPS = [clip_of(2, 50, 90, 1), clip_of(3, 70, 40, 2), clip_of(2, 540, 300, 3)]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = torch.Generator().manual_seed(0)
    shapes: dict[str, tuple[int, ...]] = {"conv_root.weight": (64, 3, 7, 7)}
    for name, out, into, kernel in (("conv1", NARROW, 64, 1), ("conv2", NARROW, NARROW, 3), ("conv3", WIDE, NARROW, 1),
                                    ("conv_proj", WIDE, 64, 1)):  # fmt: skip
        shapes[f"block1.{name}.weight"] = (out, into, kernel, kernel)
    norms = {"gn_root": 64, "block1.gn1": NARROW, "block1.gn2": NARROW, "block1.gn3": WIDE, "block1.gn_proj": WIDE}
    linears = {"embedding": (WIDTH, 64 * WIDE), "head": (1, WIDTH)}
    at = "transformer_encoder"
    for block in range(2):
        here = f"{at}.transformer.encoderblock_{block}"
        norms |= {f"{here}.norm1": WIDTH, f"{here}.norm2": WIDTH}
        linears |= {f"{here}.attention.{name}": (WIDTH, WIDTH) for name in ("query", "key", "value", "out")}
        linears |= {f"{here}.mlp.fc1": (MIDDLE, WIDTH), f"{here}.mlp.fc2": (WIDTH, MIDDLE)}
    norms[f"{at}.encoder_norm"] = WIDTH
    shapes |= {f"{at}.posembed_input.position_emb": (1, 100, WIDTH), f"{at}.scaleembed_input.scale_emb": (3, WIDTH)}
    shapes |= {f"{at}.cls": (1, 1, WIDTH)}
    shapes |= {f"{name}.weight": shape for name, shape in linears.items()}
    state = {name: torch.randn(shape, generator=generator) / math.prod(shape[1:]) ** 0.5 for name, shape in shapes.items()}
    for name, shape in linears.items():
        state[f"{name}.bias"] = 0.2 * torch.randn(shape[0], generator=generator)
    for name, size in norms.items():
        state[f"{name}.weight"] = 1 + 0.2 * torch.randn(size, generator=generator)
        state[f"{name}.bias"] = 0.2 * torch.randn(size, generator=generator)
    path = tmp_path_factory.mktemp("musiq") / "musiq_spaq_ckpt-358bb6af.pth"
    torch.save(state, path)
    return path


def same(x: Tensor, kernel: int, stride: int) -> Tensor:
    out = torch.zeros(*x.shape[:-2], *((math.ceil(side / stride) - 1) * stride + kernel for side in x.shape[-2:]), dtype=x.dtype)
    top, left = ((whole - side) // 2 for whole, side in zip(out.shape[-2:], x.shape[-2:]))
    out[..., top : top + x.shape[-2], left : left + x.shape[-1]] = x
    return out


def convolution(x: Tensor, weight: Tensor, stride: int = 1) -> Tensor:
    w = weight.double()
    flat = w.flatten(1)
    deviation = ((flat - flat.mean(1, keepdim=True)) ** 2).sum(1) / (flat.shape[1] - 1)
    w = (w - flat.mean(1)[:, None, None, None]) / (deviation.sqrt()[:, None, None, None] + 1e-5)
    x = x if w.shape[-1] == 1 else same(x, w.shape[-1], stride)
    return torch.nn.functional.conv2d(x, w, stride=stride)


def group_norm(x: Tensor, state: dict[str, Tensor], name: str, eps: float) -> Tensor:
    groups = x.reshape(len(x), 32, -1)
    scaled = (groups - groups.mean(-1, keepdim=True)) / (groups.var(-1, unbiased=False, keepdim=True) + eps).sqrt()
    affine = (state[f"{name}.{kind}"].double()[:, None, None] for kind in ("weight", "bias"))
    weight, bias = affine
    return scaled.reshape(x.shape) * weight + bias


def token(patch: Tensor, state: dict[str, Tensor]) -> Tensor:
    x = group_norm(convolution(patch[None], state["conv_root.weight"], 2), state, "gn_root", 1e-6).clamp(min=0)
    padded = torch.zeros(1, x.shape[1], 17, 17, dtype=x.dtype)
    padded[..., :16, :16] = x
    x = torch.stack([padded[..., i : i + 15 : 2, j : j + 15 : 2] for i in range(3) for j in range(3)]).amax(0)
    return reference.linear(bottleneck(x, state)[0].permute(1, 2, 0).reshape(-1), state, "embedding")


def bottleneck(x: Tensor, state: dict[str, Tensor]) -> Tensor:
    beside = group_norm(convolution(x, state["block1.conv_proj.weight"]), state, "block1.gn_proj", 1e-4)
    for number in (1, 2, 3):
        x = group_norm(convolution(x, state[f"block1.conv{number}.weight"]), state, f"block1.gn{number}", 1e-4)
        x = (x + beside if number == 3 else x).clamp(min=0)
    return x


def rating(image: Tensor, state: dict[str, Tensor]) -> float:
    picture = (image.double() - 0.5) * 2
    _, height, width = picture.shape
    at = "transformer_encoder"
    tokens, mask = [state[f"{at}.cls"].double().view(-1)], [True]
    for scale, (longer, length) in enumerate(((224, 49), (384, 144), (None, None))):
        scaled = picture
        if longer:
            ratio = longer / max(height, width)
            size = (round(height * ratio), round(width * ratio))
            scaled = torch.nn.functional.interpolate(picture[None], size=size, mode="bicubic")[0]
        padded = same(scaled, 32, 32)
        rows, columns = padded.shape[1] // 32, padded.shape[2] // 32
        for row in range(rows):
            for column in range(columns):
                patch = padded[:, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32]
                cell = 10 * math.floor(row * 10 / rows) + math.floor(column * 10 / columns)
                place = state[f"{at}.posembed_input.position_emb"][0, cell] + state[f"{at}.scaleembed_input.scale_emb"][scale]
                tokens.append(token(patch, state) + place.double())
                mask.append(True)
        blank = (length or rows * columns) - rows * columns
        tokens += [torch.full((WIDTH,), 0.7, dtype=torch.float64)] * blank
        mask += [False] * blank
    seen = torch.tensor(mask)
    bias = torch.where(seen[:, None] & seen[None], 0.0, -1e3).double()
    names = {"norm1": "norm1", "norm2": "norm2", "q": "attention.query", "k": "attention.key", "v": "attention.value",
             "out": "attention.out", "up": "mlp.fc1", "down": "mlp.fc2"}  # fmt: skip
    blocks = {name.replace("encoderblock_", "encoderblock."): value for name, value in state.items()}
    prefix = f"{at}.transformer.encoderblock"
    x = reference.encoder(torch.stack(tokens), blocks, prefix, names, WIDTH // 64, 1e-6, reference.erf_gelu, bias)
    return float(reference.linear(reference.norm(x[0], state, f"{at}.encoder_norm", 1e-6), state, "head"))


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: str(clip.frames_THWC.shape))
def test_imaging_quality(file: Path, clip: Clip) -> None:
    state = torch.load(file, weights_only=True)
    expected = [rating(image, state) for image in resize.musiq(clip.frames_TCHW)]
    metric = ImagingQuality(Musiq(file))
    metric.update(clip, Record(index=0))
    assert metric.scores[0].value == pytest.approx(np.mean(expected), abs=5e-6)
    assert metric.compute() == pytest.approx(np.mean(expected) / 100, abs=1e-7)


def test_the_convolutions_where_contrast_is_so_low_that_every_epsilon_counts(file: Path) -> None:
    state = torch.load(file, weights_only=True)
    x = 1e-3 * torch.randn(1, 64, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mine = Musiq(file).model.block1(x).double()
    torch.testing.assert_close(mine, bottleneck(x.double(), state), atol=1e-5, rtol=0)


def test_batches_and_modes(file: Path) -> None:
    backbone = Musiq(file)
    whole, parts = ImagingQuality(backbone), ImagingQuality(backbone, batch=1)
    other = ImagingQuality(backbone, mode="None")
    for metric in (whole, parts, other):
        for index, clip in enumerate(CLIPS):
            metric.update(clip, Record(index=index))
    for index in range(3):
        assert whole.scores[index].value == pytest.approx(parts.scores[index].value, abs=1e-6)
    assert whole.scores[0] == other.scores[0]
    assert whole.scores[2] != other.scores[2]


def test_foreign_weights_are_refused(file: Path, tmp_path: Path) -> None:
    state = torch.load(file, weights_only=True)
    torch.save({name: value for name, value in state.items() if name != "head.bias"}, tmp_path / "a.pth")
    torch.save({"weight": torch.ones(1)}, tmp_path / "b.pth")
    for name, match in (("a.pth", r"missing keys \(head.bias\)"), ("b.pth", "conv_root.weight")):
        with pytest.raises(WeightsError, match=match):
            Musiq(tmp_path / name).model  # noqa: B018
