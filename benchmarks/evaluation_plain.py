"""The plain way to score videos: a function a dimension that decodes for itself, to float32, and looks at one frame at a time.

The networks and resizes are the package's own, so that both sides run the same arithmetic; what is left out is what the package
is about: one decode, batches, features that are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn import functional as F

from evaluation.backbones import raft
from evaluation.backbones.raft import UPDATES, Pairs, Raft
from evaluation.towers import Towers
from evaluation.video import resize

__all__ = ["PLAIN", "plain_flow"]


def load(path: str) -> Tensor:
    """All frames as float32, (T, 3, H, W), 0..255."""
    import av

    with av.open(path) as container:
        frames = [torch.from_numpy(frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    return torch.stack(frames).permute(0, 3, 1, 2).float()


@contextmanager
def plain_flow() -> Iterator[None]:
    """RAFT as torchvision has it, a pair at a time, within."""

    def flow(self: Raft, frames_BCHW: Tensor, pairs: Pairs) -> Tensor:
        frames = frames_BCHW.to(self.device)
        each = [self.model(frames[a : a + 1], frames[b : b + 1], num_flow_updates=UPDATES)[-1] for a, b in pairs]
        return torch.cat(each)

    with mock.patch.object(Raft, "flow", flow), mock.patch.object(raft, "shorten"):
        yield


def _consistency(features: list[Tensor]) -> float:
    total = 0.0
    for t in range(1, len(features)):
        for other in (features[t - 1], features[0]):
            total += max(0.0, float(F.cosine_similarity(features[t], other))) / 2
    return total / (len(features) - 1)


def _each(path: str, towers: Towers, prepare: Callable[[Tensor], Tensor], encode: Callable[[Tensor], Tensor]) -> list[Tensor]:
    frames = load(path)
    return [encode(prepare(frame[None].to(towers.device))) for frame in frames]


def _clip(path: str, towers: Towers) -> list[Tensor]:
    return _each(path, towers, resize.clip_f, towers.clip_b32.images)


def _dino(path: str, towers: Towers) -> list[Tensor]:
    return _each(path, towers, resize.dino, towers.dino_vitb16.encode)


def _adjacent(features: list[Tensor]) -> float:
    cosines = [float(F.cosine_similarity(a, b)) for a, b in pairwise(features)]
    return sum(cosines) / len(cosines)


def flickering(path: str, towers: Towers, prompt: str) -> float:
    """Mean absolute difference of neighbouring frames."""
    frames = load(path).to(towers.device)
    pairs = [float((after - before).abs().mean()) for before, after in pairwise(frames)]
    return (255 - sum(pairs) / len(pairs)) / 255


def ssim(path: str, towers: Towers, prompt: str) -> float:
    """SSIM of neighbouring frames, by torchmetrics, without the margin that it continues as in a mirror."""
    from torchmetrics.functional.image.ssim import structural_similarity_index_measure

    frames = load(path).to(towers.device)
    values = []
    for before, after in pairwise(frames):
        found = structural_similarity_index_measure(after[None], before[None], data_range=255.0, return_full_image=True)
        values.append(float(found[1][..., 5:-5, 5:-5].mean()))
    return sum(values) / len(values)


def subject(path: str, towers: Towers, prompt: str) -> float:
    """subject_consistency."""
    return _consistency(_dino(path, towers))


def dino_temp(path: str, towers: Towers, prompt: str) -> float:
    """Neighbouring frames' likeness to DINO."""
    return _adjacent(_dino(path, towers))


def background(path: str, towers: Towers, prompt: str) -> float:
    """background_consistency."""
    return _consistency(_clip(path, towers))


def clip_score(path: str, towers: Towers, prompt: str) -> float:
    """Mean likeness to the prompt."""
    text = towers.clip_b32.texts(prompt)
    cosines = [float(F.cosine_similarity(feature, text)) for feature in _clip(path, towers)]
    return sum(cosines) / len(cosines)


def clip_temp(path: str, towers: Towers, prompt: str) -> float:
    """Neighbouring frames' likeness to CLIP."""
    return _adjacent(_clip(path, towers))


def appearance(path: str, towers: Towers, prompt: str) -> float:
    """appearance_style of "a style"."""
    text = F.normalize(towers.clip_b32.texts("a style"), dim=-1)

    def encode(pixels: Tensor) -> Tensor:
        return F.normalize(towers.clip_b32.images(pixels), dim=-1)

    images = _each(path, towers, lambda frame: resize.clip_pil(frame.to(torch.uint8)), encode)
    values = [float(towers.clip_b32.logit_scale * (image @ text.T)) / 100 for image in images]
    return sum(values) / len(values)


def aesthetic(path: str, towers: Towers, prompt: str) -> float:
    """aesthetic_quality."""
    features = _each(path, towers, resize.clip_f, towers.clip_l14.images)
    values = [float(towers.laion_head.rate(F.normalize(feature.float(), dim=-1))) / 10 for feature in features]
    return sum(values) / len(values)


def imaging(path: str, towers: Towers, prompt: str) -> float:
    """imaging_quality."""
    values = [float(value) for value in _each(path, towers, resize.musiq, towers.musiq_spaq.rate)]
    return sum(values) / len(values)


#: By the metric's name: (path, towers, prompt) to the video's value.
PLAIN: dict[str, Callable[[str, Towers, str], Any]] = {
    "temporal_flickering": flickering,
    "ssim_adj": ssim,
    "subject_consistency": subject,
    "dino_temp": dino_temp,
    "background_consistency": background,
    "clip_score": clip_score,
    "clip_temp": clip_temp,
    "appearance_style": appearance,
    "aesthetic_quality": aesthetic,
    "imaging_quality": imaging,
}
