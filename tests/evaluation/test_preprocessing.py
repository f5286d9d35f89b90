"""Sampling, sizes and resizes against plain numpy: two small matrices a resize, written from the definition of its kernel."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from evaluation.video import resize
from evaluation.video.sampling import middle, spaced
from evaluation.video.sizes import center_crop, pad_sides, short_side
from tests.evaluation.videos import moving

SIZES = [(240, 416), (300, 225), (224, 224), (97, 61), (256, 300)]
CLIP = (np.array([0.48145466, 0.4578275, 0.40821073]), np.array([0.26862954, 0.26130258, 0.27577711]))
IMAGENET = (np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225]))


def linear(x: float) -> float:
    return max(0.0, 1 - abs(x))


def cubic(x: float, a: float = -0.75) -> float:
    x = abs(x)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a if x < 2 else 0.0


def matrix(before: int, after: int, kernel: object) -> np.ndarray:
    """(after, before): pixel centres at half integers, borders repeated, no smoothing."""
    weights = np.zeros((after, before))
    for i in range(after):
        x = (i + 0.5) * before / after - 0.5
        if kernel is linear:
            x = max(x, 0.0)
        for j in range(int(np.floor(x)) - 1, int(np.floor(x)) + 3):
            weights[i, min(max(j, 0), before - 1)] += kernel(x - j)  # type: ignore[operator]
    return weights


def scaled(image_HWC: np.ndarray, height: int, width: int, kernel: object) -> np.ndarray:
    image = image_HWC.astype(np.float64)
    rows = np.tensordot(matrix(image.shape[0], height, kernel), image, axes=(1, 0))
    return np.tensordot(matrix(image.shape[1], width, kernel), rows, axes=(1, 1)).transpose(1, 0, 2)


def target(height: int, width: int, side: int) -> tuple[int, int]:
    return (side, int(side * width / height)) if height < width else (int(side * height / width), side)


def middle_square(image: np.ndarray, side: int) -> np.ndarray:
    top, left = round((image.shape[0] - side) / 2), round((image.shape[1] - side) / 2)
    return image[top : top + side, left : left + side]


def normal(image: np.ndarray, statistics: tuple[np.ndarray, np.ndarray]) -> torch.Tensor:
    return torch.from_numpy(((image / 255 - statistics[0]) / statistics[1]).transpose(2, 0, 1))


def check(mine: torch.Tensor, expected: list[torch.Tensor], tolerance: float = 2e-4) -> None:
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine.double(), torch.stack(expected).double(), atol=tolerance, rtol=0)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resizes_of_clip_and_dino(height: int, width: int) -> None:
    frames = moving(2, height, width)
    frames_TCHW = torch.from_numpy(frames).permute(0, 3, 1, 2)
    size = target(height, width, 224)
    bicubic = [scaled(frame, *size, cubic) for frame in frames]
    check(resize.clip_f(frames_TCHW), [normal(middle_square(image, 224), CLIP) for image in bicubic])
    rounded = [np.clip(image, 0, 255).round() for image in bicubic]
    mine = resize.clip_u8(frames_TCHW)
    off = (mine - torch.stack([normal(middle_square(image, 224), CLIP) for image in rounded])).abs()
    assert (off < 1e-5).double().mean() > 0.999, "but for halves that float32 rounds the other way"
    assert off.max() < 1.01 / 255 / 0.26
    check(resize.dino(frames_TCHW), [normal(scaled(frame, *size, linear), IMAGENET) for frame in frames])


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resizes_by_pillow_and_opencv(height: int, width: int) -> None:
    frames = moving(2, height, width)
    frames_TCHW = torch.from_numpy(frames).permute(0, 3, 1, 2)
    h, w = target(height, width, 224)
    pillow = [np.array(Image.fromarray(frame).resize((w, h), Image.BICUBIC), dtype=float) for frame in frames]  # type: ignore[attr-defined]
    check(resize.clip_pil(frames_TCHW), [normal(middle_square(image, 224), CLIP) for image in pillow])
    h, w = target(height, width, 256)
    opencv = [cv2.resize(frame, (w, h), interpolation=cv2.INTER_LINEAR).astype(float) for frame in frames]
    check(resize.umt(frames_TCHW), [normal(middle_square(image, 224), IMAGENET) for image in opencv])


@pytest.mark.parametrize(("mode", "height", "width", "expected"), [
    ("longer", 480, 832, (295, 512)), ("longer", 300, 512, (300, 512)), ("longer", 600, 400, (512, 341)),
    ("shorter", 540, 832, (512, 788)), ("shorter", 480, 832, (480, 832)), ("shorter_centercrop", 540, 832, (512, 512)),
    ("None", 540, 832, (540, 832)),
])  # fmt: skip
def test_musiq_sees_at_most_512(mode: resize.MusiqMode, height: int, width: int, expected: tuple[int, int]) -> None:
    frame = moving(1, height, width)
    image = scaled(frame[0], *((512, 788) if mode == "shorter_centercrop" else expected), linear)
    if mode == "shorter_centercrop":
        image = middle_square(image, 512)
    mine = resize.musiq(torch.from_numpy(frame).permute(0, 3, 1, 2), mode)
    assert mine.shape == (1, 3, *expected)
    check(mine, [torch.from_numpy(image.transpose(2, 0, 1) / 255)])


def test_musiq_crops_only_what_it_brought_to_512() -> None:
    small = torch.from_numpy(moving(1, 480, 832)).permute(0, 3, 1, 2)
    assert torch.equal(resize.musiq(small, "shorter_centercrop"), small.float() / 255)
    frame = torch.from_numpy(moving(1, 784, 800)).permute(0, 3, 1, 2)
    whole, cut = resize.musiq(frame, "shorter"), resize.musiq(frame, "shorter_centercrop")
    assert whole.shape == (1, 3, 511, 522)
    assert cut.shape == (1, 3, 512, 512)
    assert torch.equal(cut[:, :, :511], whole[..., 5:517])
    assert not cut[:, :, 511].any()


def test_the_grid_that_dino_sees() -> None:
    assert resize.dino(torch.zeros(1, 3, 480, 832, dtype=torch.uint8)).shape == (1, 3, 224, 388)


def test_middle_frames() -> None:
    assert middle(8, 81) == [4, 14, 24, 34, 44, 54, 64, 75]
    assert middle(16, 16) == list(range(16))
    assert middle(4, 3) == [0, 1, 2, 2]
    assert middle(16, 1) == [0] * 16
    for count, total in [(8, 16), (8, 49), (16, 81), (16, 7), (1, 10)]:
        parts = min(count, total)
        edges = [int(total * i / parts) for i in range(parts + 1)]
        expected = [(edges[i] + edges[i + 1] - 1) // 2 for i in range(parts)]
        assert middle(count, total) == expected + expected[-1:] * (count - parts)
    with pytest.raises(ValueError, match="0 of 5"):
        middle(0, 5)


def test_frames_at_about_eight_a_second() -> None:
    assert spaced(8.0, 5) == [0, 1, 2, 3, 4]
    assert spaced(24.0, 10) == [0, 3, 6, 9]
    assert spaced(3.0, 3) == [0, 1, 2]
    assert spaced(20.0, 5) == [0, 2, 4], "2.5 rounds to even"
    assert spaced(28.0, 9) == [0, 4, 8], "3.5 rounds to even"


def test_sizes_crops_and_padding() -> None:
    assert short_side(480, 832, 224) == (224, 388)
    assert short_side(832, 480, 224) == (388, 224)
    assert center_crop(torch.arange(5).expand(5, 5), 2).tolist() == [[2, 3], [2, 3]], "1.5 rounds to even"
    assert pad_sides(480, 832, 8) == (0, 0, 0, 0)
    assert pad_sides(45, 50, 8) == (3, 3, 1, 2)
