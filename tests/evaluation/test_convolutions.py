"""Shortened networks: the same function, with fewer kernels."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from evaluation.backbones.convolutions import ConvRelu, absorb
from evaluation.precision import full_float32

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA"))]


def conv(before: int, after: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, stride=stride, padding=1)


class Residual(nn.Module):
    """A branch that ends with a norm, beside the identity."""

    def __init__(self, norm: type[nn.Module]) -> None:
        super().__init__()
        self.branch = nn.Sequential(conv(8, 8), norm(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.branch(x))


def network(norm: type[nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    made = nn.Sequential(
        nn.Sequential(conv(3, 8, stride=2), norm(8), nn.ReLU(inplace=True)),
        Residual(norm),
        nn.Sequential(conv(8, 6), nn.ReLU(inplace=True)),
        nn.Sequential(conv(6, 4), nn.Sigmoid()),
        nn.Sequential(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.ReLU()),
    )
    for part in made.modules():
        if isinstance(part, nn.BatchNorm2d):
            for values in (part.weight, part.bias, part.running_mean, part.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.5, 2.0)
    return made.eval()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.InstanceNorm2d])
def test_the_shorter_network_is_the_same_function(norm: type[nn.Module], device: str) -> None:
    plain = network(norm).to(device)
    short = copy.deepcopy(plain)
    absorb(short)
    x = torch.randn(2, 3, 32, 40, device=device)
    with torch.no_grad(), full_float32():
        for count in (5, 3):
            expected = plain[:count](x)
            dirty = [torch.full((2, 8, 16, 20), torch.nan, device=device) for _ in range(20)]
            del dirty  # what is allocated next holds what no output may depend on
            torch.testing.assert_close(short[:count](x), expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("norm", "fused", "norms"), [(nn.BatchNorm2d, 2, 0), (nn.InstanceNorm2d, 1, 2)])
def test_what_is_absorbed(norm: type[nn.Module], fused: int, norms: int) -> None:
    short = network(norm)
    absorb(short)
    assert sum(isinstance(part, ConvRelu) for part in short.modules()) == fused
    assert sum(isinstance(part, norm) for part in short.modules()) == norms
    # Sigmoid, and a border that cuDNN does not know, stay.
    assert type(short[3][1]) is nn.Sigmoid
    assert type(short[4][1]) is nn.ReLU


def test_a_norm_with_statistics_of_its_own_keeps_its_bias() -> None:
    part = nn.Sequential(conv(3, 4), nn.InstanceNorm2d(4, track_running_stats=True)).eval()
    absorb(part)
    assert part[0].bias is not None
