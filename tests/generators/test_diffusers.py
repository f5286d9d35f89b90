"""`DiffusersGenerator` through tiny real pipelines: determinism, batching, families, failures as data, clear errors."""

from __future__ import annotations

import errno
import inspect
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rapo_lightning.errors import ConfigError, StorageError, WeightsError
from rapo_lightning.generators import DiffusersGenerator
from rapo_lightning.generators.families import FAMILIES, Family
from rapo_lightning.generators.pipelines import load_pipeline
from rapo_lightning.protocols import Generator
from rapo_lightning.types import Failure, ModelReference, Video
from rapo_lightning.video import read_frames, write_video
from tests import tiny
from tests.contracts import check_generator, check_limits_text, check_placeable

TEXTS = ["a red circle moves left", "the blue square rolls over the sand", "green"]
SIZE: dict[str, Any] = {"height": 32, "width": 32, "num_frames": 9, "num_inference_steps": 2, "max_sequence_length": 32}


@pytest.fixture(scope="module")
def wan(tmp_path_factory: pytest.TempPathFactory) -> ModelReference:
    return ModelReference(str(tiny.wan_pipeline(tmp_path_factory.mktemp("wan"))))


def render(generator: DiffusersGenerator, folder: Path, texts: list[str], seeds: list[int]) -> list[Video | Failure]:
    return generator.generate(texts, seeds, [str(folder / f"{i}.mp4") for i in range(len(texts))])


def frames_of(videos: list[Video | Failure]) -> list[np.ndarray]:
    assert all(isinstance(video, Video) for video in videos), videos
    return [read_frames(video.path).astype(int) for video in videos if isinstance(video, Video)]


def test_keeps_its_contracts(wan: ModelReference, tmp_path: Path) -> None:
    generator = DiffusersGenerator(wan, batch_size=2, **SIZE)
    check_limits_text(generator)
    check_placeable(generator, lambda: check_generator(generator, tmp_path, TEXTS))
    assert isinstance(generator, Generator)


