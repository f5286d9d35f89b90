"""The rule of dynamic_degree on given flow against plain numpy, over lengths, rates and sizes; RAFT's names and its absence."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.backbones.raft import Pairs, Raft, flow_batch, flow_frames, torchvision_name
from evaluation.errors import ClipError, WeightsError
from evaluation.metrics.dynamic_degree import DynamicDegree
from evaluation.video.clip import Clip, Record
from tests.evaluation.videos import moving


class GivenFlow:
    """A random field a pair, larger the later; told apart by the brightness of the frame that it starts from."""

    device = torch.device("cpu")

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self.pairs = 0

    def flow(self, frames_BCHW: Tensor, pairs: Pairs) -> Tensor:
        assert frames_BCHW.shape[2] % 8 == frames_BCHW.shape[3] % 8 == 0
        assert len(frames_BCHW) == len({number for pair in pairs for number in pair})
        self.pairs += len(pairs)
        fields = [field(frames_BCHW[before], self.strength) for before, _ in pairs]
        return torch.from_numpy(np.stack(fields))


def field(frame: Tensor, strength: float) -> np.ndarray:
    number = round((float(frame[0, 0, 0]) + 1) * 255 / 2)
    generator = np.random.default_rng(number)
    return generator.normal(0, strength * generator.uniform(0.5, 1.5), (2, *frame.shape[1:])).astype(np.float32)


def numbered(frames: int, height: int, width: int, fps: float) -> Clip:
    """Frames that carry their number in the red of every pixel."""
    pixels = moving(frames, height, width)
    pixels[..., 0] = np.arange(frames)[:, None, None]
    return Clip(frames_THWC=pixels, fps=fps, sha256="0", path="a.mp4")


def by_hand(clip: Clip, strength: float) -> tuple[bool, list[float]]:
    total, height, width, _ = clip.frames_THWC.shape
    chosen = list(range(0, total, max(1, round(clip.fps / 8))))
    h, w = (side + (-side % 8) for side in (height, width))
    speeds, hits = [], 0
    for number in chosen[:-1]:
        generator = np.random.default_rng(number)
        flow = generator.normal(0, strength * generator.uniform(0.5, 1.5), (2, h, w)).astype(np.float32)
        lengths = np.sort(np.sqrt(flow[0] ** 2 + flow[1] ** 2).ravel())[::-1]
        speeds.append(float(lengths[: int(h * w * 0.05)].mean()))
        hits += speeds[-1] > 6 * min(height, width) / 256
        if hits >= round(4 * len(chosen) / 16):
            return True, speeds
    return False, speeds


@pytest.mark.parametrize("strength", [0.5, 1.2, 1.5, 3.0])
@pytest.mark.parametrize(("frames", "height", "width", "fps"), [
    (16, 128, 200, 8.0), (33, 131, 150, 16.0), (49, 240, 133, 24.0), (9, 128, 128, 30.0), (3, 130, 130, 5.0),
])  # fmt: skip
def test_the_rule(frames: int, height: int, width: int, fps: float, strength: float) -> None:
    clip = numbered(frames, height, width, fps)
    dynamic, speeds = by_hand(clip, strength)
    for batch in (1, 3, 8):
        flow = GivenFlow(strength)
        metric = DynamicDegree(flow, batch=batch)
        metric.update(clip, Record(index=0))
        score = metric.scores[0]
        assert score.value == float(dynamic)
        assert score.details["speeds"] == pytest.approx(speeds, rel=1e-5)
        assert flow.pairs < len(speeds) + batch, "no pair after the one that decides, but for its batch"
        assert score.details["degenerate"] == (round(4 * len(range(0, frames, max(1, round(fps / 8)))) / 16) == 0)


def test_both_answers_occur() -> None:
    clip = numbered(16, 128, 200, 8.0)
    assert [by_hand(clip, strength)[0] for strength in (0.5, 3.0)] == [False, True]


def test_two_frames_are_always_dynamic_as_upstream() -> None:
    metric = DynamicDegree(GivenFlow(0.0))
    metric.update(numbered(2, 128, 128, 8.0), Record(index=0))
    assert metric.scores[0].value == 1.0
    assert metric.scores[0].details["degenerate"]


def test_what_cannot_be_judged_has_a_code() -> None:
    metric = DynamicDegree(GivenFlow(1.0))
    for clip, code in ((numbered(3, 128, 128, 60.0), "too_short"), (numbered(9, 127, 300, 8.0), "too_small")):
        with pytest.raises(ClipError) as caught:
            metric.update(clip, Record(index=0))
        assert caught.value.code == code
    with pytest.raises(ClipError) as caught:
        DynamicDegree(GivenFlow(float("nan"))).update(numbered(9, 128, 128, 8.0), Record(index=0))
    assert caught.value.code == "non_finite"


def test_frames_and_batches_for_raft() -> None:
    frames = torch.randint(0, 256, (2, 3, 45, 50), dtype=torch.uint8)
    padded = flow_frames(frames)
    expected = np.pad(frames.numpy(), ((0, 0), (0, 0), (1, 2), (3, 3)), mode="edge") / 255 * 2 - 1
    np.testing.assert_allclose(padded.numpy(), expected, atol=1e-6)
    assert [flow_batch(480, 832, wanted) for wanted in (1, 8, 99)] == [1, 8, 27]
    assert flow_batch(2160, 3840) == 1


@pytest.mark.parametrize(("theirs", "name"), [
    ("module.fnet.conv1.weight", "feature_encoder.convnormrelu.0.weight"),
    ("module.cnet.norm1.running_mean", "context_encoder.convnormrelu.1.running_mean"),
    ("module.cnet.layer1.0.conv2.bias", "context_encoder.layer1.0.convnormrelu2.0.bias"),
    ("module.cnet.layer3.1.norm1.weight", "context_encoder.layer3.1.convnormrelu1.1.weight"),
    ("module.fnet.layer2.0.downsample.0.weight", "feature_encoder.layer2.0.downsample.0.weight"),
    ("module.cnet.layer2.0.norm3.weight", "context_encoder.layer2.0.downsample.1.weight"),
    ("module.fnet.conv2.weight", "feature_encoder.conv.weight"),
    ("module.update_block.encoder.convc2.bias", "update_block.motion_encoder.convcorr2.0.bias"),
    ("module.update_block.encoder.convf1.weight", "update_block.motion_encoder.convflow1.0.weight"),
    ("module.update_block.encoder.conv.weight", "update_block.motion_encoder.conv.0.weight"),
    ("module.update_block.gru.convq2.weight", "update_block.recurrent_block.convgru2.convq.weight"),
    ("module.update_block.flow_head.conv1.weight", "update_block.flow_head.conv1.weight"),
    ("module.update_block.mask.0.weight", "mask_predictor.convrelu.0.weight"),
    ("module.update_block.mask.2.bias", "mask_predictor.conv.bias"),
])  # fmt: skip
def test_the_authors_names_become_torchvisions(theirs: str, name: str) -> None:
    assert torchvision_name(theirs) == name


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is here")
def test_without_torchvision_raft_names_the_extra(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "raft.pth")
    with pytest.raises(WeightsError, match=r"pip install 'rapo-lightning\[vision\]'"):
        Raft(tmp_path / "raft.pth").model  # noqa: B018
