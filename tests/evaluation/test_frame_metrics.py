"""Frames against the prompt and against their neighbours, by networks written out plainly, over sizes and lengths, in batches."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchmetrics
from torch import Tensor

from evaluation.backbones.clip import OpenAIClip
from evaluation.backbones.dino import Dino
from evaluation.backbones.lpips import Lpips
from evaluation.backbones.siglip2 import Siglip2
from evaluation.catalog.table import CATALOG, load
from evaluation.catalog.temporal import ENTRIES
from evaluation.errors import ClipError, WeightsError
from evaluation.metrics.background_consistency import BackgroundConsistency
from evaluation.metrics.base import VideoMetric
from evaluation.metrics.clip_score import ClipScore
from evaluation.metrics.clip_temp import ClipTemp
from evaluation.metrics.dino_temp import DinoTemp
from evaluation.metrics.lpips_adj import LpipsAdjacent
from evaluation.metrics.siglip2_score import Siglip2Score
from evaluation.metrics.ssim_adj import SsimAdjacent
from evaluation.metrics.weightless import OnDis
from evaluation.options import Options
from evaluation.towers import Towers
from evaluation.video import resize
from evaluation.video.clip import Clip, Record
from evaluation.weights.lookup import find
from tests.evaluation import reference, tiny
from tests.evaluation.videos import clip_of

CLIPS = [clip_of(5, 60, 104, 1), clip_of(2, 90, 70, 2), clip_of(4, 64, 64, 3)]
PROMPT = Record(index=0, prompt="The sun &amp; the sea")
WORDS = ("a", "cat", "the", "sun", "runs")


def siglip_folder(folder: Path) -> Path:
    """As google/siglip2-base-patch16-224: end and padding tokens, positions for 6 tokens, a picture of 4 x 4 patches."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import SiglipConfig, SiglipModel

    vocabulary = {"<pad>": 0, "<eos>": 1, "<bos>": 2, "<unk>": 3} | {word: 4 + number for number, word in enumerate(WORDS)}
    reader = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    reader.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    reader.enable_padding(length=9)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    ids: dict[str, Any] = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    config = SiglipConfig(
        text_config={**sizes, **ids, "vocab_size": len(vocabulary), "max_position_embeddings": 6, "projection_size": 32},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
    )
    tiny.random_state(SiglipModel(config), 5).save_pretrained(folder)
    reader.save(str(folder / "tokenizer.json"))
    return folder


def alexnet_file(path: Path) -> Path:
    """As torchvision's alexnet-owt-7be5be79.pth, the classifier included."""
    generator, state = torch.Generator().manual_seed(6), {}
    for place, (out, size, kernel) in {
        0: (64, 3, 11),
        3: (192, 64, 5),
        6: (384, 192, 3),
        8: (256, 384, 3),
        10: (256, 256, 3),
    }.items():
        state[f"features.{place}.weight"] = (
            torch.randn(out, size, kernel, kernel, generator=generator) / (size * kernel**2) ** 0.5
        )
        state[f"features.{place}.bias"] = torch.randn(out, generator=generator) / 5
    torch.save(state | {"classifier.1.weight": torch.ones(2, 2)}, path)
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    tiny.dino_folder(folder / "dino")
    tiny.clip_folder(folder / "clip")
    siglip_folder(folder / "siglip2")
    alexnet_file(folder / "alexnet.pth")
    return folder


def value(metric: VideoMetric, clip: Clip, record: Record = PROMPT) -> float | None:
    metric.reset()
    metric.update(clip, record)
    return metric.scores[record.index].value


@pytest.mark.parametrize("clip", CLIPS, ids=lambda clip: str(clip.frames_THWC.shape))
def test_clip_and_dino(weights: Path, clip: Clip) -> None:
    state = tiny.state_of(weights / "clip")
    features = [reference.clip_image(frame, state, 2) for frame in resize.clip_f(clip.frames_TCHW)]
    ids = [514, *(number for word in ("the", "sun", "&", "the", "sea") for number in letters(word)), 515]
    text = reference.clip_text(ids, state, 1)
    backbone = OpenAIClip(weights / "clip", text=True)
    assert value(ClipScore(backbone), clip) == pytest.approx(np.mean([reference.cosine(one, text) for one in features]), abs=2e-6)
    assert value(ClipTemp(backbone), clip) == pytest.approx(adjacent(features), abs=2e-6)
    seen = [reference.dino_features(frame, tiny.state_of(weights / "dino"), 2) for frame in resize.dino(clip.frames_TCHW)]
    assert value(DinoTemp(Dino(weights / "dino")), clip) == pytest.approx(adjacent(seen), abs=2e-6)


def letters(word: str) -> list[int]:
    """A word's tokens with `tiny`'s vocabulary."""
    from tokenizers.pre_tokenizers import ByteLevel

    alphabet = sorted(ByteLevel.alphabet())
    numbers = [alphabet.index(letter) for letter in word]
    return [513] if word == "the" else [*numbers[:-1], numbers[-1] + 256]