def test_a_video_is_what_its_record_says(wan: ModelReference, tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.mp4"
    (video,) = DiffusersGenerator(wan, fps=10, **SIZE).generate(TEXTS[:1], [2**32 - 1], [str(path)])
    assert video == Video(path=str(path), seed=2**32 - 1, frames=9, fps=10, height=32, width=32)
    frames = read_frames(path)
    assert frames.shape == (9, 32, 32, 3)
    assert frames.std() > 1
    assert [file.name for file in path.parent.iterdir()] == ["a.mp4"]


def test_equal_seed_gives_equal_bytes_and_another_seed_another_video(wan: ModelReference, tmp_path: Path) -> None:
    for folder in ("first", "second"):
        render(DiffusersGenerator(wan, **SIZE), tmp_path / folder, [TEXTS[0]] * 2, [1, 2])
    once, again, other = (tmp_path / name for name in ("first/0.mp4", "second/0.mp4", "first/1.mp4"))
    assert once.read_bytes() == again.read_bytes()
    assert np.abs(read_frames(once).astype(int) - read_frames(other)).mean() > 1


def test_a_batch_equals_one_by_one_in_the_order_asked(wan: ModelReference, tmp_path: Path) -> None:
    seeds = [3, 1, 2]
    batched = frames_of(render(DiffusersGenerator(wan, batch_size=2, **SIZE), tmp_path / "batched", TEXTS, seeds))
    alone = DiffusersGenerator(wan, **SIZE)
    for i, (text, seed) in enumerate(zip(TEXTS, seeds, strict=True)):
        (frames,) = frames_of(render(alone, tmp_path / str(i), [text], [seed]))
        np.testing.assert_allclose(batched[i], frames, atol=2)
    assert np.abs(batched[0] - batched[1]).mean() > 1


def test_frames_are_those_of_the_pipeline_itself(wan: ModelReference, tmp_path: Path) -> None:
    """Also holds that the negative prompt, encoded once, changes nothing."""
    from diffusers import WanPipeline

    (ours,) = frames_of(render(DiffusersGenerator(wan, negative_prompt="night", **SIZE), tmp_path, TEXTS[:1], [5]))
    pipeline = WanPipeline.from_pretrained(wan)
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(TEXTS[0], negative_prompt="night", guidance_scale=5.0, generator=torch.Generator().manual_seed(5), **SIZE)
    write_video(tmp_path / "theirs.mp4", (theirs.frames[0] * 255).round().astype(np.uint8), 16)
    np.testing.assert_allclose(ours, read_frames(tmp_path / "theirs.mp4"), atol=2)


def test_the_negative_prompt_and_guidance_reach_the_model(wan: ModelReference, tmp_path: Path) -> None:
    variants: list[dict[str, Any]] = [{}, {"negative_prompt": "sand"}, {"guidance_scale": 9.0}, {"guidance_scale": 1.0}]
    files = [tmp_path / str(i) / "0.mp4" for i in range(len(variants))]
    for file, variant in zip(files, variants, strict=True):
        render(DiffusersGenerator(wan, **SIZE, **variant), file.parent, TEXTS[:1], [0])
    assert len({file.read_bytes() for file in files}) == len(variants)


def test_vae_tiling_flow_shift_and_attention_backend_are_set(wan: ModelReference, tmp_path: Path) -> None:
    generator = DiffusersGenerator(wan, vae_tiling=True, flow_shift=7.0, attention_backend="native", **SIZE)
    frames_of(render(generator, tmp_path, TEXTS[:1], [0]))
    assert generator._pipeline.vae.use_tiling
    assert generator._pipeline.scheduler.config.flow_shift == 7.0
    assert not generator._pipeline.text_encoder.training


def test_precision_follows_device_family_and_request(wan: ModelReference) -> None:
    """Weights are loaded in the precision of the device they are meant for, before they move there."""
    cpu, accelerator = torch.device("cpu"), torch.device("cuda")
    for dtype, device, denoiser, vae in (
        ("auto", cpu, torch.float32, torch.float32),
        ("auto", accelerator, torch.bfloat16, torch.float32),
        ("bfloat16", cpu, torch.bfloat16, torch.bfloat16),
    ):
        pipeline = load_pipeline(wan, FAMILIES["wan"], dtype, device)
        assert (pipeline.transformer.dtype, pipeline.text_encoder.dtype, pipeline.vae.dtype) == (denoiser, denoiser, vae)
        frames = pipeline(TEXTS[0], output_type="pt", generator=torch.Generator().manual_seed(0), **SIZE).frames
        assert torch.isfinite(frames).all()


def test_a_pipeline_of_no_family_keeps_its_own_defaults(
    wan: ModelReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rapo_lightning.generators.pipelines.family_of", lambda name: Family())
    generator = DiffusersGenerator(wan, negative_prompt="night", batch_size=2, **SIZE)
    assert [frames.shape for frames in frames_of(render(generator, tmp_path / "ours", TEXTS[:2], [0, 1]))] == [(9, 32, 32, 3)] * 2
    assert "guidance_scale" not in generator._call
    with pytest.raises(ConfigError, match="rendered"):
        render(DiffusersGenerator(wan, **{**SIZE, "num_frames": 10}), tmp_path, TEXTS[:1], [0])


def test_another_family_runs_with_its_own_defaults(tmp_path: Path) -> None:
    model = ModelReference(str(tiny.cogvideox_pipeline(tmp_path / "model")))
    generator = DiffusersGenerator(model, num_frames=9, num_inference_steps=2, max_sequence_length=16, batch_size=2)
    videos = render(generator, tmp_path, TEXTS[:2], [0, 1])
    assert [frames.shape for frames in frames_of(videos)] == [(9, 16, 16, 3)] * 2
    assert all(isinstance(video, Video) and video.fps == FAMILIES["cogvideox"].fps for video in videos)
    assert generator._call["guidance_scale"] == FAMILIES["cogvideox"].guidance_scale


def test_a_family_with_other_argument_names(tmp_path: Path) -> None:
    model = ModelReference(str(tiny.latte_pipeline(tmp_path / "model")))
    generator = DiffusersGenerator(model, height=64, width=64, num_inference_steps=2, negative_prompt="sand", batch_size=2)
    assert [frames.shape for frames in frames_of(render(generator, tmp_path, TEXTS[:2], [0, 1]))] == [(16, 64, 64, 3)] * 2
    with pytest.raises(ConfigError, match="'max_sequence_length'"):
        render(DiffusersGenerator(model, max_sequence_length=16), tmp_path, TEXTS[:1], [0])


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_familys_arguments_are_those_of_its_pipelines(name: str) -> None:
    import diffusers

    family = FAMILIES[name]
    ours = ("height", "width", "num_frames", "num_inference_steps", "guidance_scale", "negative_prompt")
    sent = {family.rename.get(key, key) for key in ours if getattr(family, key) is not None}
    sent |= set(family.call) | set(family.rename.values())
    for pipeline in family.pipelines:
        accepted = inspect.signature(getattr(diffusers, pipeline).__call__).parameters
        assert sent <= set(accepted)
        if family.tokens and "max_sequence_length" in accepted:
            assert accepted["max_sequence_length"].default == family.tokens


def test_an_item_that_fails_leaves_the_others(wan: ModelReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = DiffusersGenerator(wan, batch_size=3, **SIZE)
    sample = DiffusersGenerator._sample

    def refuse(self: DiffusersGenerator, texts: list[str], seeds: list[int]) -> Any:
        if "green" in texts:
            raise RuntimeError("no green\n today")
        return sample(self, texts, seeds)

    monkeypatch.setattr(DiffusersGenerator, "_sample", refuse)
    first, second, third = render(generator, tmp_path, TEXTS, [0, 1, 2])
    assert isinstance(first, Video)
    assert isinstance(second, Video)
    assert third == Failure(error="RuntimeError: no green today")
    assert not (tmp_path / "2.mp4").exists()


def test_out_of_memory_halves_the_batch_for_good(wan: ModelReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    sample = DiffusersGenerator._sample

    def small(self: DiffusersGenerator, texts: list[str], seeds: list[int]) -> Any:
        sizes.append(len(texts))
        if len(texts) > 1:
            raise torch.OutOfMemoryError("out of memory")
        return sample(self, texts, seeds)

    monkeypatch.setattr(DiffusersGenerator, "_sample", small)
    assert len(frames_of(render(DiffusersGenerator(wan, batch_size=2, **SIZE), tmp_path, TEXTS, [0, 1, 2]))) == 3
    assert sizes == [2, 1, 1, 1]


def test_frames_that_are_not_finite_are_a_failure(wan: ModelReference, tmp_path: Path) -> None:
    generator = DiffusersGenerator(wan, **SIZE)
    generator._load()
    generator._pipeline.transformer.proj_out.bias.fill_(float("nan"))
    (failure,) = render(generator, tmp_path, TEXTS[:1], [0])
    assert isinstance(failure, Failure)
    assert "not finite" in failure.error


def test_a_path_that_cannot_be_written_is_a_failure(wan: ModelReference, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    failure, video = DiffusersGenerator(wan, **SIZE).generate(
        TEXTS[:2], [0, 1], [str(tmp_path / "file" / "a.mp4"), str(tmp_path / "b.mp4")]
    )
    assert isinstance(failure, Failure)
    assert isinstance(video, Video)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"num_frames": 16}, "num_frames 16: WanPipeline renders 1 more than a multiple of 4"),
        ({"height": 40}, "height 40: WanPipeline renders multiples of 16 pixels"),
        ({"extra": {"stepz": 1}}, "WanPipeline takes no argument 'stepz'"),
        ({"extra": {"prompt": "a"}}, "extra: 'prompt' is set by the generator"),
        ({"family": "wann"}, "family 'wann' is not known"),
        ({"batch_size": 0}, "batch_size 0"),
    ],
)
def test_what_the_pipeline_cannot_do_is_a_configuration_error(
    wan: ModelReference, tmp_path: Path, arguments: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        render(DiffusersGenerator(wan, **{**SIZE, **arguments}), tmp_path, TEXTS[:1], [0])


def test_every_problem_is_told_at_once(wan: ModelReference, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        render(DiffusersGenerator(wan, **{**SIZE, "num_frames": 16, "height": 40}), tmp_path, TEXTS[:1], [0])
    assert len(error.value.problems) == 2


def test_a_model_that_is_missing_foreign_or_incomplete(wan: ModelReference, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copytree(wan, tmp_path / "torn")
    next((tmp_path / "torn" / "transformer").glob("*.safetensors")).unlink()
    shutil.copytree(wan, tmp_path / "code")
    config = tmp_path / "code" / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "auto_map": {"AutoModel": "evil.Model"}}))
    for name, problem in (
        ("nowhere", "no such folder"),
        ("empty", "model_index"),
        ("torn", "cannot be loaded"),
        ("code", "auto_map"),
    ):
        with pytest.raises(WeightsError, match=problem):
            render(DiffusersGenerator(ModelReference(str(tmp_path / name)), **SIZE), tmp_path, TEXTS[:1], [0])


def test_tokens_over_the_limit_are_counted_without_the_weights(wan: ModelReference, tmp_path: Path) -> None:
    shutil.copytree(wan, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors"))
    model = ModelReference(str(tmp_path / "model"))
    # A word of the vocabulary is one token, and the end token one more.
    assert DiffusersGenerator(model, max_sequence_length=4).tokens_over_limit(["a red circle", "a red circle moves left"]) == [
        0,
        2,
    ]
    assert DiffusersGenerator(model).tokens_over_limit([" ".join(["red"] * words) for words in (511, 600)]) == [0, 601 - 512]
    assert DiffusersGenerator(model).tokens_over_limit([]) == []
    shutil.rmtree(tmp_path / "model" / "tokenizer")
    with pytest.raises(WeightsError, match="tokenizer"):
        DiffusersGenerator(model).tokens_over_limit(["red"])


def test_importing_the_generator_imports_no_torch() -> None:
    code = "import sys, rapo_lightning.generators as g; g.DiffusersGenerator; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_full_disk_is_no_failure_of_a_video_but_ends_the_run(
    wan: ModelReference, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("rapo_lightning.video_codecs.encode_av", full)
    with pytest.raises(StorageError, match=r"0\.mp4: cannot be written: No space left on device"):
        render(DiffusersGenerator(wan, **SIZE), tmp_path, TEXTS[:2], [1, 2])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arguments", "says"), [({"batch_size": 0}, "must be at least 1"), ({"family": "wann"}, "is not known")])
def test_what_needs_no_model_to_be_wrong_is_told_at_once(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        DiffusersGenerator(ModelReference("nowhere"), **arguments)
