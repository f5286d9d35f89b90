"""RAFT (arXiv 2003.12039) from torchvision, the one backbone that needs it: ``pip install 'rapo-lightning[vision]'``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Protocol, final

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones.base import Backbone
from evaluation.backbones.convolutions import ConvRelu, absorb
from evaluation.backbones.raft_updates import Correlation, Recurrence
from evaluation.errors import WeightsError
from evaluation.video.sizes import pad_sides
from evaluation.weights.load import fill, read_state

__all__ = ["Flow", "Pairs", "Raft", "flow_batch", "flow_frames", "shorten", "torchvision_name"]

UPDATES = 20
#: Sides below it leave RAFT's coarsest correlation without a pixel.
SMALLEST_SIDE = 128
#: Numbers of frames, (from, to).
Pairs = Sequence[tuple[int, int]]


class Flow(Protocol):
    """Optical flow between frames, whoever computes it.

    Attributes:
        device: where frames go.
        smallest_side: in pixels; `SMALLEST_SIDE` where it is not said.
    """

    device: torch.device

    def flow(self, frames_BCHW: Tensor, pairs: Pairs) -> Tensor:
        """(P, 2, H, W), x and y in pixels, from the first to the second frame of each pair; ``frames`` are in -1..1.

        Their sides are multiples of 8, and a pair is two of their numbers.
        """
        ...


@final
class Raft(Backbone):
    """`Flow` after 20 updates; torchvision's ``raft_large_C_T_V1`` or the authors' ``raft-things.pth``, the same weights."""

    def flow(self, frames_BCHW: Tensor, pairs: Pairs) -> Tensor:
        """As `Flow.flow`; always float32.

        torchvision's forward pass up to rounding, but each frame is encoded once, however many pairs it is in, only the last of
        the updates is brought to the frames' size, and see `raft_updates` and `convolutions`.
        """
        frames = frames_BCHW.to(self.device)
        features = self.model.feature_encoder(frames)
        starts = sorted({before for before, _ in pairs})
        context = self.model.context_encoder(frames[starts])
        step = flow_batch(frames.shape[-2], frames.shape[-1], len(pairs))
        parts = [pairs[first : first + step] for first in range(0, len(pairs), step)]
        return torch.cat([self._flow(features, context[[starts.index(before) for before, _ in some]], some) for some in parts])

    def _flow(self, features: Tensor, context: Tensor, pairs: Pairs) -> Tensor:
        from torchvision.models.optical_flow._utils import (  # type: ignore[import-not-found,unused-ignore]
            make_coords_grid,
            upsample_flow,
        )

        block = self.model.update_block
        size = block.hidden_state_size
        correlation = Correlation(*(features[list(side)] for side in zip(*pairs, strict=True)))
        recurrence = Recurrence(block, torch.tanh(context[:, :size]), torch.relu(context[:, size:]))
        cells = make_coords_grid(len(pairs), *features.shape[-2:]).to(self.device)
        flow = torch.zeros_like(cells)
        for _ in range(UPDATES):
            flow = flow + recurrence.update(correlation.around(cells + flow), flow)
        whole: Tensor = upsample_flow(flow=flow, up_mask=self.model.mask_predictor(recurrence.hidden))
        return whole

    def _load(self) -> Any:
        state = read_state(self.path)
        try:
            from torchvision.models.optical_flow import raft_large  # type: ignore[import-not-found,unused-ignore]
        except (ImportError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise WeightsError(
                f"RAFT needs a torchvision that fits torch: pip install 'rapo-lightning[vision]' ({reason})"
            ) from error
        model = raft_large(weights=None, progress=False)
        if any(name.startswith("module.") for name in state):
            state = {torchvision_name(name): tensor for name, tensor in state.items()}
        fill(model, state, self.path)
        shorten(model.eval())
        return model


def shorten(model: Any) -> None:
    """The same network up to rounding, with fewer kernels and in the layout that tensor cores read."""
    absorb(model)
    head = model.update_block.flow_head
    head.conv1, head.relu = ConvRelu.of(head.conv1), torch.nn.Identity()
    model.update_block.to(memory_format=torch.channels_last)


def flow_frames(frames_TCHW: Tensor) -> Tensor:
    """uint8 frames in -1..1, borders repeated on both sides up to multiples of 8, as RAFT reads them."""
    height, width = frames_TCHW.shape[-2:]
    return F.pad(frames_TCHW.float() * 2 / 255 - 1, pad_sides(height, width, 8), mode="replicate")


def flow_batch(height: int, width: int, wanted: int = 8) -> int:
    """How many pairs fit at once: a table of all pairs of cells must stay below 2**30 numbers."""
    return max(1, min(wanted, (2**30 - 1) // ((height // 8) ** 2 * (width // 8) ** 2)))


def torchvision_name(name: str) -> str:
    """What torchvision calls a tensor of ``raft-things.pth``."""
    name = name.removeprefix("module.")
    for ours, theirs in (("fnet", "feature_encoder"), ("cnet", "context_encoder")):
        if name.startswith(f"{ours}."):
            name = f"{theirs}.{name.removeprefix(f'{ours}.')}"
            name = re.sub(r"(layer\d\.\d)\.conv(\d)\.", r"\1.convnormrelu\2.0.", name)
            name = re.sub(r"(layer\d\.\d)\.norm([12])\.", r"\1.convnormrelu\2.1.", name)
            name = re.sub(r"(layer\d\.\d)\.norm3\.", r"\1.downsample.1.", name)
            name = re.sub(r"encoder\.conv1\.", "encoder.convnormrelu.0.", name)
            name = re.sub(r"encoder\.norm1\.", "encoder.convnormrelu.1.", name)
            return re.sub(r"encoder\.conv2\.", "encoder.conv.", name)
    name = name.replace("update_block.encoder.", "update_block.motion_encoder.")
    name = re.sub(r"motion_encoder\.convc(\d)\.", r"motion_encoder.convcorr\1.0.", name)
    name = re.sub(r"motion_encoder\.convf(\d)\.", r"motion_encoder.convflow\1.0.", name)
    name = name.replace("motion_encoder.conv.", "motion_encoder.conv.0.")
    name = re.sub(r"update_block\.gru\.conv([zrq])(\d)\.", r"update_block.recurrent_block.convgru\2.conv\1.", name)
    name = name.replace("update_block.mask.0.", "mask_predictor.convrelu.0.")
    return name.replace("update_block.mask.2.", "mask_predictor.conv.")
