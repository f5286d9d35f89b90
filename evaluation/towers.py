"""The backbones of an evaluation, each made at most once, whichever metrics share it; weights load at the first use.

towers = Towers(find(["clip_b32"]), device="cuda")
metric = BackgroundConsistency.build(towers, Options())
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, final

import torch

from evaluation.errors import WeightsError

if TYPE_CHECKING:
    from evaluation.backbones.blip import Blip
    from evaluation.backbones.clip import AestheticHead, OpenAIClip
    from evaluation.backbones.dino import Dino
    from evaluation.backbones.dis import DisFlow
    from evaluation.backbones.florence2 import Florence2
    from evaluation.backbones.grounding_dino import GroundingDino
    from evaluation.backbones.interpolate import Amt
    from evaluation.backbones.lpips import Lpips
    from evaluation.backbones.musiq import Musiq
    from evaluation.backbones.owlv2 import Owlv2
    from evaluation.backbones.raft import Raft
    from evaluation.backbones.siglip2 import Siglip2
    from evaluation.backbones.umt import Umt
    from evaluation.backbones.viclip import ViClip
    from evaluation.backbones.videomae import VideoMae
    from evaluation.weights.lookup import Found

__all__ = ["Towers"]


@final
class Towers:
    """Backbones by name.

    Args:
        found: the weights on this machine, by their name in `WEIGHTS`.
        device: where all of them run.
        precision: "fp32", or "vbench": CLIP in float16 on CUDA, as VBench has it there; convolutions are the metrics' matter.
    """

    def __init__(
        self,
        found: Mapping[str, Found],
        *,
        device: str | torch.device = "cpu",
        precision: Literal["fp32", "vbench"] = "fp32",
    ) -> None:
        self.found = found
        self.device = torch.device(device)
        self.clip_dtype = torch.float16 if precision == "vbench" and self.device.type == "cuda" else torch.float32

    def path(self, *names: str) -> Path:
        """Where the first of ``names`` that is there lies.

        Raises:
            WeightsError: none of them is.
        """
        for name in names:
            if name in self.found:
                return self.found[name].path
        raise WeightsError(f"{' or '.join(names)}: the weights were not looked up")

    @cached_property
    def clip_b32(self) -> OpenAIClip:
        """CLIP ViT-B/32, both towers."""
        from evaluation.backbones.clip import OpenAIClip

        return OpenAIClip(self.path("clip_b32"), text=True, device=self.device, dtype=self.clip_dtype)

    @cached_property
    def clip_l14(self) -> OpenAIClip:
        """CLIP ViT-L/14, the picture tower."""
        from evaluation.backbones.clip import OpenAIClip

        return OpenAIClip(self.path("clip_l14"), device=self.device, dtype=self.clip_dtype)

    @cached_property
    def laion_head(self) -> AestheticHead:
        """LAION's head on CLIP ViT-L/14."""
        from evaluation.backbones.clip import AestheticHead

        return AestheticHead(self.path("laion_head"), device=self.device)

    @cached_property
    def dino_vitb16(self) -> Dino:
        """DINO ViT-B/16."""
        from evaluation.backbones.dino import Dino

        return Dino(self.path("dino_vitb16"), device=self.device)

    @cached_property
    def musiq_spaq(self) -> Musiq:
        """MUSIQ trained on SPAQ."""
        from evaluation.backbones.musiq import Musiq

        return Musiq(self.path("musiq_spaq"), device=self.device)

    @cached_property
    def viclip(self) -> ViClip:
        """ViCLIP, with the tokenizer of CLIP ViT-B/32 or L/14."""
        from evaluation.backbones.viclip import ViClip

        return ViClip(self.path("viclip"), self.path("clip_b32", "clip_l14"), device=self.device)

    @cached_property
    def umt_l16(self) -> Umt:
        """UMT ViT-L/16 on Kinetics-400."""
        from evaluation.backbones.umt import Umt

        return Umt(self.path("umt_l16"), self.path("k400_labels"), device=self.device)

    @cached_property
    def dis(self) -> DisFlow:
        """Optical flow without weights."""
        from evaluation.backbones.dis import DisFlow

        return DisFlow()

    @cached_property
    def raft(self) -> Raft:
        """RAFT, torchvision's weights or the authors'."""
        from evaluation.backbones.raft import Raft

        return Raft(self.path("raft", "raft_things"), device=self.device)

    @cached_property
    def amt_s(self) -> Amt:
        """AMT-S, the user's own clone and weights."""
        from evaluation.backbones.interpolate import Amt

        return Amt(self.path("amt_s"), self.path("amt_code"), device=self.device)

    @cached_property
    def siglip2(self) -> Siglip2:
        """SigLIP 2, both towers."""
        from evaluation.backbones.siglip2 import Siglip2

        return Siglip2(self.path("siglip2"), device=self.device)

    @cached_property
    def lpips(self) -> Lpips:
        """LPIPS on AlexNet."""
        from evaluation.backbones.lpips import Lpips

        return Lpips(self.path("alexnet"), device=self.device)

    @cached_property
    def florence2(self) -> Florence2:
        """Florence-2: objects, regions in words and captions."""
        from evaluation.backbones.florence2 import Florence2

        return Florence2(self.path("florence2"), device=self.device)

    @cached_property
    def grounding_dino(self) -> GroundingDino:
        """Grounding DINO."""
        from evaluation.backbones.grounding_dino import GroundingDino

        return GroundingDino(self.path("grounding_dino"), device=self.device)

    @cached_property
    def owlv2(self) -> Owlv2:
        """OWLv2."""
        from evaluation.backbones.owlv2 import Owlv2

        return Owlv2(self.path("owlv2"), device=self.device)

    @cached_property
    def blip(self) -> Blip:
        """BLIP, which writes captions."""
        from evaluation.backbones.blip import Blip

        return Blip(self.path("blip"), device=self.device)

    @cached_property
    def videomae(self) -> VideoMae:
        """VideoMAE on Kinetics-400."""
        from evaluation.backbones.videomae import VideoMae

        return VideoMae(self.path("videomae_k400"), device=self.device)