def adjacent(features: list[Tensor]) -> float:
    return float(np.mean([reference.cosine(a, b) for a, b in itertools.pairwise(features)]))


def test_one_pass_of_clip_and_one_reading_of_the_prompt(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[int] = []
    images = OpenAIClip.images
    monkeypatch.setattr(OpenAIClip, "images", lambda self, frames: (passes.append(len(frames)), images(self, frames))[1])
    backbone, clip = OpenAIClip(weights / "clip", text=True), clip_of(5, 40, 40)
    for metric in (ClipScore(backbone), ClipTemp(backbone), BackgroundConsistency(backbone)):
        metric.update(clip, PROMPT)
    assert passes == [5]
    assert backbone.texts(PROMPT.prompt) is backbone.texts(PROMPT.prompt)


def gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3)))


def siglip_text(ids: list[int], state: reference.State) -> Tensor:
    x = state["text_model.embeddings.token_embedding.weight"].double()[ids]
    x = x + state["text_model.embeddings.position_embedding.weight"].double()[: len(ids)]
    x = reference.encoder(x, state, "text_model.encoder.layers", reference.CLIP_NAMES, 2, 1e-6, gelu)
    return reference.linear(reference.norm(x[-1], state, "text_model.final_layer_norm", 1e-6), state, "text_model.head")


def siglip_image(frame: np.ndarray, state: reference.State) -> Tensor:
    at, head = "vision_model", "vision_model.head"
    height, width = frame.shape[:2]
    small = (smooth(height, 32) @ frame.astype(np.float64).transpose(2, 0, 1) @ smooth(width, 32).T) / 127.5 - 1
    x = reference.patches(torch.from_numpy(small), state, f"{at}.embeddings.patch_embedding")
    x = x + state[f"{at}.embeddings.position_embedding.weight"].double()
    x = reference.encoder(x, state, f"{at}.encoder.layers", reference.CLIP_NAMES, 2, 1e-6, gelu)
    x = reference.norm(x, state, f"{at}.post_layernorm", 1e-6)
    weight, bias = state[f"{head}.attention.in_proj_weight"].double(), state[f"{head}.attention.in_proj_bias"].double()
    q, k, v = (
        source @ w.T + b for source, w, b in zip((state[f"{head}.probe"][0].double(), x, x), weight.chunk(3), bias.chunk(3))
    )
    pooled = reference.linear(reference.attention(q, k, v, 2), state, f"{head}.attention.out_proj")
    h = reference.norm(pooled, state, f"{head}.layernorm", 1e-6)
    return (pooled + reference.linear(gelu(reference.linear(h, state, f"{head}.mlp.fc1")), state, f"{head}.mlp.fc2"))[0]


def smooth(before: int, after: int) -> np.ndarray:
    """Triangles as wide as the shrinking, as Pillow's bilinear."""
    scale = max(1.0, before / after)
    centres = (np.arange(after) + 0.5) * before / after - 0.5
    weights = np.clip(1 - np.abs(np.arange(before)[None] - centres[:, None]) / scale, 0, None)
    return weights / weights.sum(1, keepdims=True)


@pytest.mark.parametrize(("prompt", "parts"), [
    ("The cat runs", [[6, 5, 8]]), ("a cat the sun runs", [[4, 5, 6, 7, 8]]), ("A a a a a cat", [[4] * 5, [5]]),
    ("sun " * 12, [[7] * 5, [7] * 5, [7] * 2]), ("cat, sun", [[5, 3, 7]]),
])  # fmt: skip
def test_siglip2_reads_any_length(weights: Path, prompt: str, parts: list[list[int]]) -> None:
    state = tiny.state_of(weights / "siglip2")
    texts = [siglip_text([*part, 1] + [0] * (5 - len(part)), state) for part in parts]
    for clip in CLIPS:
        images = [siglip_image(frame, state) for frame in clip.frames_THWC]
        expected = np.mean([reference.cosine(image, text) for image in images for text in texts])
        metric = Siglip2Score(Siglip2(weights / "siglip2"))
        assert value(metric, clip, Record(index=0, prompt=prompt)) == pytest.approx(expected, abs=5e-6)
        assert metric.scores[0].details == {"parts": len(parts)}


def test_a_word_longer_than_all_places_is_cut(weights: Path) -> None:
    backbone = Siglip2(weights / "siglip2")
    assert len(backbone.texts("cat " + "-,;." * 3 + "sun")) == len(backbone.texts("cat ,")) == 1
    assert len(backbone.texts("cat,sun,cat,sun,cat,sun")) == 3


