"""MUSIQ, the network that rates pictures of any size (arXiv 2108.05997), as its PyTorch checkpoint on SPAQ needs it.

A picture is seen at three scales, cut into patches of 32 pixels; a small convolution makes a token of each, and a transformer
rates them together. Where the checkpoint differs from the authors' JAX code: bicubic without smoothing, unbiased deviation, erf
GELU. Tokens that pad a sequence there have logits of -1e3, a weight of exactly 0, so here there are none.
"""

from __future__ import annotations

import re
from typing import final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from evaluation.backbones.base import Backbone
from evaluation.errors import WeightsError
from evaluation.weights.load import fill, read_state

__all__ = ["Musiq", "MusiqNetwork"]

PATCH = 32
GRID = 10
LONGER_SIDES = (224, 384)
HEAD_WIDTH = 64


@final
class Musiq(Backbone):
    """``rate(images)``: about 0 to 100 each, better is higher."""

    def rate(self, images_TCHW: Tensor) -> Tensor:
        """Ratings (T,) of pictures in 0..1, (T, 3, H, W)."""
        ratings: Tensor = self.model(images_TCHW.to(self.device, self.dtype))
        return ratings

    def _load(self) -> MusiqNetwork:
        state = read_state(self.path)
        try:
            network = MusiqNetwork(state)
        except KeyError as error:
            raise WeightsError(f"{self.path}: not MUSIQ's weights: {error} is missing") from error
        fill(network, state, self.path)
        return network


class MusiqNetwork(nn.Module):
    """The network, with the checkpoint's own names and the sizes that its shapes tell."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        stem, width = state["conv_root.weight"].shape[0], state["embedding.weight"].shape[0]
        wide = state["block1.conv3.weight"].shape[0]
        self.conv_root = _Convolution(3, stem, 7, stride=2)
        self.gn_root = nn.GroupNorm(32, stem, eps=1e-6)
        self.block1 = _Bottleneck(stem, state["block1.conv1.weight"].shape[0], wide)
        self.embedding = nn.Linear((PATCH // 4) ** 2 * wide, width)
        self.transformer_encoder = _Encoder(state, width)
        self.head = nn.Linear(width, 1)

    def forward(self, images_TCHW: Tensor) -> Tensor:
        """Ratings (T,) of pictures in 0..1."""
        pictures = (images_TCHW - 0.5) * 2
        tokens, positions, scales = [], [], []
        for scale, picture in enumerate(_pyramid(pictures)):
            patches_TNCHW, at = _patches(picture)
            tokens.append(self._embed(patches_TNCHW))
            positions.append(at)
            scales.append(torch.full_like(at, scale))
        first = self.transformer_encoder(torch.cat(tokens, dim=1), torch.cat(positions), torch.cat(scales))
        ratings: Tensor = self.head(first)[:, 0]
        return ratings

    def _embed(self, patches_TNCHW: Tensor) -> Tensor:
        """Tokens (T, N, D) of patches (T, N, 3, 32, 32)."""
        x = F.relu(self.gn_root(self.conv_root(patches_TNCHW.flatten(0, 1))))
        x = self.block1(F.max_pool2d(_same(x, 3, 2), 3, 2))
        x_TNK = x.permute(0, 2, 3, 1).flatten(1).view(*patches_TNCHW.shape[:2], -1)
        tokens: Tensor = self.embedding(x_TNK)
        return tokens


class _Encoder(nn.Module):
    """Tokens with their places and scales to the class token behind the last norm, (T, D)."""

    def __init__(self, state: dict[str, Tensor], width: int) -> None:
        super().__init__()
        at = "transformer_encoder."
        self.posembed_input = _Table("position_emb", state[f"{at}posembed_input.position_emb"].shape)
        self.scaleembed_input = _Table("scale_emb", state[f"{at}scaleembed_input.scale_emb"].shape)
        self.cls = nn.Parameter(torch.zeros(state[f"{at}cls"].shape))
        found = [re.match(rf"{at}transformer\.encoderblock_(\d+)\.", name) for name in state]
        blocks = len({match[1] for match in found if match})
        middle = state[f"{at}transformer.encoderblock_0.mlp.fc1.weight"].shape[0]
        self.transformer = nn.ModuleDict({f"encoderblock_{number}": _Block(width, middle) for number in range(blocks)})
        self.encoder_norm = nn.LayerNorm(width, eps=1e-6)

    def forward(self, tokens_TND: Tensor, positions_N: Tensor, scales_N: Tensor) -> Tensor:
        """The class token; positions and scales are those of all pictures."""
        x = tokens_TND + self.posembed_input(positions_N) + self.scaleembed_input(scales_N)
        x = torch.cat([self.cls.reshape(1, 1, -1).expand(len(x), 1, -1), x], dim=1)
        for block in self.transformer.values():
            x = block(x)
        first: Tensor = self.encoder_norm(x[:, 0])
        return first


class _Table(nn.Module):
    """Rows looked up by number; the parameter's name is the checkpoint's."""

    def __init__(self, name: str, shape: torch.Size) -> None:
        super().__init__()
        self.name = name
        self.register_parameter(name, nn.Parameter(torch.zeros(shape)))

    def forward(self, numbers: Tensor) -> Tensor:
        """(N, D) of N numbers."""
        table = self.get_parameter(self.name)
        return table.reshape(-1, table.shape[-1])[numbers]


class _Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, middle: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.attention = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value", "out")})
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, middle), "fc2": nn.Linear(middle, width)})

    def forward(self, x_TND: Tensor) -> Tensor:
        """The same shape."""
        h = self.norm1(x_TND)
        q, k, v = (self.attention[name](h).unflatten(-1, (-1, HEAD_WIDTH)).transpose(1, 2) for name in ("query", "key", "value"))
        seen = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        x = x_TND + self.attention["out"](seen)
        out: Tensor = x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))
        return out


class _Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions beside a 1x1 projection."""

    def __init__(self, into: int, narrow: int, wide: int) -> None:
        super().__init__()
        self.conv1, self.gn1 = _Convolution(into, narrow, 1), nn.GroupNorm(32, narrow, eps=1e-4)
        self.conv2, self.gn2 = _Convolution(narrow, narrow, 3), nn.GroupNorm(32, narrow, eps=1e-4)
        self.conv3, self.gn3 = _Convolution(narrow, wide, 1), nn.GroupNorm(32, wide, eps=1e-4)
        self.conv_proj, self.gn_proj = _Convolution(into, wide, 1), nn.GroupNorm(32, wide, eps=1e-4)

    def forward(self, x: Tensor) -> Tensor:
        """(N, wide, H, W)."""
        beside = self.gn_proj(self.conv_proj(x))
        x = F.relu(self.gn1(self.conv1(x)))
        x = F.relu(self.gn2(self.conv2(x)))
        return F.relu(self.gn3(self.conv3(x)) + beside)


