"""fvd against plain numpy and scipy on a tiny VideoMAE, over sizes and lengths; its reference on disk; two halves are one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from evaluation.backbones.videomae import VideoMae
from evaluation.errors import ClipError, EvaluationError
from evaluation.metrics.fvd import FrechetVideoDistance, VideoStatistics, frechet_distance, video_features
from evaluation.video import detector_inputs
from evaluation.video.sampling import middle
from tests.evaluation import tiny
from tests.evaluation.videos import clip_of

ONE = [
    clip_of(length, height, width, seed)
    for seed, (length, height, width) in enumerate([(9, 40, 60), (4, 50, 33), (2, 32, 32)] * 4)
]
OTHER = [clip_of(6, 36, 48, 50 + seed) for seed in range(7)]


def folder(path: Path, mean_pooling: bool = True) -> Path:
    """As MCG-NKU/videomae-large-finetuned-kinetics."""
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification

    config = VideoMAEConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24, image_size=32, patch_size=16,
        num_frames=4, tubelet_size=2, use_mean_pooling=mean_pooling, num_labels=3,
    )  # fmt: skip
    tiny.random_state(VideoMAEForVideoClassification(config), 8).save_pretrained(path)
    return path


@pytest.fixture(scope="module", params=[True, False], ids=["mean", "first"])
def backbone(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> VideoMae:
    return VideoMae(folder(tmp_path_factory.mktemp("videomae"), request.param))


def features(backbone: VideoMae, clips: list) -> np.ndarray:
    """What makes the classifier's answer, by solving for it: its weights times these, and its bias, are the logits."""
    rows = []
    for clip in clips:
        frames = detector_inputs.videomae(clip.frames_TCHW[middle(4, len(clip.frames_THWC))], 32)
        seen: list[torch.Tensor] = []
        hook = backbone.model.classifier.register_forward_pre_hook(lambda _, given, seen=seen: seen.append(given[0][0]))
        with torch.no_grad():
            backbone.logits(frames)
        hook.remove()
        rows.append(seen[0].double().numpy())
    return np.stack(rows)


def by_hand(one: np.ndarray, other: np.ndarray) -> float:
    from scipy.linalg import sqrtm

    c1, c2 = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    return float(((one.mean(0) - other.mean(0)) ** 2).sum() + np.trace(c1) + np.trace(c2) - 2 * np.trace(sqrtm(c1 @ c2)).real)


def test_the_distance_of_two_sets(backbone: VideoMae, tmp_path: Path) -> None:
    ours, theirs = features(backbone, ONE), features(backbone, OTHER)
    expected = by_hand(ours, theirs)
    assert expected > 0.01
    reference = VideoStatistics.of(OTHER, backbone)
    np.testing.assert_allclose(reference.mean_D, theirs.mean(0), atol=1e-6)
    np.testing.assert_allclose(reference.covariance_DD, np.cov(theirs, rowvar=False), atol=1e-6)
    reference.save(tmp_path / "reference.safetensors")
    for known in (reference, VideoStatistics.load(tmp_path / "reference.safetensors")):
        metric = FrechetVideoDistance(backbone, known)
        for clip in ONE:
            metric.update(clip)
        assert metric.compute() == pytest.approx(expected, rel=1e-3, abs=1e-5)
        assert frechet_distance(metric.statistics(), metric.statistics()) == pytest.approx(0, abs=1e-6)
        assert metric.total_D.dtype == torch.float64


def test_two_processes_add_up(backbone: VideoMae) -> None:
    """Sums of two halves, added as torchmetrics adds them over processes."""
    whole, halves = FrechetVideoDistance(backbone), [FrechetVideoDistance(backbone) for _ in range(2)]
    for number, clip in enumerate(ONE):
        whole.update(clip)
        halves[number % 2].update(clip)
    for name, reduce in halves[0]._reductions.items():
        setattr(halves[0], name, reduce(torch.stack([getattr(half, name) for half in halves])))
    assert halves[0].statistics().count == len(ONE)
    torch.testing.assert_close(halves[0].statistics().covariance_DD, whole.statistics().covariance_DD, atol=1e-12, rtol=1e-9)


def test_known_distances() -> None:
    def of(mean: list[float], covariance: list[list[float]]) -> VideoStatistics:
        return VideoStatistics(mean_D=torch.tensor(mean), covariance_DD=torch.tensor(covariance), count=9, frames=16)

    one, other = of([0, 0], [[4, 0], [0, 1]]), of([3, 4], [[9, 0], [0, 16]])
    assert frechet_distance(one, other) == pytest.approx(25 + (3 - 2) ** 2 + (4 - 1) ** 2)
    flat = of([0, 0], [[1, 1], [1, 1]])
    assert frechet_distance(flat, flat) == pytest.approx(0, abs=1e-7)


def test_what_cannot_be_compared(backbone: VideoMae, tmp_path: Path) -> None:
    metric = FrechetVideoDistance(backbone)
    metric.update(ONE[0])
    with pytest.raises(EvaluationError, match="1 videos"):
        metric.statistics()
    with pytest.raises(EvaluationError, match="reference"):
        metric.compute()
    foreign = VideoStatistics(mean_D=torch.zeros(5), covariance_DD=torch.eye(5), count=3, frames=4)
    with pytest.raises(EvaluationError, match="not from the same weights"):
        FrechetVideoDistance(backbone, foreign)
    (tmp_path / "a.safetensors").write_bytes(b"x" * 20)
    for file in ("a.safetensors", "b.safetensors"):
        with pytest.raises(EvaluationError, match="no statistics"):
            VideoStatistics.load(tmp_path / file)


def test_features_that_are_not_finite_are_not_added(tmp_path: Path) -> None:
    broken = VideoMae(folder(tmp_path / "broken"))
    with torch.no_grad():
        broken.model.fc_norm.weight.fill_(float("nan"))
    metric = FrechetVideoDistance(broken)
    clip = clip_of(5, 40, 40)
    with pytest.raises(ClipError) as caught:
        metric.update(clip)
    assert caught.value.code == "non_finite"
    assert int(metric.count) == 0
    assert torch.equal(metric.products_DD, torch.zeros(16, 16, dtype=torch.float64))
    assert not torch.isfinite(video_features(clip_of(5, 40, 41), VideoMae(tmp_path / "broken"))).logical_not().any()
