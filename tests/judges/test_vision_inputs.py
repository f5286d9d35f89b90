"""The tensors of Qwen2.5-VL, checked against transformers' own image processor and a reference written with loops."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoTokenizer, Qwen2_5_VLForConditionalGeneration
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

from rapo_lightning.judges import vision_inputs
from rapo_lightning.judges.vision_inputs import (
    ImageSettings,
    VisionInputs,
    fit_side,
    fit_size,
    patchify,
    resize,
    torchvision_imports,
)
from tests.tiny_vision import build_judge, clip

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
SETTINGS = ImageSettings(patch=8, temporal_patch=2, merge=2, mean=MEAN, std=STD, min_pixels=16 * 16, max_pixels=96 * 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_judge(tmp_path_factory.mktemp("judge"))


def noise(frames: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (frames, height, width, 3), np.uint8)


def inputs_of(folder: Path, **options: Any) -> VisionInputs:
    return VisionInputs(folder, AutoConfig.from_pretrained(folder), AutoTokenizer.from_pretrained(folder), **options)


@pytest.mark.parametrize(("height", "width"), [(32, 48), (64, 64), (50, 70), (9, 40), (200, 120)])
def test_pairs_of_equal_frames_agree_with_the_image_processor(height: int, width: int) -> None:
    frames_THWC = noise(3, height, width)
    processor = Qwen2VLImageProcessorPil(
        patch_size=8, temporal_patch_size=2, merge_size=2, size={"shortest_edge": 256, "longest_edge": 9216}
    )
    theirs = processor(list(frames_THWC), return_tensors="np")
    patches, grid = patchify(resize(np.repeat(frames_THWC, 2, axis=0), SETTINGS), SETTINGS)
    assert grid == (3, *theirs["image_grid_thw"][0][1:])
    np.testing.assert_allclose(patches, theirs["pixel_values"], atol=2e-6)


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_order_of_patches_and_of_values_within_a_patch(frames: int) -> None:
    frames_THWC = noise(frames, 32, 48)
    patches, grid = patchify(frames_THWC, SETTINGS)
    assert grid == ((frames + 1) // 2, 4, 6)
    assert patches.dtype == np.float32
    padded = [*frames_THWC, frames_THWC[-1]]
    row = 0
    for t, block_y, block_x, y, x in itertools.product(range(grid[0]), range(2), range(3), range(2), range(2)):
        top, left = (block_y * 2 + y) * 8, (block_x * 2 + x) * 8
        pixels_TyxC = np.stack([frame[top : top + 8, left : left + 8] for frame in padded[2 * t : 2 * t + 2]]) / 255
        values = ((pixels_TyxC - MEAN) / STD).transpose(3, 0, 1, 2).ravel()
        np.testing.assert_allclose(patches[row], values, atol=2e-6)
        row += 1
    assert row == len(patches)


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.sampled_from([(256, 9216), (3136, 12845056), (100352, 602112)]))
def test_sizes_follow_the_models_own_rule(height: int, width: int, limits: tuple[int, int]) -> None:
    if max(height, width) / min(height, width) > 200:
        return
    allowed = ImageSettings(patch=14, temporal_patch=2, merge=2, mean=MEAN, std=STD, min_pixels=limits[0], max_pixels=limits[1])
    assert fit_size(height, width, allowed) == smart_resize(height, width, 28, *limits)


def test_frames_that_fit_are_not_touched() -> None:
    frames_THWC = noise(2, 32, 48)
    assert resize(frames_THWC, SETTINGS) is frames_THWC
    assert fit_side(frames_THWC, None) is frames_THWC
    assert fit_side(frames_THWC, 48) is frames_THWC
    assert fit_side(frames_THWC, 24).shape == (2, 16, 24, 3)
    assert fit_side(noise(1, 2, 400), 100).shape == (1, 1, 100, 3)


@pytest.mark.parametrize(
    ("files", "limits"),
    [
        ({}, (128 * 28 * 28, 768 * 28 * 28)),
        ({"preprocessor_config.json": {"min_pixels": 3136, "max_pixels": 12845056}}, (3136, 12845056)),
        ({"preprocessor_config.json": {"size": {"shortest_edge": 5, "longest_edge": 6}}}, (5, 6)),
        ({"preprocessor_config.json": {"min_pixels": 1}, "video_preprocessor_config.json": {"min_pixels": 2}}, (2, 602112)),
        (
            {
                "processor_config.json": {"video_processor": {"size": {"shortest_edge": 7, "longest_edge": 8}}},
                "video_preprocessor_config.json": {"min_pixels": 2},
            },
            (7, 8),
        ),
        ({"processor_config.json": {"processor_class": "X"}, "preprocessor_config.json": {"min_pixels": 9}}, (9, 602112)),
    ],
)
def test_settings_are_read_from_the_folder(tmp_path: Path, files: dict[str, object], limits: tuple[int, int]) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(json.dumps(content))
    vision = SimpleNamespace(patch_size=14, temporal_patch_size=2, spatial_merge_size=2)
    read = ImageSettings.read(tmp_path, vision)
    assert (read.min_pixels, read.max_pixels) == limits
    assert (read.patch, read.merge, read.mean) == (14, 2, MEAN)


def test_a_batch_is_padded_on_the_left_and_every_patch_has_its_place(folder: Path) -> None:
    inputs = inputs_of(folder)
    texts = [inputs.text([{"role": "user", "content": text}]) for text in ("short", "a longer request")]
    batch = inputs(texts, [noise(5, 32, 32), noise(2, 48, 32)], [8.0, 4.0])
    assert batch["video_grid_thw"].tolist() == [[3, 4, 4], [1, 6, 4]]
    assert batch["pixel_values_videos"].shape == (3 * 16 + 24, 3 * 2 * 8 * 8)
    assert batch["second_per_grid_ts"].tolist() == [0.25, 0.5]
    assert (batch["mm_token_type_ids"] == 2).sum(1).tolist() == [12, 6]
    mask = batch["attention_mask"]
    assert mask[:, -1].tolist() == [1, 1]
    assert mask.sum(1).tolist() == [
        len(inputs.tokenizer(texts[0])["input_ids"]) + 11,
        len(inputs.tokenizer(texts[1])["input_ids"]) + 5,
    ]
    assert set(batch) == {
        "input_ids", "attention_mask", "mm_token_type_ids", "pixel_values_videos", "video_grid_thw", "second_per_grid_ts",
    }  # fmt: skip


def test_the_model_sees_time_and_place_and_padding_changes_nothing(folder: Path) -> None:
    inputs = inputs_of(folder)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    texts = [inputs.text([{"role": "user", "content": text}]) for text in ("short", "a longer request")]
    video = clip((255, 0, 0))

    def last_logits(texts: list[str], videos: list[np.ndarray], fps: list[float]) -> torch.Tensor:
        with torch.inference_mode():
            logits: torch.Tensor = model(**inputs(texts, videos, fps)).logits[:, -1]
        return logits

    both = last_logits(texts, [video, video], [8.0, 8.0])
    alone = last_logits(texts[:1], [video], [8.0])
    torch.testing.assert_close(both[:1], alone, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(alone, last_logits(texts[:1], [video[::-1].copy()], [8.0]), atol=1e-5)
    assert not torch.allclose(alone, last_logits(texts[:1], [video], [1.0]), atol=1e-5)


def test_max_side_shrinks_before_patches_are_cut(folder: Path) -> None:
    inputs = inputs_of(folder, max_side=32)
    batch = inputs([inputs.text([{"role": "user", "content": "x"}])], [noise(2, 64, 64)], [8.0])
    assert batch["video_grid_thw"].tolist() == [[1, 4, 4]]


def test_the_video_processor_is_used_where_torchvision_imports(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import transformers

    calls: list[dict[str, Any]] = []

    def processor(videos: list[np.ndarray], **options: Any) -> dict[str, torch.Tensor]:
        calls.append(options)
        return {"pixel_values_videos": torch.zeros(32, 384), "video_grid_thw": torch.tensor([[2, 4, 4]] * len(videos))}

    auto = SimpleNamespace(from_pretrained=lambda folder: processor)
    monkeypatch.setattr(vision_inputs, "torchvision_imports", lambda: True)
    monkeypatch.setitem(vars(transformers), "AutoVideoProcessor", auto)
    inputs = inputs_of(folder)
    batch = inputs([inputs.text([{"role": "user", "content": "x"}])], [noise(4, 32, 32)], [8.0])
    assert calls == [{"do_sample_frames": False, "cap_pixels_per_frame": False, "return_tensors": "pt"}]
    assert (batch["mm_token_type_ids"] == 2).sum().item() == 8


def test_a_torchvision_that_does_not_load_counts_as_absent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    assert torchvision_imports() is False
    (tmp_path / "torchvision.py").write_text("")
    assert torchvision_imports() is True
    del sys.modules["torchvision"]  # monkeypatch would bring the empty one back


@pytest.mark.skipif(not torchvision_imports(), reason="transformers' video processor needs torchvision")
@pytest.mark.parametrize(("height", "width", "tolerance"), [(32, 48, 1e-6), (50, 70, 0.05)])
def test_patchify_agrees_with_the_video_processor(folder: Path, height: int, width: int, tolerance: float) -> None:
    by_processor = inputs_of(folder)
    by_patchify = inputs_of(folder)
    by_patchify.processor = None
    t, y, x, colour = np.ogrid[:5, :height, :width, :3]
    smooth_THWC = (127 + 120 * np.sin(t + y / 7 + colour) * np.cos(x / 9 - t)).astype(np.uint8)
    text = by_processor.text([{"role": "user", "content": "x"}])
    theirs, ours = by_processor([text], [smooth_THWC], [8.0]), by_patchify([text], [smooth_THWC], [8.0])
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], atol=tolerance, rtol=1e-5)
