"""motion_smoothness with given interpolators against plain numpy, over sizes and lengths; the user's AMT from its folder."""

from __future__ import annotations

import itertools
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from evaluation.backbones.interpolate import Amt, RaftWarp
from evaluation.catalog.table import entry, load
from evaluation.errors import ClipError, WeightsError
from evaluation.metrics.motion_smoothness import MotionSmoothness, MotionSmoothnessRaftWarp
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video.clip import Clip, Record
from evaluation.weights.lookup import find, provenance
from tests.evaluation.flowing import GivenFlow, field, numbered, padded_sides, warped
from tests.evaluation.videos import clip_of

CLIPS = [(3, 48, 64), (4, 45, 71), (9, 33, 50), (8, 64, 39)]


class Tilted:
    """Less of the first frame than of the last, brighter to the right: beyond 0..1 in places."""

    device = torch.device("cpu")

    def interp(self, img0: Tensor, img1: Tensor) -> Tensor:
        assert img0.shape == img1.shape
        assert img0.shape[2] % 16 == img0.shape[3] % 16 == 0
        assert 0 <= float(img0.min()) <= float(img0.max()) <= 1
        return 0.4 * img0 + 0.6 * img1 + torch.linspace(-0.4, 0.4, img0.shape[3])


class Broken:
    device = torch.device("cpu")

    def interp(self, img0: Tensor, img1: Tensor) -> Tensor:
        middle = (img0 + img1) / 2
        middle[-1, 0, middle.shape[2] // 2, middle.shape[3] // 2] = float("nan")
        return middle


def smoothness(frames: np.ndarray, middles: list[np.ndarray]) -> float:
    """Of middles (H, W, 3) in 0..1."""
    losses = []
    for number, middle in enumerate(middles):
        whole = np.floor(np.clip(middle * 255, 0, 255)).astype(np.uint8)
        losses.append(np.abs(whole.astype(int) - frames[2 * number + 1].astype(int)).mean())
    return (255 - np.mean(losses)) / 255


@pytest.mark.parametrize("size", CLIPS)
def test_every_odd_frame_between_two(size: tuple[int, int, int]) -> None:
    clip = clip_of(*size)
    _, where, _, padded = padded_sides(*size[1:], 16)
    tilt = np.linspace(-0.4, 0.4, padded, dtype=np.float32)[where][None, :, None]
    even = clip.frames_THWC[::2].astype(np.float32) / np.float32(255)
    middles = [np.float32(0.4) * a + np.float32(0.6) * b + tilt for a, b in itertools.pairwise(even)]
    expected = smoothness(clip.frames_THWC, middles)
    for batch in (1, 3, 4):
        metric = MotionSmoothness(Tilted(), batch=batch)
        metric.update(clip, Record(index=0))
        # A product that rounds the other way moves a pixel by one of 255.
        assert metric.scores[0].value == pytest.approx(expected, abs=2e-6)
        assert metric.scores[0].count == (size[0] - 1) // 2
        assert metric.compute() == metric.scores[0].value


@pytest.mark.parametrize("size", [(3, 128, 144), (6, 133, 130)])
def test_half_the_flow_both_ways(size: tuple[int, int, int]) -> None:
    clip, strength = numbered(*size), 1.5
    rows, columns, height, width = padded_sides(*size[1:], 16)
    edges = [((part.start, whole - part.stop)) for part, whole in ((rows, height), (columns, width))]
    padded = np.pad(clip.frames_THWC / 255, ((0, 0), *edges, (0, 0)), mode="edge").transpose(0, 3, 1, 2)
    middles = []
    for first in range(0, size[0] - 2, 2):
        there, back = (field(*pair, height, width, strength) for pair in ((first, first + 2), (first + 2, first)))
        middle = (warped(padded[first], back / 2) + warped(padded[first + 2], there / 2)) / 2
        middles.append(middle.transpose(1, 2, 0)[rows, columns])
    for batch in (1, 4):
        metric = MotionSmoothnessRaftWarp(RaftWarp(GivenFlow(strength)), batch=batch)
        metric.update(clip, Record(index=0))
        assert metric.scores[0].value == pytest.approx(smoothness(clip.frames_THWC, middles), abs=1e-5)


@pytest.mark.parametrize("pairs", [[(0, 2), (2, 4)], [(4, 6), (0, 2)], [(0, 2), (1, 3), (2, 4)]])
def test_pairs_of_any_frames_as_each_alone(pairs: list[tuple[int, int]]) -> None:
    frames = numbered(7, 48, 64).frames_TCHW.float() / 255
    between = RaftWarp(GivenFlow(1.5))
    first, last = (frames[list(side)] for side in zip(*pairs, strict=True))
    each = torch.cat([between.interp(first[n : n + 1], last[n : n + 1]) for n in range(len(pairs))])
    assert torch.equal(between.interp(first, last), each)


def test_what_cannot_be_scored_has_a_code() -> None:
    cases: list[tuple[MotionSmoothness | MotionSmoothnessRaftWarp, Clip, str]] = [
        (MotionSmoothness(Tilted()), clip_of(2, 32, 32), "too_short"),
        (MotionSmoothness(Broken()), clip_of(7, 40, 40), "non_finite"),
        (MotionSmoothnessRaftWarp(RaftWarp(GivenFlow(1.0))), clip_of(5, 120, 200), "too_small"),
        (MotionSmoothnessRaftWarp(RaftWarp(GivenFlow(1.0, bad=2))), numbered(5, 128, 128), "non_finite"),
    ]
    for metric, clip, code in cases:
        with pytest.raises(ClipError) as caught:
            metric.update(clip, Record(index=0))
        assert caught.value.code == code
        assert metric.scores == {}


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder laid out as the authors': code that imports its own packages by the names that they have there."""
    folder = tmp_path / "AMT"
    files = {
        "utils/__init__.py": "",
        "utils/more.py": "def half(a, b, at):\n    return a * (1 - at) + b * at\n",
        "networks/__init__.py": "",
        "networks/blocks/__init__.py": "",
        "networks/blocks/scale.py": """
            import torch
            class Scale(torch.nn.Module):
                def __init__(self):
                    super().__init__()
                    self.weight = torch.nn.Parameter(torch.zeros(1))
            """,
        "networks/AMT-S.py": """
            import torch
            from networks.blocks.scale import Scale
            from utils.more import half
            class Model(torch.nn.Module):
                def __init__(self, corr_radius=0, corr_lvls=0, num_flows=0):
                    super().__init__()
                    assert (corr_radius, corr_lvls, num_flows) == (3, 4, 3)
                    self.scale = Scale()
                def forward(self, img0, img1, embt, scale_factor=0.5, eval=False, **kwargs):
                    assert eval and scale_factor == 1.0 and embt.shape == (len(img0), 1, 1, 1)
                    return {"imgt_pred": half(img0, img1, embt) * self.scale.weight}
            """,
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(textwrap.dedent(text))
    torch.save({"state_dict": {"scale.weight": torch.tensor([0.9])}}, tmp_path / "amt-s.pth")
    return folder


def test_the_users_amt(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = object()
    monkeypatch.setitem(sys.modules, "utils", own)  # type: ignore[arg-type]
    path = list(sys.path)
    found = find(entry("motion_smoothness").weights, {"amt_s": tmp_path / "amt-s.pth", "amt_code": clone})
    metric = load("motion_smoothness").build(Towers(found), Options())
    clip = clip_of(6, 40, 50)
    metric.update(clip, Record(index=0))
    even = clip.frames_THWC[::2].astype(np.float32) / np.float32(255)
    middles = [(a * np.float32(0.5) + b * np.float32(0.5)) * np.float32(0.9) for a, b in itertools.pairwise(even)]
    assert metric.compute() == pytest.approx(smoothness(clip.frames_THWC, middles), abs=2e-6)
    assert metric.exact
    assert sys.modules["utils"] is own
    assert not [name for name in sys.modules if name.startswith(("networks", "utils."))]
    assert sys.path == path
    first = provenance(found["amt_code"])
    assert "NC" in str(first["licence"])
    (clone / "utils/more.py").write_text("changed = 1\n")
    assert provenance(found["amt_code"])["sha256"] != first["sha256"]


def test_code_runs_only_where_it_is_named(clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALUATION_WEIGHTS", str(tmp_path))
    (clone / "config.json").write_text("{}")
    with pytest.raises(WeightsError, match=r"^amt_code: .* --weights amt_code=FOLDER"):
        find(["amt_s", "amt_code"])
    (clone / "networks/AMT-S.py").unlink()
    with pytest.raises(WeightsError, match="no clone of AMT"):
        Amt(tmp_path / "amt-s.pth", clone).model  # noqa: B018
    (clone / "networks/AMT-S.py").write_text("import absent_package\n")
    with pytest.raises(WeightsError, match="absent_package"):
        Amt(tmp_path / "amt-s.pth", clone).model  # noqa: B018