def test_a_prompt_that_is_absent_or_too_long_is_an_error(weights: Path) -> None:
    clip_score = ClipScore(OpenAIClip(weights / "clip", text=True))
    cases = [(clip_score, "x" * 90), (clip_score, " "), (Siglip2Score(Siglip2(weights / "siglip2")), "")]
    for metric, prompt in cases:
        with pytest.raises(ClipError) as caught:
            metric.update(CLIPS[0], Record(index=0, prompt=prompt))
        assert caught.value.code == "no_prompt"
        assert metric.scores == {}


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004, channel by channel, where the window fits."""
    kernel = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()

    def blur(x: np.ndarray) -> np.ndarray:
        x = np.stack([np.convolve(row, kernel, "valid") for row in x])
        return np.stack([np.convolve(column, kernel, "valid") for column in x.T]).T

    values = []
    for x, y in zip(a.astype(np.float64).transpose(2, 0, 1), b.astype(np.float64).transpose(2, 0, 1)):
        mx, my = blur(x), blur(y)
        vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
        c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
        values.append((2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2)))
    return float(np.mean(values))


@pytest.mark.parametrize("size", [(4, 24, 31), (2, 11, 40), (7, 33, 20)])
def test_ssim(size: tuple[int, int, int]) -> None:
    clip = clip_of(*size)
    expected = np.mean([ssim(a, b) for a, b in zip(clip.frames_THWC, clip.frames_THWC[1:])])
    assert value(SsimAdjacent(), clip) == pytest.approx(expected, abs=1e-6)


def lpips(a: np.ndarray, b: np.ndarray, state: dict[str, Tensor], layers: list[Tensor]) -> float:
    from torch.nn import functional as F

    def features(frame: np.ndarray) -> list[Tensor]:
        x = torch.from_numpy(frame).permute(2, 0, 1).double()[None] / 255 * 2 - 1
        x = (x - torch.tensor([-0.03, -0.088, -0.188]).view(3, 1, 1)) / torch.tensor([0.458, 0.448, 0.45]).view(3, 1, 1)
        found = []
        for place, stride, padding in ((0, 4, 2), (3, 1, 2), (6, 1, 1), (8, 1, 1), (10, 1, 1)):
            if place in (3, 6):
                x = F.max_pool2d(x, 3, 2)
            weight, bias = (state[f"features.{place}.{kind}"].double() for kind in ("weight", "bias"))
            x = F.conv2d(x, weight, bias, stride, padding).clamp(min=0)
            found.append(x[0] / (x[0].pow(2).sum(0) + 1e-8).sqrt())
        return found

    pairs = zip(features(a), features(b), layers)
    return sum(float((weight[0].double() * (x - y) ** 2).sum(0).mean()) for x, y, weight in pairs)


@pytest.mark.parametrize("size", [(3, 64, 90), (4, 31, 40), (2, 71, 50)])
def test_lpips(weights: Path, size: tuple[int, int, int]) -> None:
    state = torch.load(weights / "alexnet.pth", weights_only=True)
    file = Path(torchmetrics.__file__).parent / "functional/image/lpips_models/alex.pth"
    shipped = torch.load(file, map_location="cpu", weights_only=True)
    layers = [shipped[f"lin{number}.model.1.weight"] for number in range(5)]
    clip = clip_of(*size)
    expected = np.mean([lpips(a, b, state, layers) for a, b in zip(clip.frames_THWC, clip.frames_THWC[1:])])
    assert expected > 0.001
    backbone = Lpips(weights / "alexnet.pth")
    for batch in (1, 2, 8):
        assert value(LpipsAdjacent(backbone, batch=batch), clip) == pytest.approx(expected, abs=1e-6)


def test_sides_that_are_too_small_and_foreign_weights(weights: Path, tmp_path: Path) -> None:
    for metric, clip in (
        (SsimAdjacent(), clip_of(3, 10, 40)),
        (LpipsAdjacent(Lpips(weights / "alexnet.pth")), clip_of(3, 90, 30)),
    ):
        with pytest.raises(ClipError) as caught:
            metric.update(clip, PROMPT)
        assert caught.value.code == "too_small"
    (tmp_path / "siglip2").mkdir()
    torch.save({"features.0.weight": torch.ones(1)}, tmp_path / "odd.pth")
    with pytest.raises(WeightsError, match="missing keys"):
        Lpips(tmp_path / "odd.pth").model  # noqa: B018
    with pytest.raises(WeightsError, match=r"tokenizer\.json"):
        Siglip2(tmp_path / "siglip2").texts("a")


def test_the_catalogue_builds_them_all(weights: Path) -> None:
    given = {"clip_b32": "clip", "dino_vitb16": "dino", "siglip2": "siglip2", "alexnet": "alexnet.pth"}
    paths = {name: weights / file for name, file in given.items()}
    towers = Towers(find(paths, paths))
    clip, seen = clip_of(4, 40, 44), set()
    for entry in ENTRIES:
        assert CATALOG[entry.id] is entry
        cls = load(entry.id)
        if isinstance(cls, OnDis):
            continue  # built in test_dis
        assert (cls.id, cls.exact) == (entry.id, entry.id == "motion_smoothness")
        assert cls.range[0] < cls.range[1]
        if set(entry.weights) <= set(given):
            values = {value(cls.build(towers, Options(batch=batch)), clip_of(4, 40, 44), PROMPT) for batch in (1, 3)}
            values.add(value(cls.build(towers, Options()), clip, PROMPT))
            assert max(values) - min(values) < 1e-6
            seen.add(entry.id)
    assert seen == {"clip_score", "clip_temp", "dino_temp", "siglip2_score", "ssim_adj", "lpips_adj"}
