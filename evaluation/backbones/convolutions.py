"""Convolutions of a network that is run and not trained: what follows one becomes a part of it, up to rounding."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

__all__ = ["ConvRelu", "absorb"]


class ConvRelu(nn.Conv2d):
    """A convolution and the ReLU after it, without gradients; cuDNN does both, and the bias, in one kernel."""

    @classmethod
    def of(cls, conv: nn.Conv2d) -> ConvRelu:
        """The same convolution, with a ReLU; the module itself is changed."""
        conv.__class__ = cls
        return cast(ConvRelu, conv)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), as of the convolution."""
        padding = self.padding
        if x.is_cuda and torch.version.hip is None and torch.backends.cudnn.enabled and not isinstance(padding, str):
            return torch.cudnn_convolution_relu(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)
        return F.relu_(super().forward(x))


def absorb(network: nn.Module) -> None:
    """Shorten every ``Sequential`` in a network that begins with a convolution; needs ``eval()``.

    A BatchNorm, whose statistics are fixed, goes into the weights; a bias before an InstanceNorm, which would take it away again,
    is left out; a ReLU is done along with the convolution.
    """
    for part in network.modules():
        if not isinstance(part, nn.Sequential) or len(part) < 2 or type(part[0]) is not nn.Conv2d:
            continue
        conv, after = part[0], part[1]
        if type(after) is nn.InstanceNorm2d and not after.track_running_stats:
            conv.bias = None
            continue
        place = 1
        if type(after) is nn.BatchNorm2d and after.track_running_stats:
            part[0] = conv = fuse_conv_bn_eval(conv, after)
            part[1] = nn.Identity()
            place = 2
        if len(part) > place and type(part[place]) is nn.ReLU and conv.padding_mode == "zeros":
            part[0], part[place] = ConvRelu.of(conv), nn.Identity()
