"""RAFT's correlation and updates (arXiv 2003.12039, sections 3.2 and 3.3) with the weights of torchvision's model.

The same functions as torchvision's `CorrBlock` and `UpdateBlock` up to rounding. What does not change from update to update is
computed once: the context's share of every gate, and where around a cell to look. Nothing in an update waits for the device.
"""

from __future__ import annotations

from typing import Any, final

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Correlation", "Recurrence"]

LEVELS = 4
RADIUS = 4


@final
class Correlation:
    """How alike each cell of one picture is to every cell of the other one, at four sizes.

    Args:
        before: features of the first pictures, (B, C, H, W).
        after: of the second ones.
    """

    def __init__(self, before: Tensor, after: Tensor) -> None:
        batch, channels, height, width = before.shape
        volume = (before.flatten(2) / channels**0.5).transpose(1, 2) @ after.flatten(2)
        self._levels = [volume.view(batch * height * width, 1, height, width)]
        for _ in range(LEVELS - 1):
            self._levels.append(F.avg_pool2d(self._levels[-1], kernel_size=2, stride=2))
        sides = [torch.tensor([level.shape[3], level.shape[2]], device=before.device) for level in self._levels]
        #: Pixels to grid_sample's units, where -1 and 1 are the first and the last pixel.
        self._units = [2 / (side - 1) for side in sides]
        steps = torch.arange(-RADIUS, RADIUS + 1, device=before.device, dtype=before.dtype)
        # The original's window is transposed: its first axis goes along x.
        window = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), dim=-1)
        self._windows = [window * unit - 1 for unit in self._units]

    def around(self, cells: Tensor) -> Tensor:
        """(B, 4 * 9 * 9, H, W), in channels-last order: each cell's likeness to those around ``cells`` (B, 2, H, W), x and y."""
        batch, _, height, width = cells.shape
        centres = cells.permute(0, 2, 3, 1).reshape(-1, 1, 1, 2)
        found = []
        for number, level in enumerate(self._levels):
            grid = centres * (self._units[number] / 2**number) + self._windows[number]
            found.append(F.grid_sample(level, grid, align_corners=True).view(batch, height, width, -1))
        return torch.cat(found, dim=-1).permute(0, 3, 1, 2)


@final
class Recurrence:
    """The hidden state of some pairs, updated with what is seen along the flow so far.

    Args:
        block: torchvision's `UpdateBlock`.
        hidden: the first state, (B, S, H, W).
        context: what the first pictures show, (B, C, H, W).
    """

    def __init__(self, block: Any, hidden: Tensor, context: Tensor) -> None:
        self._block = block
        self._size = hidden.shape[1]
        units = (block.recurrent_block.convgru1, block.recurrent_block.convgru2)
        self._gates = [_Gates(unit, self._size, context) for unit in units]
        self.hidden = hidden.contiguous(memory_format=torch.channels_last)
        motion = hidden.new_empty(len(hidden), block.motion_encoder.out_channels, *hidden.shape[2:])
        # The hidden state and the motion side by side, as the gates read them.
        self._state = torch.cat([hidden, motion], dim=1).contiguous(memory_format=torch.channels_last)

    def update(self, seen: Tensor, flow: Tensor) -> Tensor:
        """The step of the flow (B, 2, H, W), from what `Correlation.around` saw and the flow so far."""
        own, state = self._state[:, : self._size], self._state
        state[:, self._size :] = self._block.motion_encoder(flow, seen)
        for gates in self._gates:
            keep, forget = gates.first(state)
            torch.mul(forget, self.hidden, out=own)
            self.hidden = torch.lerp(self.hidden, gates.second(state), keep)
            own.copy_(self.hidden)
        step: Tensor = self._block.flow_head(self.hidden)
        return step


class _Gates:
    """A convolutional GRU's weights for the state and the motion, and the context's share, biases included."""

    def __init__(self, unit: Any, size: int, context: Tensor) -> None:
        every = torch.cat([unit.convz.weight, unit.convr.weight, unit.convq.weight])
        biases = torch.cat([unit.convz.bias, unit.convr.bias, unit.convq.bias])
        hidden, of_context, motion = every.tensor_split([size, size + context.shape[1]], dim=1)
        self._padding = unit.convz.padding
        weights = torch.cat([hidden, motion], dim=1).to(memory_format=torch.channels_last)
        self._first, self._second = weights[: 2 * size], weights[2 * size :]
        share = F.conv2d(context, of_context.contiguous(), biases, padding=self._padding)
        # In the state's layout: what is added in another one is read number by number.
        parts = share.tensor_split([2 * size], dim=1)
        self._of_first, self._of_second = (part.contiguous(memory_format=torch.channels_last) for part in parts)

    def first(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """The update gate and the reset gate."""
        found = F.conv2d(state, self._first, padding=self._padding).add_(self._of_first).sigmoid_()
        keep, forget = found.chunk(2, dim=1)
        return keep, forget

    def second(self, state: Tensor) -> Tensor:
        """The proposed state, from the reset one."""
        return F.conv2d(state, self._second, padding=self._padding).add_(self._of_second).tanh_()
