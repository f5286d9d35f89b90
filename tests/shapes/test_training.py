"""The training scripts of the tiny stack: each runs small from end to end, resumes exactly, and leaves what the product loads."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from rapo_lightning.judges.reply import parse_alignment
from rapo_lightning.shapes import train_autoencoder, train_encoder, train_judge, train_language, train_video
from rapo_lightning.shapes.dataset import arranged_scenes
from rapo_lightning.shapes.fit import Fit, fit
from rapo_lightning.shapes.gates import by_attribute, reconstruction_gate, share_right
from rapo_lightning.shapes.generated import Generated, load_pipeline, read_all, sample_videos
from rapo_lightning.shapes.scene import Item, Scene, mirrored
from rapo_lightning.shapes.text_gates import read_caption
from rapo_lightning.shapes.train_stack import run_together, stack_jobs
from rapo_lightning.shapes.verify import Reading
from rapo_lightning.templates import Template
from rapo_lightning.types import Failure, Reply

SMALL = Fit(steps=2, rate=1e-3, warm_up=1, log_every=1)
COMMON: dict[str, Any] = {"options": SMALL, "device": "cpu", "small": True}


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole stack, trained for two steps."""
    folder = tmp_path_factory.mktemp("stack")
    train_autoencoder.train(folder / "autoencoder", batch_size=4, scenes=8, workers=1, **COMMON)
    train_video.train(folder / "autoencoder", folder / "video", batch_size=2, scenes=8, workers=1, **COMMON)
    train_language.train(folder / "language", batch_size=2, examples=32, workers=1, **COMMON)
    pipeline = load_pipeline(folder / "video", "cpu")
    videos = sample_videos(pipeline, ["a red circle", "a blue square"], [1, 2], steps=2, guidance=2.0, batch_size=1)
    items = (Item(shape="circle", colour="red", size="small", action="left", speed="slow"),)
    scenes = [Scene(items=items, place="sea", atmosphere="day")] * 2
    Generated(videos, scenes, read_all(videos)).save(folder / "generated")
    train_judge.train(folder / "judge", batch_size=2, scenes=8, workers=1, generated=folder / "generated", **COMMON)
    train_encoder.train(folder / "encoder", batch_size=4, examples=64, workers=1, **COMMON)
    return folder


def test_every_script_leaves_safetensors_that_the_suite_accepts(stack: Path) -> None:
    from rapo_lightning.weights import refuse_code

    for name in ("video", "judge", "language", "encoder"):
        for checkpoint in (stack / name).glob("*.checkpoint"):
            checkpoint.unlink()
        refuse_code(str(stack / name))
        assert list((stack / name).rglob("*.safetensors"))


def test_several_processes_read_what_one_reads(stack: Path) -> None:
    made = Generated.load(stack / "generated", "cpu")
    _ = torch.rand(200, 200) @ torch.rand(200, 200)  # a forked child would wait for ever for threads that torch has started
    assert read_all(made.videos, workers=2) == made.readings


def test_lessons_about_a_video_say_what_the_verifier_reads() -> None:
    data = arranged_scenes(6, "train", 3)
    videos = (data.frames(slice(None))[0] * 255).round().to(torch.uint8)
    right = Generated(videos, data.scenes, read_all(videos))
    blank = Generated(torch.zeros_like(videos), data.scenes, read_all(torch.zeros_like(videos)))
    template = Template.load("judge_alignment")
    for number, scene in enumerate(data.scenes):
        lessons = right.lessons(8, 0, template)[8 * number : 8 * number + 8]
        assert read_caption(lessons[0][1]) in (scene, mirrored(scene))
        assert {parse_alignment(answer).score for _, answer in lessons[1:4]} == {1.0}  # asked for what is there
    assert all((parse_alignment(answer).score or 0) < 1 for _, answer in blank.lessons(8, 0, template))


def test_a_video_depends_on_its_text_and_seed_only(stack: Path) -> None:
    pipeline = load_pipeline(stack / "video", "cpu")
    together = sample_videos(pipeline, ["a red circle", "a blue square"], [1, 2], steps=2, guidance=2.0, batch_size=2)
    alone = sample_videos(pipeline, ["a blue square"], [2], steps=2, guidance=2.0, batch_size=1)
    assert together.shape == (2, 17, 64, 64, 3)
    assert int((together[1].int() - alone[0].int()).abs().max()) <= 1
    assert not torch.equal(together[0], together[1])


def test_the_product_classes_load_the_judge_and_the_language_model(stack: Path) -> None:
    from rapo_lightning.judges.qwen_model import QwenModel
    from rapo_lightning.language import HuggingFaceChat

    loaded = QwenModel.load(str(stack / "judge"), dtype="float32", on_cpu=True, max_side=None)
    assert loaded.inputs.settings.patch == 8
    chat = HuggingFaceChat(str(stack / "language"), dtype="float32")
    (answer,) = chat.chat([[{"role": "user", "content": "a red ball"}]], max_new_tokens=4)
    assert isinstance(answer, Reply | Failure)