class _Convolution(nn.Conv2d):
    """Without bias, padded as TensorFlow's SAME, with standardised weights."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1) -> None:
        super().__init__(into, out, kernel, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of ``x`` with the weights of each output at mean 0 and unbiased deviation 1."""
        centred = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = centred / (self.weight.std((1, 2, 3), keepdim=True) + 1e-5)
        return F.conv2d(_same(x, self.kernel_size[0], self.stride[0]), weight, stride=self.stride)


def _same(x: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros around ``x`` so that every pixel is covered, the odd one behind."""
    down, across = (max(0, (-(-side // stride) - 1) * stride + kernel - side) for side in x.shape[-2:])
    return F.pad(x, (across // 2, across - across // 2, down // 2, down - down // 2))


def _pyramid(pictures_TCHW: Tensor) -> list[Tensor]:
    """The pictures with longer sides of 224 and 384, and as they are."""
    height, width = pictures_TCHW.shape[-2:]
    ratios = [side / max(height, width) for side in LONGER_SIDES]
    sizes = [(round(height * ratio), round(width * ratio)) for ratio in ratios]
    return [*(F.interpolate(pictures_TCHW, size=size, mode="bicubic", align_corners=False) for size in sizes), pictures_TCHW]


def _patches(pictures_TCHW: Tensor) -> tuple[Tensor, Tensor]:
    """((T, N, 3, 32, 32) row by row, the number of each patch's cell in a grid of 10 x 10)."""
    padded = _same(pictures_TCHW, PATCH, PATCH)
    rows, columns = padded.shape[-2] // PATCH, padded.shape[-1] // PATCH
    cells = padded.reshape(*padded.shape[:2], rows, PATCH, columns, PATCH)
    patches = cells.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)
    row = torch.arange(rows, device=padded.device) * GRID // rows
    column = torch.arange(columns, device=padded.device) * GRID // columns
    return patches, (GRID * row[:, None] + column).flatten()
