"""fvd: how far a set of videos is from a set of reference videos, by VideoMAE's features (Fréchet distance); of the set only.

backbone = VideoMae("videomae-large-finetuned-kinetics", device="cuda")
reference = VideoStatistics.of((decode(path) for path in paths), backbone)
metric = FrechetVideoDistance(backbone, reference)
for path in generated: metric.update(decode(path))
metric.compute()
The weights are CC BY-NC 4.0. Numbers of another network, another number of frames or other reference videos do not compare.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Self, final

import torch
from torch import Tensor
from torchmetrics import Metric

from evaluation.backbones.videomae import VideoMae
from evaluation.errors import ClipError, EvaluationError
from evaluation.precision import full_float32
from evaluation.video import detector_inputs
from evaluation.video.clip import Clip
from evaluation.video.sampling import middle

__all__ = ["FrechetVideoDistance", "VideoStatistics", "frechet_distance", "video_features"]


def video_features(clip: Clip, backbone: VideoMae) -> Tensor:
    """What VideoMAE's classifier reads, (D,) float64: the mean of all tokens (or the first one), normed, as its weights were
    trained; over the middles of as many equal parts of the video as it reads frames (16).

    Raises:
        ClipError: it is not finite.
    """

    def compute() -> Tensor:
        chosen = clip.frames_TCHW[middle(backbone.frames, len(clip.frames_THWC))].to(backbone.device)
        pixels = detector_inputs.videomae(chosen, backbone.side).to(backbone.device, backbone.dtype)
        with full_float32(), torch.no_grad():
            tokens = backbone.model.videomae(pixel_values=pixels[None]).last_hidden_state
            norm = backbone.model.fc_norm
            features: Tensor = tokens[0, 0] if norm is None else norm(tokens.mean(1))[0]
        return features.double()

    found: Tensor = clip.once((backbone, "features"), compute)
    if not bool(torch.isfinite(found).all()):
        raise ClipError("non_finite", f"{clip.path}: VideoMAE's features are not finite")
    return found


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class VideoStatistics:
    """Of a set of videos' features.

    Attributes:
        mean_D, covariance_DD: float64, over count - 1.
        count: videos, two or more.
        frames: that the network read of each.
    """

    mean_D: Tensor
    covariance_DD: Tensor
    count: int
    frames: int

    @classmethod
    def of(cls, clips: Iterable[Clip], backbone: VideoMae) -> Self:
        """Of decoded videos, one at a time.

        Raises:
            EvaluationError: fewer than two.
            ClipError: a video's features are not finite.
        """
        sums = FrechetVideoDistance(backbone)
        for clip in clips:
            sums.update(clip)
        found = sums.statistics()
        return cls(mean_D=found.mean_D, covariance_DD=found.covariance_DD, count=found.count, frames=found.frames)

    def save(self, path: str | Path) -> None:
        """As a safetensors file."""
        from safetensors.torch import save_file

        tensors = {"mean": self.mean_D.cpu().contiguous(), "covariance": self.covariance_DD.cpu().contiguous()}
        save_file(tensors, path, {"fvd": json.dumps({"count": self.count, "frames": self.frames})})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """What `save` wrote.

        Raises:
            EvaluationError: the file holds something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                facts = json.loads(file.metadata()["fvd"])
                mean, covariance = file.get_tensor("mean").double(), file.get_tensor("covariance").double()
                count, frames = int(facts["count"]), int(facts["frames"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise EvaluationError(f"{path}: no statistics of reference videos: {error}") from error
        if mean.ndim != 1 or covariance.shape != (len(mean), len(mean)):
            raise EvaluationError(f"{path}: a mean of {tuple(mean.shape)} and a covariance of {tuple(covariance.shape)}")
        return cls(mean_D=mean, covariance_DD=covariance, count=count, frames=frames)


def frechet_distance(one: VideoStatistics, other: VideoStatistics) -> float:
    """``|m1 - m2|^2 + trace(C1 + C2 - 2 (C1 C2)^(1/2))``, 0 or more, in float64 (arXiv 1812.01717)."""
    ours, theirs = one.covariance_DD.double().cpu(), other.covariance_DD.double().cpu()
    values, vectors = torch.linalg.eigh(ours)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    # The eigenvalues of C1 C2 are those of root C2 root, which is symmetric.
    shared = torch.linalg.eigvalsh(root @ theirs @ root).clamp(min=0).sqrt().sum()
    apart = (one.mean_D.double().cpu() - other.mean_D.double().cpu()).square().sum()
    return max(0.0, float(apart + ours.trace() + theirs.trace() - 2 * shared))


@final
class FrechetVideoDistance(Metric):
    """`frechet_distance` of the videos seen and a reference; a value of the set, lower is better, biased upwards by small sets.

    Sums run in float64, one (D, D) table; over processes they are added.

    Args:
        backbone: what makes the features.
        reference: statistics of the reference videos, from the same weights; None: only `statistics` can be asked for.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = False
    id = "fvd"
    exact = False
    range = (0.0, float("inf"))
    count: Tensor
    total_D: Tensor
    products_DD: Tensor

    def __init__(self, backbone: VideoMae, reference: VideoStatistics | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.reference = reference
        self.set_dtype(torch.float64)
        width = int(backbone.model.config.hidden_size)
        if reference is not None and (len(reference.mean_D), reference.frames) != (width, backbone.frames):
            raise EvaluationError(
                f"the reference has {len(reference.mean_D)} features of {reference.frames} frames, VideoMAE here {width} of "
                f"{backbone.frames}: not from the same weights"
            )
        self.add_state("count", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("total_D", torch.zeros(width, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("products_DD", torch.zeros(width, width, dtype=torch.float64), dist_reduce_fx="sum")
        self.to(backbone.device)

    def update(self, clip: Clip) -> None:
        """Add one video.

        Raises:
            ClipError: its features are not finite; it is not added then.
        """
        features = video_features(clip, self.backbone)
        self.count += 1
        self.total_D += features
        self.products_DD += torch.outer(features, features)

    def statistics(self) -> VideoStatistics:
        """Of the videos seen.

        Raises:
            EvaluationError: fewer than two.
        """
        count = int(self.count)
        if count < 2:
            raise EvaluationError(f"{count} videos; a covariance needs two, and a useful one hundreds")
        mean = self.total_D / count
        covariance = (self.products_DD - count * torch.outer(mean, mean)) / (count - 1)
        return VideoStatistics(mean_D=mean, covariance_DD=covariance, count=count, frames=self.backbone.frames)

    def compute(self) -> float:
        """The distance.

        Raises:
            EvaluationError: no reference, or fewer than two videos.
        """
        if self.reference is None:
            raise EvaluationError("fvd needs reference videos")
        return frechet_distance(self.statistics(), self.reference)