def test_the_encoder_gives_unit_vectors(stack: Path) -> None:
    from sentence_transformers import SentenceTransformer

    vectors = SentenceTransformer(str(stack / "encoder"), device="cpu").encode(["a red ball", "the dunes"])
    assert vectors.shape == (2, 32)
    torch.testing.assert_close(torch.from_numpy(vectors).float().norm(dim=1), torch.ones(2), atol=1e-3, rtol=0)


def test_training_goes_on_from_what_was_trained(stack: Path, tmp_path: Path) -> None:
    train_video.train(
        stack / "autoencoder", tmp_path / "video", batch_size=2, scenes=8, workers=1, initial=stack / "video", **COMMON
    )
    train_judge.train(tmp_path / "judge", batch_size=2, scenes=8, workers=1, initial=stack / "judge", **COMMON)
    train_language.train(tmp_path / "lm", batch_size=2, examples=8, workers=1, initial=stack / "language", **COMMON)
    train_encoder.train(tmp_path / "encoder", batch_size=2, examples=8, workers=1, initial=stack / "encoder", **COMMON)
    assert (tmp_path / "encoder" / "tokenizer.json").read_text() == (stack / "encoder" / "tokenizer.json").read_text()
    assert (tmp_path / "video" / "model_index.json").exists()
    assert json.loads((tmp_path / "judge" / "config.json").read_text())["model_type"] == "qwen2_5_vl"


def test_reconstructions_are_read_by_the_verifier(stack: Path) -> None:
    gate = reconstruction_gate(load_pipeline(stack / "video", "cpu").vae, 2, "cpu")
    assert gate["videos"] == 2
    assert 0.0 <= gate["right"] <= 1.0


def test_an_undecided_video_does_not_count_as_right() -> None:
    scene = Scene(items=(Item(shape="circle", colour="red"),), place="sea")
    unread = Reading(count=None)
    assert share_right([unread], [scene]) == 0.0
    assert by_attribute([unread], [scene])["place"] == 0.0


class _Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(3))


def _problem() -> tuple[_Line, Callable[[int], tuple[Tensor, ...]], Callable[..., Tensor]]:
    model = _Line()

    def batch(step: int) -> tuple[Tensor, ...]:
        x = torch.randn(8, 3, generator=torch.Generator().manual_seed(step))
        return x, x @ torch.tensor([1.0, -2.0, 0.5])

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return (x @ model.weight - y).square().mean()

    return model, batch, loss


def test_fit_learns_and_leaves_the_averaged_weights(tmp_path: Path) -> None:
    model, batch, loss = _problem()
    result = fit("line", model, batch, loss, Fit(steps=400, rate=0.05, warm_up=10, average=0.9), tmp_path)
    assert result["steps"] == 400
    torch.testing.assert_close(model.weight.data, torch.tensor([1.0, -2.0, 0.5]), atol=0.05, rtol=0)


def test_an_interrupted_fit_ends_as_an_uninterrupted_one(tmp_path: Path) -> None:
    options = Fit(steps=30, rate=0.05, warm_up=5, save_every=10, log_every=10)
    whole, batch, loss = _problem()
    fit("line", whole, batch, loss, options, tmp_path / "whole")

    torn, batch, loss = _problem()

    def breaking(step: int) -> tuple[Tensor, ...]:
        if step == 17:
            raise KeyboardInterrupt
        return batch(step)

    with pytest.raises(KeyboardInterrupt):
        fit("line", torn, breaking, loss, options, tmp_path / "torn")
    again, batch, loss = _problem()
    fit("line", again, batch, loss, options, tmp_path / "torn")
    assert torch.equal(whole.weight, again.weight)


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    model, batch, _ = _problem()
    with pytest.raises(FloatingPointError, match="step 2"):
        fit("line", model, batch, lambda x, y: model.weight.sum() * float("nan"), Fit(steps=4, rate=0.1, log_every=2), tmp_path)


def test_minutes_end_the_training(tmp_path: Path) -> None:
    model, batch, loss = _problem()
    result = fit("line", model, batch, loss, Fit(steps=10**9, rate=0.1, minutes=0.005), tmp_path)
    assert 0 < result["steps"] < 10**7


@pytest.mark.slow
def test_one_command_trains_the_whole_stack_and_does_nothing_twice(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "rapo_lightning.shapes.train_stack", "--small", "--out", str(tmp_path)]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr[-2000:]
    gates = [json.loads(line) for line in (tmp_path / "gates.jsonl").read_text().splitlines()]
    assert {line["gate"] for line in gates} == {"reconstruction", "caption", "user prompt", "judge", "language", "encoder"}
    card = (tmp_path / "README.md").read_text()
    absent = [line.split("`")[1] for line in card.splitlines() if "not there yet" in line]
    assert absent == ["restyle/", "select/", "refiner/"], "adapters are trained by rapo train, after the loop"
    assert card.count("model.safetensors") == 6
    jobs = stack_jobs(tmp_path, 1, True, 1.0)
    assert all(finished.is_file() for together in jobs for *_, finished in together)
    written = (tmp_path / "video" / "model_index.json").stat().st_mtime_ns
    run_together(jobs[1], tmp_path)
    assert (tmp_path / "video" / "model_index.json").stat().st_mtime_ns == written
