"""ViCLIP (arXiv 2307.06942): CLIP's two towers, the picture tower over eight frames at once.

The modules have the checkpoint's own names (OpenAI's, with a fused ``in_proj``) and the sizes that its shapes tell.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import final

import torch
from torch import Tensor, nn

from evaluation.backbones.base import Backbone
from evaluation.backbones.tokens import tokenize
from evaluation.errors import WeightsError
from evaluation.weights.load import fill, read_state

__all__ = ["ViClip", "ViClipNetwork"]

HEAD_WIDTH = 64


@final
class ViClip(Backbone):
    """``video(pixels)`` and ``text(prompt)``: projected features, not normalised.

    ``tokenizer`` is the folder of CLIP's, whose vocabulary ViCLIP shares.
    """

    def __init__(
        self,
        path: str | Path,
        tokenizer: str | Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__(path, device=device, dtype=dtype)
        self.tokenizer = Path(tokenizer)
        self._texts: dict[str, Tensor] = {}

    @property
    def frames(self) -> int:
        """How many frames a video has for it (8)."""
        count: int = self.model.vision_encoder.temporal_positional_embedding.shape[1]
        return count

    def video(self, pixels_TCHW: Tensor) -> Tensor:
        """Features (D,) of normalised frames (T, 3, 224, 224)."""
        features: Tensor = self.model.vision_encoder(pixels_TCHW.to(self.device, self.dtype)[None])
        return features[0]

    def text(self, prompt: str) -> Tensor:
        """Features (D,) of a prompt, cut to 32 tokens, read once and kept."""
        if prompt not in self._texts:
            length = self.model.text_encoder.positional_embedding.shape[0]
            ids = tokenize(self.tokenizer, prompt, length, cut=True)
            self._texts[prompt] = self.model.text_encoder(ids.to(self.device))[0]
        return self._texts[prompt]

    def _load(self) -> ViClipNetwork:
        state = read_state(self.path, "model")
        try:
            network = ViClipNetwork(state)
        except KeyError as error:
            raise WeightsError(f"{self.path}: not ViCLIP's weights: {error} is missing") from error
        fill(network, state, self.path)
        return network


class ViClipNetwork(nn.Module):
    """Both towers, and the temperature that training left in the checkpoint."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.vision_encoder = _Vision(state)
        self.text_encoder = _Text(state)
        if "temp" in state:
            self.temp = nn.Parameter(torch.zeros(()))


class _Vision(nn.Module):
    """Patches of all frames attend to one another; one class token for the whole video."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        at = "vision_encoder."
        width, _, frames, height, across = state[f"{at}conv1.weight"].shape
        patch = (frames, height, across)
        self.conv1 = nn.Conv3d(3, width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.positional_embedding = nn.Parameter(torch.zeros(state[f"{at}positional_embedding"].shape))
        self.temporal_positional_embedding = nn.Parameter(torch.zeros(state[f"{at}temporal_positional_embedding"].shape))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = _Transformer(state, at, width)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(torch.zeros(state[f"{at}proj"].shape))

    def forward(self, pixels_BTCHW: Tensor) -> Tensor:
        """(B, D)."""
        patches_BDTP = self.conv1(pixels_BTCHW.transpose(1, 2)).flatten(3)
        x_BPTD = patches_BDTP.permute(0, 3, 2, 1) + self.positional_embedding[1:, None] + self.temporal_positional_embedding[0]
        first = (self.class_embedding + self.positional_embedding[0]).expand(len(x_BPTD), 1, -1)
        x = self.transformer(self.ln_pre(torch.cat([first, x_BPTD.flatten(1, 2)], dim=1)))
        features: Tensor = self.ln_post(x[:, 0]) @ self.proj
        return features


class _Text(nn.Module):
    """Tokens see what is before them; the end token stands for the text."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        at = "text_encoder."
        words, width = state[f"{at}token_embedding.weight"].shape
        self.token_embedding = nn.Embedding(words, width)
        self.positional_embedding = nn.Parameter(torch.zeros(state[f"{at}positional_embedding"].shape))
        self.transformer = _Transformer(state, at, width)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.zeros(state[f"{at}text_projection"].shape))

    def forward(self, ids_BN: Tensor) -> Tensor:
        """(B, D); the end token is the one with the highest id."""
        x = self.token_embedding(ids_BN) + self.positional_embedding
        length = ids_BN.shape[1]
        mask = torch.full((length, length), -torch.inf, device=x.device, dtype=x.dtype).triu(1)
        x = self.ln_final(self.transformer(x, mask))
        features: Tensor = x[torch.arange(len(x), device=x.device), ids_BN.argmax(dim=1)] @ self.text_projection
        return features


class _Transformer(nn.Module):
    def __init__(self, state: dict[str, Tensor], at: str, width: int) -> None:
        super().__init__()
        found = [re.match(rf"{re.escape(at)}transformer\.resblocks\.(\d+)\.", name) for name in state]
        middle = state[f"{at}transformer.resblocks.0.mlp.c_fc.weight"].shape[0]
        self.resblocks = nn.ModuleList(_Block(width, middle) for _ in {match[1] for match in found if match})

    def forward(self, x_BND: Tensor, mask: Tensor | None = None) -> Tensor:
        """The same shape."""
        for block in self.resblocks:
            x_BND = block(x_BND, mask)
        return x_BND


class _Block(nn.Module):
    """A pre-norm block with the quick GELU, ``x * sigmoid(1.702 x)``."""

    def __init__(self, width: int, middle: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, width // HEAD_WIDTH, batch_first=True)
        self.ln_1 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, middle), "c_proj": nn.Linear(middle, width)})
        self.ln_2 = nn.LayerNorm(width)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """The same shape."""
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False, attn_mask=mask)[0]
        h = self.mlp["c_fc"](self.ln_2(x))
        out: Tensor = x + self.mlp["c_proj"](h * torch.sigmoid(1.702 * h))
        return out
